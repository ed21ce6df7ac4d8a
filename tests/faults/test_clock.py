"""A clock that jumps: files from the future and the far past, a run that goes on before it began."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.faults.kills import ROWS, fresh, run_and_kill
from tests.faults.kinds import KINDS, must_succeed
from tests.program import run

pytestmark = pytest.mark.slow

YEARS = pytest.mark.parametrize("years", [-30, 30], ids=["into the past", "into the future"])
YEAR_S = 365.25 * 24 * 3600


def date(folder: Path, when_s: float) -> None:
    """Give all that is in the folder this date."""
    for path in folder.rglob("*"):
        os.utime(path, (when_s, when_s), follow_symlinks=False)


@pytest.mark.parametrize(
    ("name", "years"), [("build in threads", -30), ("build in threads", 30), ("train", -30), ("impacts", 30)]
)
def test_the_clock_jumps_before_a_killed_run_goes_on(
    name: str, years: int, base: Path, tmp_path: Path
) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    work = tmp_path / "work"
    moment = 0.6 * len(kind.output.wanted(base))
    fresh(kind, base, work)
    assert run_and_kill(kind, work, moment, 0.0)
    finished = kind.output.rows(work)
    # what was made before has the old clock's dates
    date(work, time.time() - years * YEAR_S)
    outcome = run(kind.again, work, clock_s=-2 * years * YEAR_S)
    assert outcome.code == 0, outcome.said
    assert kind.output.digests(work) == kind.output.wanted(base)
    if kind.build:
        match = ROWS.search(outcome.said)
        assert match is not None
        assert int(match[2]) == len(finished) > 0


@YEARS
def test_dates_alone_make_nothing_new(years: int, base: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    fresh(KINDS[0], base, work)
    must_succeed(("flows",), work)
    date(work, time.time() + years * YEAR_S)
    assert re.search("0 computed, 8 kept", must_succeed(("flows",), work))
    assert must_succeed(("validate", "flows.zarr", "--params", "params.yaml", "--deep"), work)
    documents = work.glob("flows.zarr/*/zarr.json")
    assert {round(path.stat().st_mtime / YEAR_S - time.time() / YEAR_S) for path in documents} == {years}
    before = {path: path.stat().st_mtime for path in (work / "run").rglob("step-*")}
    must_succeed(("train",), work)
    assert {path: path.stat().st_mtime for path in (work / "run").rglob("step-*")} == before
