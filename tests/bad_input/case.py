"""A bad input with its expected outcome, and the judge of what came of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.program import Outcome

PEAK_BYTES = 600 << 20
"""Resident memory a case may add, unless it says another figure."""

UNSEEMLY = re.compile(r"Traceback \(most recent|Segmentation fault|terminate called|MemoryError|core dumped")


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        name: what is wrong, in words joined by underscores; unique.
        make: makes the files in a folder that holds a copy of ``materials``' base.
        command: arguments of ``ta2net``, or the name of a stage and its arguments; run in that folder.
        code: the exit codes that are right.
        says: regular expressions, each to be found in what is printed.
        keeps: files that must be there in the end, not empty: what a bad neighbour must not cost.
        lacks: files that must not be there in the end.
        lines: files and how many lines they must have in the end.
        peak_bytes: resident memory that may be added.
    """

    name: str
    make: Callable[[Path], None]
    command: tuple[str, ...]
    code: tuple[int, ...] = (2,)
    says: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    lines: tuple[tuple[str, int], ...] = ()
    peak_bytes: int = PEAK_BYTES


def wrong(case: Case, outcome: Outcome, folder: Path) -> list[str]:
    """What is not as the case expects, in words."""
    found = []
    if outcome.code is None:
        found.append("it took too long")
    elif outcome.code not in case.code:
        found.append(f"exit code {outcome.code}, expected {' or '.join(map(str, case.code))}")
    found += [f"it does not say {words!r}" for words in case.says if not re.search(words, outcome.said)]
    if UNSEEMLY.search(outcome.said):
        found.append("it ends in a traceback or a crash")
    if outcome.peak_bytes > case.peak_bytes:
        found.append(f"it took {outcome.peak_bytes >> 20} MiB of memory, {case.peak_bytes >> 20} are allowed")
    found += [f"{name} is lost" for name in case.keeps if not _has_content(folder / name)]
    found += [f"{name} should not be there" for name in case.lacks if os.path.lexists(folder / name)]
    for name, lines in case.lines:
        there = (folder / name).read_text().count("\n") if (folder / name).is_file() else 0
        if there != lines:
            found.append(f"{name} has {there} lines, expected {lines}")
    return found


def _has_content(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.is_file() and path.stat().st_size > 0
