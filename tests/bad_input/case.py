"""A bad input with its expected outcome, and the run of the real command line on it in a process of its own.

Processes are forked from a server that has imported everything once: starting Python and PyTorch for each of
a hundred cases would take minutes.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import re
import resource
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIME_LIMIT_S = 120
ADDRESS_SPACE = 6 << 30
"""Bytes of address space a case may take beyond what the imported libraries have: a guard of the machine."""
PEAK_BYTES = 600 << 20
"""Resident memory a case may add, unless it says another figure."""

PRELOADED = (
    "ta2net.cli",
    "ta2net.batch",
    "ta2net.evaluate",
    "ta2net.training.loop",
    "pipeline.build",
    "decord",
)

STAGES = ("impacts", "catalog", "flows")
"""First words of a command that name a module of ``stages`` rather than a command of ``ta2net``."""

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


@dataclass(frozen=True)
class Outcome:
    """How a process ended: exit code (below 0: by that signal, None: over time), output, added memory."""

    code: int | None
    said: str
    peak_bytes: int


def run(command: tuple[str, ...], folder: Path, time_limit_s: float = TIME_LIMIT_S) -> Outcome:
    """Run one command of the program in ``folder``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *PRELOADED])
    said, peak = folder / ".said", folder / ".peak"
    process = context.Process(target=_run, args=(command, folder, said, peak))
    process.start()
    process.join(time_limit_s)
    if process.exitcode is None:
        process.kill()
        process.join()
        code = None
    else:
        code = process.exitcode
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    added = json.loads(peak.read_text()) if peak.exists() else 0
    return Outcome(code, text, added)


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


def _run(command: tuple[str, ...], folder: Path, said: Path, peak: Path) -> None:
    """In the forked process: run the command with its output in a file."""
    with said.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    with suppress(FileNotFoundError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - of the descriptors
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    _compute_alone()
    _become_ordinary()
    before = _resident_bytes()
    try:
        _call(command)
    finally:
        sys.stdout.flush()
        peak.write_text(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before))


def _call(command: tuple[str, ...]) -> None:
    name, *arguments = command
    if name in STAGES:
        sys.argv = [name, *arguments]
        runpy.run_module(f"stages.{name}", run_name="__main__")
        return
    from ta2net.cli import main

    main(list(command), prog_name="ta2net")


def _compute_alone() -> None:
    """One thread: several for pictures of a few pixels only get into each other's way."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _become_ordinary() -> None:
    """Give up the rights that let root read any file, and set limits."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
