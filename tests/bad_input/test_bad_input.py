"""Every bad input has its expected outcome: exit code, words, no traceback, nothing lost, memory bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.case import Case, wrong
from tests.bad_input.materials import copy_of, make_base
from tests.bad_input.table import CASES
from tests.program import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("good") / "base")


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outcome(case: Case, base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "case")
    case.make(folder)
    outcome = run(case.command, folder)
    assert not wrong(case, outcome, folder), outcome.said


def test_a_wrong_outcome_is_seen(base: Path, tmp_path: Path) -> None:
    """The judge itself: a good film that is expected to be refused, lost files, too much memory."""
    folder = copy_of(base, tmp_path / "case")
    case = Case(
        "judge",
        lambda _: None,
        ("inspect", "videos/one.mp4"),
        says=("no video",),
        keeps=("gone",),
        peak_bytes=0,
    )
    found = wrong(case, run(case.command, folder), folder)
    assert [words.split()[0] for words in found] == ["exit", "it", "it", "gone"]
