"""validate and repair: what they find, what they leave alone."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from pipeline.build.plan import plan_of
from pipeline.catalog import Catalog, Row, write_catalog
from pipeline.kinematics import Coding, KinematicsChunk, encode, hold_edges, inflection
from pipeline.params import StoreParams
from pipeline.store import RowAttributes, create_store
from pipeline.store.checksums import document_checksum
from pipeline.store.contents import _follows
from pipeline.store.local import hidden_path
from pipeline.store.manifest import write_manifest
from pipeline.store.opening import place_at
from pipeline.store.repair import repair
from pipeline.store.validation import examine
from ta2net.cli import main

N, SIZE, CODING = 21, (6, 8), Coding("int16", 64)
MACHINE_OF_NOBODY = 2**22 + 1


def row_of(row_id, hits=(3, 7)):
    return Row(
        row_id=row_id,
        source="csv",
        video_id=row_id,
        group=row_id,
        path=f"{row_id}.mp4",
        split="train",
        class_name="",
        labels=hits,
        label_positions_px=None,
        annotated=((0, N),),
        fps=Fraction(25),
        n_frames=N,
        sha256="0" * 64,
    )


def fill(store, row_id, seed=0):
    rng = np.random.default_rng(seed)
    velocity, _ = encode(hold_edges(rng.normal(0, 4, (N - 1, 2, 2, *SIZE))), CODING)
    frames = rng.integers(0, 256, (N, 3, *SIZE)).astype(np.uint8)
    row = row_of(row_id)
    attributes = RowAttributes(
        n_frames=N,
        fps=row.fps,
        first_frame=0,
        labels=row.labels,
        annotated=((0, N),),
        video_size=(48, 64),
        flow_size=(24, 32),
        store_size=SIZE,
        coding=CODING,
        estimator={"model": "dis"},
        video_sha256=row.sha256,
        fingerprint="f" * 64,
    )
    with store.writer(row_id, attributes, np.arange(N) / 25, StoreParams(chunk_frames=4)) as writer:
        writer.append(KinematicsChunk(frames, velocity, inflection(velocity), 0, 0))


@pytest.fixture
def store(tmp_path):
    return create_store(tmp_path / "flows.zarr")


def chunk_of(store, row_id, array="velocity", number=2):
    return (
        store.path / row_id / array / "c" / str(number) / "0" / "0" / "0" / ("" if array == "frames" else "0")
    )


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def without_checksums(store, row_id):
    edit(store.path / row_id / "zarr.json", lambda d: d["attributes"].pop("checksums"))


def damage_everything(store):
    """A row for each kind of damage; returns the rows that attributes and sizes tell, and those data tell."""
    for name in "abcdefghijklmno":
        fill(store, name)
    group = zarr.open_group(str(store.path), mode="r+")
    chunk_of(store, "a").unlink()
    flip(chunk_of(store, "b", "frames"), 5)  # one pixel
    store.update_labels("c", (9, 3), ((0, 20),))
    edit(store.path / "d" / "zarr.json", lambda d: d["attributes"].pop("scale"))
    (store.path / "e" / "zarr.json").write_text("{}")
    chunk_of(store, "f").write_bytes(b"garbage")
    edit(store.path / "g" / "zarr.json", lambda d: d["attributes"].update(fps="24/1"))
    (store.path / "h" / "zarr.json").unlink()
    shutil.rmtree(store.path / "i" / "time")
    without_checksums(store, "j")  # written by an earlier version, and sound
    without_checksums(store, "k")
    group["k/inflection"][3, 0, 0, 0, 0] += 1
    without_checksums(store, "l")
    group["l/time"][4] = group["l/time"][3]
    flip(store.path / "m" / "frames" / "zarr.json", 3)
    (store.path / "n" / "zarr.json").write_text("not JSON")
    (store.path / "notes.txt").write_text("hello")
    (store.path / "my_folder").mkdir()
    (store.path / "my_folder" / "thesis.tex").write_text("precious")
    shallow = set("adefghin")
    return shallow, shallow | set("bklm")


@pytest.mark.slow
def test_damage_of_every_kind_is_found(store):
    fast, thorough = damage_everything(store)
    for deep, broken in ((False, fast), (True, thorough)):
        report = examine(store.place, deep=deep)
        kinds = {
            kind: {p.row_id for p in report.problems if p.kind == kind}
            for kind in ("broken", "labels", "foreign")
        }
        assert kinds == {"broken": broken, "labels": {"c"}, "foreign": {"notes.txt", "my_folder"}}
        assert report.rows == 15 - len("dehgn")  # with attributes that can be believed
        assert report.notes == ("3 rows have no checksum (written by an earlier version)",)
    said = {problem.row_id: problem.message for problem in report.problems}
    assert "5 of 6 chunk files" in said["a"]
    assert "frames is not what was written" in said["b"]
    assert "instead of" in said["f"]
    assert "document was changed" in said["g"]
    assert said["k"] == "inflection is not the difference of velocity"
    assert said["l"] == "presentation times do not increase"
    assert "checksum" in said["m"]


@pytest.mark.slow
def test_repair_drops_what_is_broken_and_nothing_else(store):
    fast, thorough = damage_everything(store)
    before = sorted(path.relative_to(store.path) for path in store.path.rglob("*"))
    assert set(repair(store.place, deep=True, dry_run=True).row_ids) == thorough
    assert before == sorted(path.relative_to(store.path) for path in store.path.rglob("*"))
    assert set(repair(store.place).row_ids) == fast
    assert set(repair(store.place, deep=True).row_ids) == thorough - fast
    assert store.row_ids() == ["c", "j", "o"]
    assert (store.path / "notes.txt").exists()
    assert (store.path / "my_folder" / "thesis.tex").read_text() == "precious"
    assert {p.kind for p in examine(store.place, deep=True).problems} == {"labels", "foreign"}


def test_checksums_can_be_made_by_hand(store):
    """As ``sha256sum`` lists them, on another way than the program's."""
    from hashlib import sha256

    fill(store, "a")
    stated = json.loads((store.path / "a" / "zarr.json").read_text())["attributes"]["checksums"]["arrays"]
    for array in ("frames", "velocity", "inflection", "time"):
        folder = store.path / "a" / array
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = sorted(path.relative_to(folder).as_posix() for path in files)
        lines = "".join(f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
        assert stated[array] == {
            "objects": len(files),
            "size": sum(path.stat().st_size for path in files),
            "sha256": sha256(lines.encode()).hexdigest(),
        }


def test_catalog_and_store_are_compared(store):
    for name in "abcd":
        fill(store, name)
    store.update_labels("b", (3, 8), ((0, N),))
    changed = json.loads(json.dumps(row_of("c").to_json()))
    catalog = Catalog((row_of("a"), row_of("b"), Row.from_json({**changed, "sha256": "1" * 64}), row_of("e")))
    found = {(p.row_id, p.kind) for p in examine(store.place, catalog=catalog).problems}
    assert found == {("b", "labels"), ("c", "stale"), ("d", "orphan"), ("e", "missing")}
    fingerprints = {"a": "0" * 64, "b": "f" * 64}
    found = {
        (p.row_id, p.kind) for p in examine(store.place, catalog=catalog, fingerprints=fingerprints).problems
    }
    assert ("a", "stale") in found
    assert ("b", "stale") not in found


def test_leftovers_are_noted_and_removed(store):
    fill(store, "a")
    _, machine, _, name = hidden_path(store.path, "writing").name.split("@")
    dead = store.path / f".writing@{machine}@{MACHINE_OF_NOBODY}@{name}"
    mine = hidden_path(store.path, "writing")
    for folder in (dead, mine):
        (folder / "frames").mkdir(parents=True)
    report = examine(store.place)
    assert not report.problems
    assert "1 unfinished" in report.notes[0]
    assert repair(store.place).leftovers == (dead.name,)
    assert not dead.exists()
    assert mine.exists()


@pytest.mark.parametrize("length", [3, 4, 5, 7, 16, 17, 18, 21])
@pytest.mark.parametrize("step", [1, 2, 3, 16])
def test_inflection_is_checked_chunk_by_chunk(length, step):
    rng = np.random.default_rng(length)
    velocity = rng.integers(-99, 99, (length, 2, 2, 2, 2)).astype(np.int16)
    right = inflection(velocity)

    def chunks(change):
        return [(velocity[i : i + step], change[i : i + step]) for i in range(0, length, step)]

    assert _follows(chunks(right))
    for frame in range(length):
        wrong = right.copy()
        wrong[frame, frame % 2, 1, 1, 0] += 1
        assert not _follows(chunks(wrong))


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_commands(store, tmp_path):
    for name in "abc":
        fill(store, name)
    write_catalog(Catalog((row_of("a"), row_of("b"), row_of("c"))), tmp_path / "catalog.jsonl")
    whole = run("validate", store.path, "--deep", "--catalog", tmp_path / "catalog.jsonl")
    assert whole.exit_code == 0, whole.output
    assert "whole: 3 rows, 63 frames" in whole.output
    flip(chunk_of(store, "b", "frames"), 0)
    assert run("validate", store.path).exit_code == 0  # a flipped bit changes no size
    result = run("validate", store.path, "--deep", "--json", tmp_path / "report.json")
    assert result.exit_code == 2
    assert "b: array frames is not what was written" in result.output
    assert "ta2net repair" in result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["whole"], report["rows"]) == (False, 3)
    assert [(p["row"], p["kind"]) for p in report["problems"]] == [("b", "broken")]
    assert "1 of 3 rows would be removed" in run("repair", store.path, "--deep", "--dry-run").output
    assert "1 of 3 rows removed" in run("repair", store.path, "--deep").output
    missing = run("validate", store.path, "--catalog", tmp_path / "catalog.jsonl")
    assert (missing.exit_code, store.row_ids()) == (2, ["a", "c"])
    assert "1 missing: the next build computes them" in missing.output


@pytest.mark.parametrize("address", ["nowhere", "s3://key:secret@bucket/flows", "gopher://hole/flows"])
def test_a_store_that_is_not_there_is_said_in_one_message(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    result = run("validate", address)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "secret" not in result.output


def test_the_manifest_leads_to_the_store_and_must_agree(tmp_path):
    url = f"memory://{tmp_path.name}/flows"
    store = create_store(place_at(url))
    for name in "abc":
        fill(store, name)
    folder = tmp_path / "flows.zarr"
    write_manifest(store.documents(), url, folder)
    first = (folder / "manifest.json").read_bytes()
    assert run("validate", folder, "--deep").exit_code == 0
    store.remove("a")
    store.update_labels("b", (1,), ((0, N),))
    result = run("validate", folder)
    assert result.exit_code == 2
    assert "a: in the manifest, but not in the store" in result.output
    assert "b: the manifest differs" in result.output
    assert run("repair", folder).exit_code == 0  # nothing is broken; the manifest is written anew
    assert run("validate", folder).exit_code == 0
    # the same rows written again give the same manifest: it tracks contents, not attempts
    store.update_labels("b", (3, 7), ((0, N),))
    fill(store, "a")
    write_manifest(store.documents(), url, folder)
    assert (folder / "manifest.json").read_bytes() == first


def of_an_earlier_version(store, row_id, until=N):
    """A row's document as it was when labels were called hits, its checksum made by that version."""

    def change(document):
        attributes = document["attributes"]
        del attributes["annotated"]
        attributes |= {"hits": attributes.pop("labels"), "annotated_until": until}
        consolidated = document["consolidated_metadata"]["metadata"]
        attributes["checksums"]["document"] = document_checksum(attributes, consolidated)

    edit(store.path / row_id / "zarr.json", change)


def test_labels_of_an_earlier_version_are_read_and_replaced(store):
    """As they are, checksum and all, until the labels change; the arrays stay whatever becomes of them."""
    for name in "abc":
        fill(store, name)
    for name in "ab":
        of_an_earlier_version(store, name)
    of_an_earlier_version(store, "c", until=9)
    catalog = Catalog(tuple(row_of(name) for name in "abc"))
    assert (store.attributes("a").labels, store.attributes("a").annotated) == ((3, 7), ((0, N),))
    assert store.attributes("c").annotated == ((0, 9),)
    assert store.validate(deep=True) == []
    plan = plan_of(catalog, store, lambda row: store.fingerprint(row.row_id), None)
    assert (plan.compute, plan.kept, [row.row_id for row in plan.relabel]) == ([], 2, ["c"])
    store.update_labels("b", (3,), ((0, 4), (6, 8)))
    attributes = json.loads((store.path / "b" / "zarr.json").read_text())["attributes"]
    assert (attributes["labels"], attributes["annotated"]) == ([3], [[0, 4], [6, 8]])
    assert not {"hits", "annotated_until"} & attributes.keys()
    assert store.validate(deep=True) == []


def test_spans_past_the_last_frame_are_found(store):
    fill(store, "a")
    store.update_labels("a", (3,), ((0, 4), (6, N + 1)))
    [problem] = store.validate()
    assert f"annotated spans 0-3 6-{N} go past the last frame ({N - 1})" in problem
