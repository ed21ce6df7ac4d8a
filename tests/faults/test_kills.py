"""Ten kills, of every kind at least one; `make faults` does a hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import SHARES, planned
from tests.faults.kills import kill_once
from tests.faults.kinds import KINDS, WORKERS, make_base
from tests.faults.outputs import Files

QUICK = (
    "build in threads",
    "build in threads",
    "train",
    "evaluate",
    "impacts",
    *(kind.name for kind in KINDS),
)


@pytest.fixture(scope="module")
def base(s3_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - a kind needs it
    return make_base(tmp_path_factory.mktemp("undisturbed") / "base")


@pytest.mark.parametrize("seed", range(len(QUICK)), ids=lambda seed: f"{QUICK[seed]} {seed}")
def test_run_again_it_ends_as_if_nothing_had_been(seed: int, base: Path, tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == QUICK[seed])
    killed = kill_once(kind, seed, base, tmp_path / "work", WORKERS)
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
