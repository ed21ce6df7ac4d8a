"""No room, no permission: said in words, what is finished stays, and with room it goes on to the same end."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bad_input.case import UNSEEMLY
from tests.faults.kinds import must_succeed
from tests.faults.outputs import Files
from tests.program import Outcome, run

pytestmark = pytest.mark.slow

PAGE = 4096
"""Bytes; what a file takes is a multiple of them."""


@dataclass(frozen=True)
class Work:
    """A command, what it makes, the folder of that which gets too small.

    Attributes:
        file_limit: bytes of a file, fewer than one of its files has.
    """

    command: tuple[str, ...]
    output: Files
    folder: str
    file_limit: int


WORKS = (
    Work(("flows",), Files(("flows.zarr", "failures.json")), "flows.zarr", 2000),
    Work(("train",), Files(("run",)), "run", 20_000),
    Work(("evaluate",), Files(("evaluation", "metrics.json")), "evaluation", 500),
    Work(("impacts", "--params", "impacts.yaml"), Files(("impacts",)), "impacts", 2000),
)
each_work = pytest.mark.parametrize("work", WORKS, ids=lambda work: work.command[0])


@pytest.fixture
def folder(work: Work, base: Path, tmp_path: Path) -> Path:
    """The base without what ``work`` makes."""
    copy = Path(shutil.copytree(base, tmp_path / "work"))
    work.output.remove(copy)
    return copy


@pytest.fixture
def small_disk(work: Work, base: Path, folder: Path) -> Iterator[Path]:
    """A file system of its own for the folder: half of what must go there has room."""
    files = [path for path in (base / work.folder).rglob("*") if path.is_file()]
    room = sum(-(-path.stat().st_size // PAGE) * PAGE for path in files) // 2
    place = folder / work.folder
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "ta2net-test", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def assert_told(outcome: Outcome, words: str) -> None:
    assert outcome.code == 2, outcome.said
    assert re.search(words, outcome.said), outcome.said
    assert not UNSEEMLY.search(outcome.said)


def assert_as_ever(work: Work, folder: Path, base: Path) -> None:
    """Run to the end, it is the undisturbed result, with nothing beside it."""
    must_succeed(work.command, folder)
    assert work.output.digests(folder) == work.output.digests(base)


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if ".tmp" in path.name or ".writing" in path.name]


@each_work
def test_a_full_disk(work: Work, folder: Path, small_disk: Path, base: Path) -> None:
    assert_told(run(work.command, folder), "No space left on device")
    assert not half_written(folder)  # it gives back what it cannot use
    if work.folder == "flows.zarr":
        must_succeed(("validate", "flows.zarr", "--deep"), folder)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert_as_ever(work, folder, base)


@each_work
def test_files_that_may_not_grow(work: Work, folder: Path, base: Path) -> None:
    assert_told(run(work.command, folder, file_limit=work.file_limit), "File too large")
    assert not half_written(folder)
    assert_as_ever(work, folder, base)


def test_metrics_that_have_no_room(base: Path, tmp_path: Path) -> None:
    """All that is written before them has."""
    work = WORKS[2]
    limit = (base / "metrics.json").stat().st_size - 1
    assert limit > max(path.stat().st_size for path in (base / "evaluation").iterdir())
    folder = Path(shutil.copytree(base, tmp_path / "work"))
    work.output.remove(folder)
    assert_told(run(work.command, folder, file_limit=limit), "metrics.json.*File too large")
    assert [path.name for path in (folder / "evaluation").iterdir()]
    assert not (folder / "metrics.json").exists()
    assert not half_written(folder)
    assert_as_ever(work, folder, base)


@each_work
def test_a_folder_that_may_not_be_written(work: Work, folder: Path, base: Path) -> None:
    place = folder / work.folder
    place.mkdir()
    place.chmod(0o555)
    try:
        assert_told(run(work.command, folder), "Permission denied")
        assert not list(place.iterdir())
    finally:
        place.chmod(0o755)
    assert_as_ever(work, folder, base)


@each_work
def test_a_disk_that_became_read_only(work: Work, folder: Path, small_disk: Path, base: Path) -> None:
    """With half of the work on it, as file systems do that find errors."""
    assert_told(run(work.command, folder), "No space left on device")
    subprocess.run(["mount", "-o", "remount,ro,size=64m", str(small_disk)], check=True)
    on_disk = Files((work.folder,))
    before = on_disk.digests(folder)
    assert_told(run(work.command, folder), "Read-only file system")
    assert on_disk.digests(folder) == before
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(small_disk)], check=True)
    assert_as_ever(work, folder, base)
