"""The flow store on disk: round trips, atomicity, labels, refusals and validation."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
import zarr

from pipeline.errors import StoreError, VideoError
from pipeline.kinematics import Coding, KinematicsChunk, decode, encode, hold_edges, inflection
from pipeline.params import StoreParams
from pipeline.store import FlowStore, RowAttributes, create_store, fingerprint_of
from pipeline.store.local import hidden_path

N, SIZE = 21, (6, 8)
INT16 = Coding("int16", 64)
FOURS = StoreParams(chunk_frames=4)
TIMES_S = np.arange(N) * 1001 / 30000 + 0.25


def attributes_of(coding=INT16, n=N, fingerprint="f" * 64):
    return RowAttributes(
        n_frames=n,
        fps=Fraction(30000, 1001),
        first_frame=0,
        labels=(3, 7),
        annotated=((0, 20),),
        video_size=(48, 64),
        flow_size=(24, 32),
        store_size=SIZE,
        coding=coding,
        estimator={"model": "dis", "size": [24, 32]},
        video_sha256="0" * 64,
        fingerprint=fingerprint,
    )


def kinematics(coding=INT16, n=N, seed=0):
    """A random tuple of n frames and the flow in px it was coded from."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (n, 3, *SIZE)).astype(np.uint8)
    velocity_px = hold_edges(rng.normal(0, 4, (n - 1, 2, 2, *SIZE)).astype(np.float32))
    velocity, saturated = encode(velocity_px, coding)
    return KinematicsChunk(frames, velocity, inflection(velocity), saturated, 5), velocity_px


def pieces(chunk, *lengths):
    """``chunk`` cut into pieces; the counts go with the first."""
    start = 0
    for index, length in enumerate(lengths):
        part = slice(start, start + length)
        counts = (chunk.saturated_velocity, chunk.saturated_inflection) if index == 0 else (0, 0)
        yield KinematicsChunk(chunk.frames[part], chunk.velocity[part], chunk.inflection[part], *counts)
        start += length


def write(store, row_id="a", layout=FOURS, attributes=None, lengths=(1, 9, 0, 11), seed=0):
    attributes = attributes or attributes_of()
    chunk, velocity_px = kinematics(attributes.coding, attributes.n_frames, seed)
    with store.writer(row_id, attributes, TIMES_S[: attributes.n_frames], layout) as writer:
        for piece in pieces(chunk, *lengths):
            writer.append(piece)
    return chunk, velocity_px


@pytest.fixture
def store(tmp_path):
    return create_store(tmp_path / "flows.zarr")


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("kind", ["int16", "float16"])
def test_round_trip(store, codec, kind):
    coding = Coding.of(kind, 64)
    chunk, velocity_px = write(
        store, layout=StoreParams(codec=codec, chunk_frames=4), attributes=attributes_of(coding)
    )
    for start, stop in [(0, N), (3, 9), (5, 5), (N - 1, N)]:
        window = store.read("a", start, stop)
        np.testing.assert_array_equal(window.frames, chunk.frames[start:stop])
        np.testing.assert_array_equal(window.velocity, chunk.velocity[start:stop])
        np.testing.assert_array_equal(window.inflection, chunk.inflection[start:stop])
        np.testing.assert_array_equal(window.time_s, TIMES_S[start:stop])
        assert window.velocity.dtype == kind
    window = store.read("a", 0, N)
    np.testing.assert_array_equal(inflection(window.velocity), window.inflection)
    bound = 0.5 / 64 if kind == "int16" else np.abs(velocity_px).max() * 2**-11
    assert np.abs(decode(window.velocity, coding) - velocity_px).max() <= bound + 1e-7
    assert store.validate(deep=True) == []


def test_attributes_and_layout(store):
    chunk, _ = write(store)
    got = store.attributes("a")
    assert got == dataclasses.replace(
        attributes_of(), saturated_velocity=chunk.saturated_velocity, saturated_inflection=5
    )
    assert store.row_ids() == ["a"]
    assert store.fingerprint("a") == "f" * 64
    assert store.fingerprint("b") is None
    assert store.coding == Coding("int16", 64)
    np.testing.assert_array_equal(store.times_s("a"), TIMES_S)
    assert len(store.reader("a")(2, 5).frames) == 3
    # any Zarr program can read it
    group = zarr.open_group(str(store.path), mode="r")["a"]
    assert group.attrs["fps"] == "30000/1001"
    assert group.attrs["state"] == "complete"
    assert group["velocity"].chunks == (4, 2, 2, *SIZE)
    assert group["frames"].compressors == ()
    np.testing.assert_array_equal(group["velocity"][:], chunk.velocity)


def test_frames_that_do_not_exist_are_refused(store):
    write(store)
    for start, stop in [(-1, 3), (5, 4), (0, N + 1)]:
        with pytest.raises(IndexError):
            store.read("a", start, stop)
    with pytest.raises(StoreError, match="no row b"):
        store.read("b", 0, 1)


def test_a_file_is_no_row(store):
    (store.path / "a").write_text("no folder")
    for call in (
        store.attributes,
        lambda name: store.read(name, 0, 1),
        lambda name: store.update_labels(name, (), ((0, 1),)),
    ):
        with pytest.raises(StoreError, match="no row a"):
            call("a")
    assert store.row_ids() == []


@pytest.mark.parametrize("row_id", ["..", ".hidden", "a/b", "", "a\n", "/etc", "a\\b"])
def test_unsafe_row_ids_are_refused(store, row_id):
    for call in (store.attributes, store.remove, lambda name: store.read(name, 0, 1)):
        with pytest.raises(StoreError, match="row id"):
            call(row_id)


@pytest.mark.parametrize("lengths", [(20,), (10, 12)])
def test_another_number_of_frames_leaves_no_row(store, lengths):
    attributes = attributes_of()
    chunk, _ = kinematics(n=22)

    def fill():
        with store.writer("a", attributes, TIMES_S, StoreParams()) as writer:
            for piece in pieces(chunk, *lengths):
                writer.append(piece)

    with pytest.raises(VideoError, match="frames it announces"):
        fill()
    assert store.row_ids() == []
    assert [path.name for path in store.path.iterdir()] == ["zarr.json"]


def test_an_error_while_writing_keeps_the_old_row(store):
    old, _ = write(store)
    chunk, _ = kinematics(seed=1)

    def fill():
        with store.writer("a", attributes_of(), TIMES_S, FOURS) as writer:
            writer.append(next(pieces(chunk, 10)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill()
    np.testing.assert_array_equal(store.read("a", 0, N).velocity, old.velocity)
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "zarr.json"]


def test_replacing_a_row_is_seen_by_an_open_store(store):
    write(store)
    store.read("a", 0, 2)
    new, _ = write(FlowStore(store.path), seed=1)
    np.testing.assert_array_equal(store.read("a", 0, N).velocity, new.velocity)
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "zarr.json"]


def test_a_row_being_written_is_not_there(store):
    chunk, _ = kinematics()
    with store.writer("a", attributes_of(), TIMES_S, FOURS) as writer:
        writer.append(chunk)
        assert store.row_ids() == []
        assert store.validate() == []
        with pytest.raises(StoreError):
            store.attributes("a")
        assert store.remove_leftovers() == 0
    assert store.row_ids() == ["a"]


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_store as t
store = t.FlowStore({store!r})
chunk, _ = t.kinematics()
with store.writer("b", t.attributes_of(), t.TIMES_S, t.FOURS) as writer:
    writer.append(next(t.pieces(chunk, 12)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.kill
def test_a_killed_writer_leaves_nothing_readable(store):
    write(store)
    code = KILLED.format(tests=os.path.dirname(__file__), store=str(store.path))  # noqa: PTH120
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    hidden = [path for path in store.path.iterdir() if path.name.startswith(".writing")]
    assert len(hidden) == 1
    assert (hidden[0] / "velocity" / "c").exists()
    assert store.row_ids() == ["a"]
    assert store.validate(deep=True) == []
    assert store.remove_leftovers() == 1
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "zarr.json"]


def test_leftovers_of_others_stay_for_a_day(store):
    mine = hidden_path(store.path, "writing")
    _, machine, _, name = mine.name.split("@")
    elsewhere = store.path / f".writing@{'0' * 12}@1@{name}"
    dead = store.path / f".trash@{machine}@{2**22 + 1}@{name}"
    for path in (mine, elsewhere, dead):
        (path / "velocity").mkdir(parents=True)
    assert store.remove_leftovers() == 1
    assert not dead.exists()
    yesterday = time.time() - 25 * 3600
    for path in (elsewhere / "velocity", elsewhere):
        os.utime(path, (yesterday, yesterday))
    assert store.remove_leftovers() == 1
    assert mine.exists()
    assert not elsewhere.exists()


def test_half_written_labels_go_with_the_next_ones(store):
    write(store)
    dead = (
        store.path / "a" / f".zarr.json.{hidden_path(store.path, 'x').name.split('@')[1]}@{2**22 + 1}@ab.tmp"
    )
    dead.write_bytes(b"half")
    store.update_labels("a", (1, 2, 9), ((0, 4), (8, 15)))
    assert not dead.exists()
    assert store.validate(deep=True) == []


def test_labels_change_without_the_arrays(store):
    chunk, _ = write(store)
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("c/**/*") if path.is_file()}
    store.update_labels("a", (1, 2, 9), ((0, 4), (8, 15)))
    got = store.attributes("a")
    assert (got.labels, got.annotated) == ((1, 2, 9), ((0, 4), (8, 15)))
    assert store.fingerprint("a") == "f" * 64
    assert before == {path: path.stat().st_mtime_ns for path in store.path.rglob("c/**/*") if path.is_file()}
    np.testing.assert_array_equal(store.read("a", 0, N).inflection, chunk.inflection)
    assert store.validate(deep=True) == []


def test_removing(store):
    write(store)
    store.remove("a")
    store.remove("a")
    assert store.row_ids() == []
    assert [path.name for path in store.path.iterdir()] == ["zarr.json"]


def test_mixed_codings_are_refused(store):
    with pytest.raises(StoreError, match="no rows"):
        _ = store.coding
    write(store)
    write(store, "b", attributes=attributes_of(Coding("int16", 128)))
    with pytest.raises(StoreError, match="2 codings"):
        _ = store.coding


def test_foreign_places_are_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no flow store here"):
        FlowStore(tmp_path / "none")
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(StoreError, match="not a flow store"):
        create_store(tmp_path / "other.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="not a flow store"):
        create_store(tmp_path / "folder")
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StoreError, match="not a flow store"):
        create_store(tmp_path / "file")
    newer = create_store(tmp_path / "newer.zarr").path / "zarr.json"
    newer.write_text(newer.read_text().replace("1\n", "2\n"))
    with pytest.raises(StoreError, match="newer version"):
        FlowStore(newer.parent)


def test_a_missing_or_damaged_chunk_is_an_error_not_zeros(store):
    write(store)
    store.read("a", 0, N)
    chunk = store.path / "a" / "velocity" / "c" / "1" / "0" / "0" / "0" / "0"
    content = chunk.read_bytes()
    assert np.abs(store.read("a", 0, 4).velocity).sum() > 0
    for damage in (
        None,
        b"",
        b"garbage",
        content[:-1],
        content + b"0",
        content[:20] + b"\xff" * (len(content) - 20),
    ):
        chunk.unlink(missing_ok=True)
        if damage is not None:
            chunk.write_bytes(damage)
        with pytest.raises(StoreError, match=r"row a is damaged.*velocity.*"):
            store.read("a", 3, 6)
        store.read("a", 0, 4)  # the chunk before it
    chunk.write_bytes(content)
    store.read("a", 3, 6)


def test_labels_of_a_row_that_goes_away_leave_nothing_behind(store):
    write(store)

    def removed(content):
        store.remove("a")
        return content

    with pytest.raises(FileNotFoundError):
        store.place.edit("a", removed)  # another builder removes the row in the middle of it
    assert [path.name for path in store.path.iterdir()] == ["zarr.json"]
    with pytest.raises(StoreError, match="no row a"):
        store.update_labels("a", (1,), ((0, 9),))
    assert [path.name for path in store.path.iterdir()] == ["zarr.json"]


def test_a_row_made_right_meanwhile_is_not_removed(store):
    write(store)
    store.remove("a", unless="f" * 64)
    assert store.row_ids() == ["a"]
    store.remove("a", unless="e" * 64)
    assert store.row_ids() == []


READER = """
import sys, numpy as np
from pipeline.store import FlowStore
store = FlowStore(sys.argv[1])
seen = set()
print("reading", flush=True)
while True:
    try:
        window = store.read("a", 0, 21)
    except Exception as error:
        if "no row a" not in str(error):  # for an instant there is none
            raise
        continue
    assert len({len(np.unique(x)) for x in (window.frames, window.velocity)}) == 1
    value = int(window.frames[0, 0, 0, 0])
    assert (window.frames == value).all() and (window.velocity == value).all(), "two rows mixed"
    seen.add(value)
    if len(seen) >= 6:
        break
"""


@pytest.mark.slow
def test_a_reader_sees_the_old_row_or_the_new_one(store):
    def replace_by(value):
        frames = np.full((N, 3, *SIZE), value, np.uint8)
        velocity = np.full((N, 2, 2, *SIZE), value, np.int16)
        with store.writer("a", attributes_of(), TIMES_S, FOURS) as writer:
            writer.append(KinematicsChunk(frames, velocity, np.zeros_like(velocity), 0, 0))

    replace_by(0)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(store.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reader:
        assert reader.stdout.readline() == b"reading\n"
        value = 0
        while reader.poll() is None:
            value = (value + 1) % 250
            replace_by(value)
        assert reader.returncode == 0, reader.stderr.read().decode()


def test_fingerprints_are_of_content_not_of_order():
    assert fingerprint_of({"a": 1, "b": [2, 3]}) == fingerprint_of({"b": [2, 3], "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
    # sha256 of '{"a":1}' by sha256sum
    assert fingerprint_of({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
