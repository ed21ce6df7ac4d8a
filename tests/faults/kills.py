"""``kill -9`` at a seeded random moment, the same command again, and the result against an undisturbed one.

A moment is not a time, which a busy machine would shift, but so many changes seen in the output's files: at
most as many as an undisturbed run shows.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.faults.kinds import Kind, must_succeed
from tests.faults.outputs import State
from tests.program import Running

POLL_S = 0.001
LATEST = 0.9
"""Share of an undisturbed run's changes before which the kill comes."""
MAX_DELAY_S = 0.03
ATTEMPTS = 6
PATIENCE_S = 90.0

ROWS = re.compile(r"rows: (\d+) computed, (\d+) kept")


@dataclass(frozen=True)
class Killed:
    """What became of a run that was killed and run again.

    Attributes:
        identical: the result has the undisturbed run's bytes, and nothing beside them.
        rows_recomputed: rows whose work was lost: begun and not finished, or finished and made again.
        in_flight: rows that may be at work at a time; 0 where there are no rows.
        trouble: what is not as it should be, in words; empty if all is well.
    """

    kind: str
    seed: int
    identical: bool
    rows_recomputed: int
    in_flight: int
    trouble: tuple[str, ...]


def kill_once(
    kind: Kind, seed: int, base: Path, work: Path, in_flight: int, of_changes: int | None = None
) -> Killed:
    """Run, kill, run again, compare.

    Args:
        base: a folder with the undisturbed results, see ``make_base``.
        work: a folder that is made for it and, when all is well, deleted.
        of_changes: so many, more or less, a run shows; None: as an undisturbed one does.
    """
    chance = random.Random(f"{kind.name} {seed}")
    moment = chance.uniform(0.0, LATEST) * (of_changes or changes(kind, base))
    delay_s = chance.uniform(0.0, MAX_DELAY_S)
    for attempt in range(ATTEMPTS):
        fresh(kind, base, work)
        # if it is over before, as its last files come all at once, the next one is killed earlier
        earlier = 0.0 if attempt == ATTEMPTS - 1 else moment / 2**attempt
        if run_and_kill(kind, work, earlier, delay_s / 2**attempt):
            break
    else:
        return Killed(kind.name, seed, False, 0, in_flight, ("it could not be killed in time",))
    before = kind.output.rows(work) if kind.build else {}
    begun = kind.output.unfinished(work) if kind.build else 0
    kind.settle(work)
    said = must_succeed(kind.again, work)
    wanted, found = kind.output.wanted(base), kind.output.digests(work)
    trouble = [
        f"{name} differs"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    after = kind.output.rows(work) if kind.build else {}
    remade = sum(after.get(row) != version for row, version in before.items())
    if kind.build and (match := ROWS.search(said)) and int(match[2]) != len(before):
        trouble.append(f"{len(before)} rows were finished, {match[2]} kept")
    if not trouble:
        shutil.rmtree(work)
    lost = begun + remade if kind.build else 0
    return Killed(kind.name, seed, not trouble, lost, in_flight if kind.build else 0, tuple(trouble))


@cache
def changes(kind: Kind, base: Path) -> int:
    """Changes of files that an undisturbed run of this kind shows; its result is compared, too."""
    work = base.with_name(f"undisturbed {kind.name}")
    fresh(kind, base, work)
    running = kind.begin(work)
    seen = _watch(running[0], kind, work, None)
    outcome = running[0].outcome()
    _end(running)
    if outcome.code != 0 or kind.output.digests(work) != kind.output.wanted(base):
        raise RuntimeError(
            f"{kind.name}, undisturbed: not what it was before (exit {outcome.code})\n{outcome.said}"
        )
    shutil.rmtree(work)
    return seen


def fresh(kind: Kind, base: Path, work: Path) -> None:
    """Make ``work`` a copy of the base without what this kind makes."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base, work)
    kind.output.remove(work)


def run_and_kill(kind: Kind, work: Path, moment: float, delay_s: float) -> bool:
    """Whether somebody was killed while the run was at work."""
    running = kind.begin(work)
    try:
        _watch(running[0], kind, work, moment)
        time.sleep(delay_s)
        victims = kind.victims(running) if running[0].process.exitcode is None else []
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        outcome = running[0].outcome(PATIENCE_S)
        if outcome.code is None:
            raise RuntimeError(f"{kind.name}: it hangs after the kill\n{outcome.said}")
        return bool(victims) and (outcome.code != 0 or victims[0] != running[0].process.pid)
    finally:
        _end(running)


def _watch(running: Running, kind: Kind, work: Path, moment: float | None) -> int:
    """Count the states of files that are seen, until there are ``moment`` of them or the process ends."""
    seen: set[State] = set()
    while running.process.exitcode is None and (moment is None or len(seen) < moment):
        seen |= kind.output.states(work)
        time.sleep(POLL_S)
    return len(seen)


def _end(running: list[Running]) -> None:
    for one in running:
        one.kill()
        one.process.join()
