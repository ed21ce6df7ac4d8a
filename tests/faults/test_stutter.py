"""Object storage that errs, is slow, hangs, or is away for a while; `Stutter` is in front of the server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bad_input.case import UNSEEMLY
from tests.faults.kinds import BUCKET, THREADS, must_succeed, params_in_bucket, params_of
from tests.object_storage import FAULTS, IMPATIENT, Stutter, s3_server
from tests.program import run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("s3_server")]


@pytest.fixture
def work(base: Path, tmp_path: Path) -> Path:
    """The base, to be built into a fresh bucket."""
    folder = Path(shutil.copytree(base, tmp_path / "work"))
    BUCKET.remove(folder)
    params_in_bucket(folder)
    return folder


def test_a_build_through_errors(work: Path, base: Path) -> None:
    stutter = Stutter(share=0.15)
    with s3_server(stutter) as environment:
        outcome = run(("flows",), work, **environment)
    assert stutter.seen.keys() == set(FAULTS)
    assert outcome.code == 0, outcome.said
    must_succeed(("flows",), work)  # deletes what could not be deleted
    assert BUCKET.digests(work) == BUCKET.wanted(base)


def test_a_build_with_answers_that_do_not_come(work: Path, base: Path) -> None:
    stutter = Stutter(share=0.02, faults=("hang",))
    with s3_server(stutter) as environment:
        outcome = run(("flows",), work, **environment, **IMPATIENT)
    assert stutter.seen
    assert outcome.code == 0, outcome.said
    must_succeed(("flows",), work)
    assert BUCKET.digests(work) == BUCKET.wanted(base)


def test_an_outage_in_the_middle_of_a_build(work: Path, base: Path) -> None:
    """Some rows are in the store, the others fail, in words; nobody sees half of one."""
    params_of(
        work, BUCKET.url(work), **THREADS, retries=0
    )  # with three it would be minutes until it gives up
    with s3_server(Stutter(share=1.0, faults=("busy",), healthy=150)) as environment:
        outcome = run(("flows",), work, **environment, AWS_MAX_ATTEMPTS="1")
    assert outcome.code == 2, outcome.said
    assert not UNSEEMLY.search(outcome.said)
    finished = BUCKET.rows(work)
    assert finished
    must_succeed(("validate", BUCKET.url(work), "--deep"), work)
    said = must_succeed(("flows",), work)
    assert f"{len(finished)} kept" in said
    assert BUCKET.digests(work) == BUCKET.wanted(base)


def test_training_through_errors(work: Path, base: Path) -> None:
    must_succeed(("flows",), work)
    shutil.rmtree(work / "run")
    stutter = Stutter(share=0.1)
    with s3_server(stutter) as environment:
        outcome = run(("train",), work, **environment)
    assert stutter.seen.keys() == set(FAULTS)
    assert outcome.code == 0, outcome.said
    for name in ("loss.csv", "validation.csv"):
        assert (work / "run" / name).read_bytes() == (base / "run" / name).read_bytes()
