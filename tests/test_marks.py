"""The fast tests of `make check`: which they are, and that none of them is slow unseen."""

from __future__ import annotations

import re
import tomllib
from types import SimpleNamespace

import pytest

from tests.marks import SLOW, TESTS, Unmarked, group_of, pytest_itemcollected

ROOT = TESTS.parent


def test_the_marks_are_the_same_everywhere():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
        "markers"
    ]
    assert {line.split(":")[0] for line in declared} == SLOW
    left_out = re.search(r'^\t\$\(PYTEST\) -m "(.*)"$', (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(left_out[1].split(" and ")) == sorted(f"not {mark}" for mark in SLOW)


@pytest.mark.parametrize(
    ("fixtures", "marks"),
    [
        (["tmp_path"], []),
        (["bucket", "s3_server"], ["network"]),
        (["chromium", "s3_server"], ["network", "browser"]),
    ],
)
def test_marks_follow_from_fixtures(fixtures, marks):
    given = []
    pytest_itemcollected(SimpleNamespace(fixturenames=fixtures, add_marker=given.append))
    assert given == marks


@pytest.mark.parametrize(
    ("file", "group"),
    [
        ("bad_input/test_fuzz.py", "program"),
        ("faults/test_rot.py", "program"),
        ("test_security.py", "program"),
        ("pipeline/test_spans.py", "pipeline/test_spans.py"),
    ],
)
def test_files_stay_together(file, group):
    assert group_of(TESTS / file) == group


def test_slow_tests_without_a_mark_are_told():
    unmarked = Unmarked(1.0)
    for test, took_s, keywords in (
        ("setup and call", 0.6, {}),
        ("setup and call", 0.7, {}),
        ("just fast", 1.0, {}),
        ("marked", 9.0, {"slow": 1}),
        ("slowest", 2.0, {"parametrize": 1}),
    ):
        unmarked.pytest_runtest_logreport(SimpleNamespace(nodeid=test, duration=took_s, keywords=keywords))
    assert unmarked.over() == [("slowest", 2.0), ("setup and call", pytest.approx(1.3))]
    for before, after in ((pytest.ExitCode.OK, 1), (pytest.ExitCode.INTERRUPTED, 2)):
        session = SimpleNamespace(exitstatus=before)
        unmarked.pytest_sessionfinish(session)
        assert session.exitstatus == after
