"""Which tests are left out of `make check`, and which stay together when several processes share the tests.

The rule: a test that takes over a second is ``slow``, and so is a file most of whose tests start processes or
train a network; one that kills processes is ``kill``, too. Marks that follow from what a test asks for are
given here, all others in its file: ``pytestmark`` where the whole file has one. ``pytest --unmarked-over 1``
finds what was forgotten.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SLOW = frozenset({"slow", "kill", "dvc", "network", "browser", "gpu"})
"""Marks of the tests that `make check` leaves out."""

LENGTH = {"slow": 1, "kill": 10, "dvc": 100}
"""How much longer a marked test takes than others, roughly."""

MARK_OF_FIXTURE = {"s3_server": "network", "chromium": "browser"}

PROGRAM = "program"
"""Group of the files whose commands are forked from one server, as it takes a gigabyte: tests/program.py."""
OF_PROGRAM = ("bad_input", "faults", "test_security.py")

TESTS = Path(__file__).resolve().parent


def group_of(file: Path) -> str:
    """The group in which a file's tests stay together, as they share what its fixtures make."""
    place = file.relative_to(TESTS)
    return PROGRAM if place.parts[0] in OF_PROGRAM else place.as_posix()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give the marks that follow from fixtures."""
    for fixture, mark in MARK_OF_FIXTURE.items():
        if fixture in getattr(item, "fixturenames", ()):
            item.add_marker(mark)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long groups first where processes share the tests: at the end they would leave the others idle."""
    if not hasattr(config, "workerinput"):
        return
    lengths: Counter[str] = Counter()
    for item in items:
        lengths[group_of(item.path)] += sum(LENGTH.get(mark.name, 0) for mark in item.iter_markers())
    items.sort(key=lambda item: -lengths[group_of(item.path)])  # stable: a file's own order stays


class InGroups(LoadScopeScheduling):
    """pytest-xdist's distribution of whole groups, and what a group is here."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(TESTS.parent / nodeid.split("::")[0])


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> InGroups:
    """Asked in the process that shares out the tests, whatever ``--dist`` says."""
    return InGroups(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--unmarked-over",
        type=float,
        metavar="SECONDS",
        help="fail if a test that `make check` runs took longer (on a machine that does nothing else)",
    )


def pytest_configure(config: pytest.Config) -> None:
    limit_s = config.getoption("unmarked_over")
    if limit_s is not None and not hasattr(config, "workerinput"):  # the process that hears of all tests
        config.pluginmanager.register(Unmarked(limit_s))


class Unmarked:
    """Fails the session for tests without a mark that took more than ``limit_s``, their fixtures included."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.took_s: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if SLOW.isdisjoint(report.keywords):
            self.took_s[report.nodeid] += report.duration

    def over(self) -> list[tuple[str, float]]:
        """Node ids and seconds, the slowest first."""
        return [(test, took_s) for test, took_s in self.took_s.most_common() if took_s > self.limit_s]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.over() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.over():
            terminalreporter.section(f"no mark, but over {self.limit_s:g} s: mark them slow")
            for test, took_s in self.over():
                terminalreporter.line(f"{took_s:6.2f} s  {test}")
