"""Rows on object storage: as in a folder, visible by one PUT, and nothing of others is harmed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from fractions import Fraction

import fsspec
import numpy as np
import pytest
import zarr

from pipeline.errors import ParamsError, StorageError, StoreError
from pipeline.kinematics import Coding, KinematicsChunk, encode, hold_edges, inflection
from pipeline.params import DataParams, StoreParams, parse_params
from pipeline.store import FlowStore, RowAttributes, create_store, open_or_create, open_store
from pipeline.store.objects import ObjectPlace
from pipeline.store.opening import open_named, place_at, store_exists
from pipeline.store.repair import repair
from pipeline.store.validation import examine

N, SIZE = 21, (6, 8)
EIGHTS = StoreParams(chunk_frames=8)
ATTRIBUTES = RowAttributes(
    n_frames=N,
    fps=Fraction(30000, 1001),
    first_frame=0,
    labels=(3, 7),
    annotated=((0, 20),),
    video_size=(48, 64),
    flow_size=(24, 32),
    store_size=SIZE,
    coding=Coding("int16", 64),
    estimator={"model": "dis", "size": [24, 32]},
    video_sha256="0" * 64,
    fingerprint="f" * 64,
)


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.network)])
def url(request):
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/some/flows.zarr"
    return f"memory://{uuid.uuid4().hex}/flows.zarr"


@pytest.fixture
def store(url):
    return create_store(place_at(url))


def chunk_of(seed=0):
    rng = np.random.default_rng(seed)
    velocity, _ = encode(hold_edges(rng.normal(0, 4, (N - 1, 2, 2, *SIZE))), ATTRIBUTES.coding)
    frames = rng.integers(0, 256, (N, 3, *SIZE)).astype(np.uint8)
    return KinematicsChunk(frames, velocity, inflection(velocity), 0, 0)


def write(store, row_id="a", seed=0, attributes=ATTRIBUTES):
    chunk = chunk_of(seed)
    with store.writer(row_id, attributes, np.arange(N) / 25, EIGHTS) as writer:
        writer.append(chunk)
    return chunk


def objects_of(url):
    """Every key below the store, relative to it, by a file system of our own."""
    system, root = fsspec.url_to_fs(url, use_listings_cache=False)
    return {path.removeprefix(f"{root}/"): path for path in system.find(root)}


def arrays_of(store, row_id):
    return [getattr(store.read(row_id, 0, N), f.name) for f in dataclasses.fields(store.read(row_id, 0, 1))]


def test_rows_are_those_of_a_folder(store, url, tmp_path):
    local = create_store(tmp_path / "flows.zarr")
    for row_id, seed in (("a", 0), ("b.c~d", 1)):
        write(store, row_id, seed)
        write(local, row_id, seed)
    assert store.row_ids() == local.row_ids() == ["a", "b.c~d"]
    assert store.fingerprints() == local.fingerprints()
    assert (store.coding, store.attributes("a")) == (local.coding, local.attributes("a"))
    for row_id in local.row_ids():
        for one, other in zip(arrays_of(store, row_id), arrays_of(local, row_id), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert store.document(row_id).checksum() == local.document(row_id).checksum() is not None
    assert examine(store.place, deep=True).problems == ()
    np.testing.assert_array_equal(store.times_s("a"), np.arange(N) / 25)
    # any Zarr program can read it, where the row's document says
    key = (
        store.attributes("a")
        and json.loads(store.place.read(["a/zarr.json"])[0])["attributes"]["data"]["key"]
    )
    group = zarr.open_group(f"{url}/{key}", mode="r")
    np.testing.assert_array_equal(group["velocity"][:], store.read("a", 0, N).velocity)
    assert group.attrs["fps"] == "30000/1001"


def test_another_opening_sees_what_was_written_after_it(store, url):
    other = FlowStore(place_at(url))
    assert other.row_ids() == []
    write(store)
    assert other.row_ids() == ["a"]
    assert open_named(url)[0].fingerprint("a") == "f" * 64


def test_a_row_is_not_there_before_its_document(store, url):
    with store.writer("a", ATTRIBUTES, np.arange(N) / 25, EIGHTS) as writer:
        writer.append(chunk_of())
        assert any(key.startswith(".data/a~") for key in objects_of(url))
        assert (store.row_ids(), store.fingerprint("a"), store.validate()) == ([], None, [])
        assert store.remove_leftovers() == 0  # somebody is at work on it
    assert store.row_ids() == ["a"]


def test_an_error_while_writing_keeps_the_old_row_and_leaves_nothing(store, url):
    old, before = write(store), None
    before = objects_of(url).keys()

    def fill():
        with store.writer("a", ATTRIBUTES, np.arange(N) / 25, EIGHTS) as writer:
            writer.append(chunk_of(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill()
    assert objects_of(url).keys() == before
    np.testing.assert_array_equal(store.read("a", 0, N).velocity, old.velocity)


def test_replacing_a_row_is_seen_by_an_open_store_and_deletes_the_old(store, url):
    write(store)
    count = len(objects_of(url))
    store.read("a", 0, 2)
    new = write(FlowStore(place_at(url)), seed=1)
    assert len(objects_of(url)) == count
    np.testing.assert_array_equal(store.read("a", 0, N).velocity, new.velocity)
    np.testing.assert_array_equal(store.read("a", 0, N).frames, new.frames)


def test_removing_spares_what_another_builder_writes(store, url):
    write(store)
    with store.writer("a", ATTRIBUTES, np.arange(N) / 25, EIGHTS) as writer:
        writer.append(chunk_of(1))
        other = FlowStore(place_at(url))
        other.remove("a")
        other.remove("a")
        assert other.row_ids() == []
    np.testing.assert_array_equal(store.read("a", 0, N).velocity, chunk_of(1).velocity)
    assert store.validate(deep=True) == []


def test_labels_change_without_the_arrays(store, url):
    write(store)
    before = objects_of(url).keys()
    store.update_labels("a", (1, 2, 9), ((0, 15),))
    assert (store.attributes("a").labels, store.attributes("a").annotated) == ((1, 2, 9), ((0, 15),))
    assert store.validate(deep=True) == []
    assert objects_of(url).keys() == before
    with pytest.raises(StoreError, match="no row b"):
        store.update_labels("b", (), ((0, 3),))


def test_labels_of_a_row_that_is_being_replaced_never_name_deleted_arrays(store, url):
    write(store)

    def change(content):
        write(FlowStore(place_at(url)), seed=1)
        return content

    with pytest.raises(StoreError, match="just replaced"):
        store.place.edit("a", change)
    assert store.row_ids() == []  # the next build makes it; a row without arrays it is not
    assert store.validate() == []


def test_leftovers_are_those_of_the_dead(store, url):
    write(store)
    system, root = fsspec.url_to_fs(url)
    (mine,) = {key.split("/")[1] for key in objects_of(url) if key.startswith(".data/")}
    row, machine, _, name = mine.split("~")
    dead, elsewhere = f"{row}~{machine}~{2**22 + 1}~{name}", f"b~{'0' * 12}~1~{name}"
    for attempt in (dead, elsewhere):
        system.pipe_file(f"{root}/.data/{attempt}/frames/c/0/0/0/0", b"x")
    assert store.place.leftovers() == [f".data/{dead}"]
    assert "1 unfinished" in examine(store.place).notes[0]
    assert repair(store.place).leftovers == (f".data/{dead}",)
    kept = {key.split("/")[1] for key in objects_of(url) if key.startswith(".data/")}
    assert kept == {mine, elsewhere}
    assert store.validate(deep=True) == []


def test_damage_is_found_and_dropped(store, url):
    for name in "abcde":
        write(store, name)
    objects = objects_of(url)
    system, _ = fsspec.url_to_fs(url)

    def chunk(row_id):
        return next(p for k, p in objects.items() if k.startswith(f".data/{row_id}~") and "frames/c/2/" in k)

    system.rm_file(chunk("a"))
    content = bytearray(system.cat_file(chunk("b")))
    content[7] ^= 1
    system.pipe_file(chunk("b"), bytes(content))
    system.pipe_file(objects["c/zarr.json"], b"not JSON")
    system.rm_file(objects["d/zarr.json"])  # its arrays are a leftover of a living process: this one
    with pytest.raises(StoreError, match="row a is damaged"):
        store.read("a", 14, 17)
    store.read("a", 0, 16)
    assert {p.row_id for p in examine(store.place).problems} == {"a", "c"}
    assert {p.row_id for p in examine(store.place, deep=True).problems} == {"a", "b", "c"}
    assert set(repair(store.place, deep=True).row_ids) == {"a", "b", "c"}
    assert store.row_ids() == ["e"]
    assert store.validate(deep=True) == []


KILLED = """
import os, signal, sys
import numpy as np
sys.path.insert(0, {tests!r})
import test_store_objects as t
store = t.FlowStore(t.place_at({url!r}))
with store.writer("b", t.ATTRIBUTES, np.arange(t.N) / 25, t.EIGHTS) as writer:
    chunk = t.chunk_of()
    writer.append(t.KinematicsChunk(chunk.frames[:12], chunk.velocity[:12], chunk.inflection[:12], 0, 0))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.kill
def test_a_killed_writer_leaves_nothing_readable(bucket):
    url = f"{bucket}/flows"
    store = create_store(place_at(url))
    write(store)
    code = KILLED.format(tests=os.path.dirname(__file__), url=url)  # noqa: PTH120
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert sum(key.startswith(".data/b~") for key in objects_of(url)) > 5
    assert store.row_ids() == ["a"]
    assert store.validate(deep=True) == []
    assert store.remove_leftovers() == 1
    assert not any(key.startswith(".data/b~") for key in objects_of(url))
    assert store.validate(deep=True) == []


def test_a_folder_may_be_named_by_a_url(tmp_path):
    for url in (f"file://{tmp_path}/flows", str(tmp_path / "flows")):
        params = StoreParams(path=str(tmp_path / "manifest"), url=url)
        write(open_or_create(params), url.partition(":")[0][-4:])
    assert open_store(params).path == tmp_path / "flows"
    assert len(open_store(params).row_ids()) == 2


def test_places_are_not_mixed_up(tmp_path, url):
    there = StoreParams(path=str(tmp_path / "flows.zarr"), url=url)
    assert not store_exists(there)
    with pytest.raises(StoreError, match="no flow store here"):
        open_store(there)
    open_or_create(there)
    assert store_exists(there)
    open_or_create(StoreParams(path=str(tmp_path / "flows.zarr")))
    with pytest.raises(StoreError, match="there is a flow store here"):
        open_store(there)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text(json.dumps({"flow_store": 1, "url": url, "rows": {}}))
    with pytest.raises(StoreError, match=r"set store\.url"):
        open_or_create(StoreParams(path=str(tmp_path / "other")))
    system, root = fsspec.url_to_fs(url)
    system.pipe_file(f"{root}/zarr.json", b"{}")
    with pytest.raises(StoreError, match="not a flow store"):
        open_or_create(StoreParams(path=str(tmp_path / "third"), url=url))


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA1234:wJalr/XUtn@bucket/flows",
        "s3://AKIA1234:wJalr@bucket/flows",
        "s3://bucket/flows?secret=wJalr",
        "s3://bucket/flows#wJalr",
        "simplecache::s3://wJalr/flows",
        " ",
    ],
)
def test_addresses_with_credentials_are_refused_and_not_printed(url):
    with pytest.raises(ParamsError, match=r"store\.url") as refused:
        parse_params({"store": {"url": url}}, DataParams, "params.yaml")
    if "::" not in url:
        assert "wJalr" not in str(refused.value)
    with pytest.raises(ParamsError) as refused:
        parse_params({"store": url}, DataParams, "params.yaml")  # in a place where it makes no sense, either
    if "::" not in url:
        assert "wJalr" not in str(refused.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(StoreError, match=r"pip install 'ta2net\[s3\]'"):
        place_at("s3://bucket/flows")
    with pytest.raises(StoreError, match="gopher"):
        place_at("gopher://hole/flows")


@pytest.mark.usefixtures("s3_server")
def test_a_missing_bucket_is_said():
    with pytest.raises(StorageError, match=r"cannot write.*bucket does not exist"):
        create_store(place_at("s3://no-such-bucket-here/flows"))


@pytest.mark.network
def test_storage_that_does_not_answer_is_an_error_of_its_own(monkeypatch):
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA1234")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalr")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(StorageError, match=r"cannot list.*credentials in the environment") as error:
        create_store(ObjectPlace("s3://bucket/flows"))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert "wJalr" not in str(error.value)
    assert isinstance(error.value, StoreError)
