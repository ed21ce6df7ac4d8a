"""The pointing game, by hand and by chance, and the maps it is played with on disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalog import read_catalog
from pipeline.errors import UserError
from pipeline.store import FlowStore, Window
from ta2net.evaluation.where import (
    InflectionPlaces,
    Pointed,
    chance,
    contacts,
    inflection_places,
    is_near,
    pointed_hits,
    where_section,
)
from ta2net.hits.place import inflection_at, inflection_place, peak_place
from ta2net.hits.saved import as_saved, read_maps, write_maps


def toy_row_with_places(toy_params):
    """A row of the toy store, its store, its frames and the square's middle at every hit in px."""
    row = read_catalog(toy_params.source.catalog).split("eval").rows[0]
    store = FlowStore(toy_params.store.path)
    window = store.read(row.row_id, 0, row.n_frames)
    places = []
    for hit in row.labels:
        y, x = np.nonzero(window.frames[hit, 0] > 128)
        places.append((x.mean() + 0.5, y.mean() + 0.5))
    return replace(row, label_positions_px=tuple(places)), store, window


def test_near_is_an_eighth_of_the_diagonal():
    """60 x 80 px: diagonal 100, an eighth is 12.5 px."""
    assert is_near((0.5, 0.5), (40.0, 42.5), (60, 80))
    assert is_near((0.5, 0.5), (52.5, 30.0), (60, 80))
    assert not is_near((0.5, 0.5), (52.6, 30.0), (60, 80))
    assert not is_near((0.5, 0.5), (40.0, 42.6), (60, 80))


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(16, 300), st.integers(16, 300)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=80)
def test_chance_is_the_mean_over_all_cells(grid, size, fraction):
    """Against the same question asked of a map with its peak in each cell in turn, in px of the video."""
    contact = (fraction[0] * size[1], fraction[1] * size[0])
    reach = np.sqrt(size[0] ** 2 + size[1] ** 2) / 8
    near = []
    for cell in np.ndindex(*grid):
        where = np.zeros(grid)
        where[cell] = 1
        y_px, x_px = ((cell[axis] + 0.5) / grid[axis] * size[axis] for axis in (0, 1))
        near.append(np.sqrt((x_px - contact[0]) ** 2 + (y_px - contact[1]) ** 2) <= reach)
        assert is_near(peak_place(where), contact, size) == near[-1]
    assert chance(grid, contact, size) == pytest.approx(np.mean(near))


def test_places_are_x_then_y():
    where = np.zeros((4, 8))
    where[1, 6] = 1
    assert peak_place(where) == (6.5 / 8, 1.5 / 4)


def test_the_inflection_is_found_where_the_square_turns(toy_params):
    row, store, window = toy_row_with_places(toy_params)
    places = inflection_places(row, window, store.attributes(row.row_id).video_size)
    assert places.video_size == (32, 32)
    assert list(places.places) == list(row.labels)
    for hit, contact in zip(row.labels, row.label_positions_px, strict=True):
        x, y = places.places[hit]
        assert abs(32 * x - contact[0]) <= 4  # inside the square of 8 x 8
        assert abs(32 * y - contact[1]) <= 4


def test_the_inflection_is_that_of_the_frames_beside():
    """Only a+ of frame 3 and a- of frame 5 speak of frame 4; the ends take the frame that is there."""
    inflection = np.zeros((9, 2, 2, 6, 6), np.int16)
    inflection[3, 0, :, 1, 2] = 64
    inflection[5, 1, :, 1, 2] = -64
    inflection[4, :, :, 5, 5] = 500
    window = Window(np.zeros((9, 3, 6, 6), np.uint8), inflection, inflection, np.arange(9.0))
    assert inflection_place(inflection_at(window, 4)) == (2.5 / 6, 1.5 / 6)
    inflection[0, 0, 0, 3, 3] = inflection[1, 1, 1, 3, 3] = 9
    assert inflection_place(inflection_at(window, 0)) == (3.5 / 6, 3.5 / 6)


def test_one_wild_vector_is_no_place():
    field = np.zeros((2, 2, 20, 20), np.int16)
    field[:, 0, 2, 2] = 100
    field[:, 0, 10:15, 10:15] = 40
    assert inflection_place(field) == (12.5 / 20, 12.5 / 20)


def test_hits_are_asked_one_by_one(toy_params):
    """Maps that point at the square in one hit, at a corner in the next, and say nothing of the third."""
    row, store, window = toy_row_with_places(toy_params)
    row = replace(row, annotated=((0, row.labels[3] if len(row.labels) > 3 else row.n_frames),))
    places = inflection_places(row, window, store.attributes(row.row_id).video_size)
    maps = np.full((row.n_frames, 4, 4), 0.5, np.float32)
    first, second, third = row.labels[:3]
    x, y = row.label_positions_px[0]
    maps[first, int(y / 8), int(x / 8)] = 0.9
    maps[second, 3, 0 if row.label_positions_px[1][0] > 16 else 3] = 0.9
    maps[third] = np.nan
    hits, without_map = pointed_hits(row, as_saved(maps), places)
    assert len(contacts(row)) == 3
    assert [hit.by_map for hit in hits] == [True, False]
    assert without_map == 1
    section = where_section([(hits, without_map), ([], 0)], 50)
    assert section["hits"] == 2
    assert section["pointing_game"] == 0.5
    assert section["inflection_peak"] == np.mean([hit.by_inflection for hit in hits])
    assert section["chance"] == pytest.approx(np.mean([hit.chance for hit in hits]))
    assert section["ci95"]["pointing_game"] == [0.5, 0.5]


def test_shares_are_of_hits_not_of_videos():
    rows = [([Pointed(True, False, 0.1)] * 3, 0), ([Pointed(False, True, 0.3)], 2)]
    section = where_section(rows, 200)
    assert (section["pointing_game"], section["inflection_peak"]) == (0.75, 0.25)
    assert section["chance"] == pytest.approx(0.15)
    assert section["hits_without_map"] == 2
    assert section["ci95"] == {"pointing_game": [0.0, 1.0], "inflection_peak": [0.0, 1.0]}


def test_a_row_without_places_is_not_asked(toy_params):
    row = read_catalog(toy_params.source.catalog).rows[0]
    found = pointed_hits(row, np.zeros((40, 2, 2)), InflectionPlaces((32, 32), {}))
    assert found == ([], 0)
    assert where_section([found], 20) == {
        "hits": 0,
        "hits_without_map": 0,
        "pointing_game": None,
        "inflection_peak": None,
        "chance": None,
    }


def test_maps_come_back_from_disk(tmp_path):
    rng = np.random.default_rng(0)
    maps = {"file": rng.random((7, 4, 4), np.float32), "a~2.b": rng.random((3, 4, 4), np.float32)}
    maps["a~2.b"][0] = np.nan
    write_maps(maps.items(), tmp_path / "maps.npz")
    found = read_maps(tmp_path / "maps.npz", {"file": 7, "a~2.b": 3})
    for row_id, values in maps.items():
        np.testing.assert_array_equal(found[row_id], values.astype(np.float16))
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["a~2.b", "file"]
    write_maps(maps.items(), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "maps.npz").read_bytes()


def test_foreign_maps_are_refused(tmp_path):
    file = tmp_path / "maps.npz"
    write_maps([("a", np.zeros((3, 2, 2), np.float32))], file)
    with pytest.raises(UserError, match="no maps of a row"):
        read_maps(file, {"b": 3})
    with pytest.raises(UserError, match=r"float16 \(3, 2, 2\) where 4 maps"):
        read_maps(file, {"a": 4})
    np.savez(file, a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="not an archive of maps"):
        read_maps(file, {"a": 1})
    file.write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(UserError, match="not an archive of maps"):
        read_maps(file, {"a": 1})
