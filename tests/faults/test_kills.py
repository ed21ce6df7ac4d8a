"""A kill of every kind that is quick; `make faults` does a hundred of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import SHARES, planned
from tests.faults.kills import kill_once
from tests.faults.kinds import KINDS, WORKERS, Kind
from tests.faults.outputs import Files

pytestmark = [pytest.mark.slow, pytest.mark.kill]

QUICK = [kind for kind in KINDS if kind.name not in ("scheduler", "process of impacts")]


@pytest.mark.usefixtures("s3_server")
@pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.name)
def test_run_again_it_ends_as_if_nothing_had_been(kind: Kind, base: Path, tmp_path: Path) -> None:
    files = len(kind.output.wanted(base))
    killed = kill_once(kind, 7, base, tmp_path / "work", WORKERS, of_changes=files)
    assert not killed.trouble
    assert killed.rows_recomputed <= killed.in_flight


def test_every_kind_comes_in_its_share() -> None:
    names = [kind.name for kind, _ in planned(100, 0)]
    assert {name: names.count(name) for name in SHARES} == SHARES
    assert {kind.name for kind in KINDS} == set(SHARES)


def test_a_difference_is_seen(base: Path, tmp_path: Path) -> None:
    """The judge itself: one bit of a chunk, a file too many."""
    store, folder = Files(("flows.zarr",)), tmp_path / "flows.zarr"
    folder.mkdir()
    (folder / "a").write_bytes(b"0")
    before = store.digests(tmp_path)
    (folder / "a").write_bytes(b"1")
    assert store.digests(tmp_path) != before
    (folder / "a").write_bytes(b"0")
    assert store.digests(tmp_path) == before
    (folder / ".b.tmp").write_bytes(b"")
    assert store.digests(tmp_path) != before
    assert "run/best.safetensors" in Files(("run",)).digests(base)
