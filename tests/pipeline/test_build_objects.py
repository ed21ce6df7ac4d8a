"""Builds into object storage: killed, resumed, two at once; the result is that of one build into a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import fsspec
import numpy as np
import pytest

from pipeline.build import build
from pipeline.catalog import Catalog, Row, write_catalog
from pipeline.errors import UserError
from pipeline.files.atomic import sha256_of
from pipeline.params import DataParams
from pipeline.store import FlowStore, open_or_create, open_store
from pipeline.store.manifest import read_manifest
from pipeline.store.validation import examine

pytestmark = [pytest.mark.slow, pytest.mark.kill]

FRAMES, ROWS = 24, 4
BUILDER = """
import sys
from pipeline.build import build
from pipeline.catalog import read_catalog
from pipeline.params import DataParams
if __name__ == "__main__":
    build(read_catalog(sys.argv[1]), DataParams.model_validate_json(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def videos(films, tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [films.write_video(folder / f"v{i}.mp4", n_frames=FRAMES + i) for i in range(ROWS)]


@pytest.fixture(scope="module")
def catalog(videos):
    return Catalog(
        tuple(
            Row(
                row_id=path.stem,
                source="csv",
                video_id=path.stem,
                group=path.stem,
                path=str(path),
                split="train",
                class_name="",
                labels=(5,),
                label_positions_px=None,
                annotated=((0, FRAMES + number),),
                fps=Fraction(25),
                n_frames=FRAMES + number,
                sha256=sha256_of(path),
            )
            for number, path in enumerate(videos)
        )
    )


def params_at(folder, url=None):
    folder.mkdir(exist_ok=True)
    return DataParams.model_validate(
        {
            "flow": {"size": [48, 64]},
            "store": {"size": [24, 32], "chunk_frames": 16, "path": str(folder / "flows.zarr"), "url": url},
            "build": {"scheduler": "threads", "workers": 1, "failures": str(folder / "failures.json")},
        }
    )


@pytest.fixture(scope="module")
def local(catalog, tmp_path_factory):
    """The store of an undisturbed build into a folder."""
    params = params_at(tmp_path_factory.mktemp("local"))
    build(catalog, params)
    return open_store(params.store)


def builder(catalog, params, folder):
    write_catalog(catalog, folder / "catalog.jsonl")
    command = [sys.executable, "-c", BUILDER, str(folder / "catalog.jsonl"), params.model_dump_json()]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def assert_same(store: FlowStore, local: FlowStore) -> None:
    """Whole, and equal array by array, checksum by checksum."""
    report = examine(store.place, deep=True)
    assert report.problems == ()
    assert store.row_ids() == local.row_ids()
    for row_id in local.row_ids():
        assert store.document(row_id).checksum() == local.document(row_id).checksum()
        assert store.attributes(row_id) == local.attributes(row_id)
        one, other = (place.read(row_id, 0, FRAMES) for place in (store, local))
        for name in ("frames", "velocity", "inflection", "time_s"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def attempts(url):
    system, root = fsspec.url_to_fs(url, use_listings_cache=False)
    try:
        return {path.rpartition("/")[2] for path in system.ls(f"{root}/.data", detail=False)}
    except FileNotFoundError:
        return set()


def test_a_build_into_memory_is_the_build_into_a_folder(catalog, local, tmp_path):
    params = params_at(tmp_path, f"memory://{tmp_path.name}/flows")
    assert build(catalog, params).computed == ROWS
    assert_same(open_store(params.store), local)
    manifest = tmp_path / "flows.zarr" / "manifest.json"
    assert [path.name for path in manifest.parent.iterdir()] == ["manifest.json"]
    first = manifest.read_bytes()
    rows = read_manifest(manifest.parent).rows
    assert {row_id: listed.checksum for row_id, listed in rows.items()} == {
        row_id: local.document(row_id).checksum() for row_id in local.row_ids()
    }
    # nothing to do: the same manifest; fewer rows, other labels: another
    assert build(catalog, params).kept == ROWS
    assert manifest.read_bytes() == first
    assert build(Catalog(catalog.rows[1:]), params).removed == 1
    assert "v0" not in json.loads(manifest.read_text())["rows"]
    assert build(catalog, params).computed == 1
    assert manifest.read_bytes() == first


def test_memory_is_refused_where_rows_are_made_in_other_processes(catalog, tmp_path):
    params = params_at(tmp_path, f"memory://{tmp_path.name}/flows")
    apart = params.model_copy(update={"build": params.build.model_copy(update={"scheduler": "local"})})
    with pytest.raises(UserError, match="exists in one process only"):
        build(catalog, apart)


def test_a_build_killed_during_a_row_goes_on(catalog, local, bucket, tmp_path):
    params = params_at(tmp_path, f"{bucket}/flows")
    url = params.store.url
    process = builder(catalog, params, tmp_path)
    finished: list[str] = []
    deadline = time.monotonic() + 120
    while not (finished and len(attempts(url)) > len(finished)):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        finished = open_or_create(params.store).row_ids()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    store = open_store(params.store)
    assert store.validate(deep=True) == []  # what is visible is whole
    finished = store.row_ids()
    assert 1 <= len(finished) < ROWS
    before = attempts(url)
    summary = build(catalog, params)
    assert (summary.kept, summary.computed) == (len(finished), ROWS - len(finished))
    assert_same(store, local)
    assert len(attempts(url)) == ROWS  # what the killed one left is gone
    assert {name for name in before if name.split("~")[0] in finished} <= attempts(url)


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_two_builders_at_once_make_the_store_of_one(catalog, local, tmp_path, where, request):
    url = f"{request.getfixturevalue('bucket')}/flows" if where == "s3" else None
    params = params_at(tmp_path, url)
    # a row of older making, which both find stale and replace
    stale = params.model_copy(update={"store": params.store.model_copy(update={"chunk_frames": 4})})
    build(Catalog(catalog.rows[:1]), stale)
    both = [builder(catalog, params, tmp_path) for _ in range(2)]
    for process in both:
        _, messages = process.communicate(timeout=200)
        assert process.returncode == 0, messages.decode()
    assert_same(open_store(params.store), local)
    assert json.loads((tmp_path / "failures.json").read_text()) == []
    summary = build(catalog, params)
    assert (summary.kept, summary.computed) == (ROWS, 0)
    if url is None:
        names = sorted(path.name for path in (tmp_path / "flows.zarr").iterdir())
        assert names == [*local.row_ids(), "zarr.json"]
    else:
        assert len(attempts(url)) == ROWS
