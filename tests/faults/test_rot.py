"""Files that lost bytes or bits: found, said in words, and made again to the same bytes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.case import UNSEEMLY
from tests.faults.kinds import BUCKET, KINDS, must_succeed, params_in_bucket
from tests.faults.outputs import Files
from tests.program import run

pytestmark = pytest.mark.slow

Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """The first half alone, as a disk leaves it that was full."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path: Path) -> None:
    """All zeros, as a file system leaves it after a power cut."""
    path.write_bytes(bytes(path.stat().st_size))


def empty(path: Path) -> None:
    """Nothing in it."""
    path.write_bytes(b"")


@pytest.fixture
def work(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "work"))


def told(command: tuple[str, ...], folder: Path) -> str:
    """What a command says that ends with exit code 2, in words."""
    outcome = run(command, folder)
    assert outcome.code == 2, outcome.said
    assert not UNSEEMLY.search(outcome.said)
    return outcome.said


def test_chunks_and_documents_of_a_store(work: Path, base: Path) -> None:
    damages = {"film0": flip, "film1": cut, "film2": blank, "film3": empty, "film4": Path.unlink}
    for row, damage in damages.items():
        damage(max((work / "flows.zarr" / row / "velocity").rglob("c/*/*/*/*/*")))
    cut(work / "flows.zarr" / "film5" / "zarr.json")
    damaged = [*damages, "film5"]
    said = told(("validate", "flows.zarr", "--deep"), work)
    assert all(f"{row}: " in said for row in damaged)
    assert "film6: " not in said
    told(("validate", "flows.zarr"), work)  # all but a flipped bit and zeros, without reading the data
    must_succeed(("repair", "flows.zarr", "--deep"), work)
    assert "6 computed, 2 kept" in must_succeed(("flows",), work)
    store = Files(("flows.zarr", "failures.json"))
    assert store.digests(work) == store.digests(base)


@pytest.mark.parametrize(
    ("which", "damage"),
    [*(("the newest", damage) for damage in (flip, cut, blank, empty)), ("all", cut), ("the best", flip)],
)
def test_checkpoints(work: Path, base: Path, which: str, damage: Damage) -> None:
    run_ = Files(("run",))
    steps = sorted((work / "run" / "resume").iterdir())
    assert len(steps) > 1
    chosen = {"the newest": steps[-1:], "all": steps, "the best": [work / "run" / "best.safetensors"]}[which]
    for path in chosen:
        damage(path)
    if which == "the best":
        told(("evaluate",), work)
    said = must_succeed(("train",), work)
    assert "deleted" in said
    assert ("resuming" in said) == (which == "the newest")
    assert run_.digests(work) == run_.digests(base)


@pytest.mark.parametrize("damage", [cut, empty])
def test_the_catalog(work: Path, base: Path, damage: Damage) -> None:
    damage(work / "catalog.jsonl")
    for command in (("flows",), ("train",), ("evaluate",)):
        assert "catalog" in told(command, work)
    must_succeed(("catalog",), work)
    must_succeed(("flows",), work)
    everything = Files(("catalog.jsonl", "report.json", "flows.zarr", "failures.json", "run", "metrics.json"))
    assert everything.digests(work) == everything.digests(base)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_rendered_clips_and_their_descriptions(work: Path, base: Path, damage: Damage) -> None:
    for path in (work / "impacts" / "videos" / "impacts_train_0000.mp4", *(work / "impacts").glob("*.csv")):
        damage(path)
    damage(work / "impacts" / "meta" / "impacts_eval_0001.json")
    said = must_succeed(("impacts", "--params", "impacts.yaml"), work)
    rendered = Files(("impacts",))
    assert rendered.digests(work) == rendered.digests(base)
    assert "2 clips rendered, 4 kept" in said


def test_what_a_run_writes_at_its_end(work: Path, base: Path) -> None:
    written = Files(("failures.json", "metrics.json", "evaluation"))
    for path in (work / "failures.json", work / "metrics.json", *(work / "evaluation").iterdir()):
        cut(path)
    must_succeed(("flows",), work)
    must_succeed(("evaluate",), work)
    assert written.digests(work) == written.digests(base)


@pytest.mark.usefixtures("s3_server")
def test_the_manifest_of_a_store_elsewhere(work: Path, base: Path) -> None:
    kind = next(kind for kind in KINDS if kind.output is BUCKET)
    BUCKET.remove(work)
    params_in_bucket(work)
    must_succeed(kind.again, work)
    manifest = work / "flows.zarr" / "manifest.json"
    whole = manifest.read_bytes()
    for damage in (cut, blank, empty, Path.unlink):
        damage(manifest)
        assert re.search("not the manifest|no flow store here", told(("validate", "flows.zarr"), work))
        assert "0 computed, 8 kept" in must_succeed(("flows",), work)
        assert manifest.read_bytes() == whole
    assert BUCKET.digests(work) == BUCKET.wanted(base)
