"""The real command line in processes of their own, to be judged from outside or killed.

Processes are forked from a server that has imported everything once: starting Python and PyTorch for each of
some hundred runs would take minutes. Each has a session of its own, limits, and no more rights than an
ordinary user.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import fsspec

TIME_LIMIT_S = 120
ADDRESS_SPACE = 6 << 30
"""Bytes of addresses a process may take beyond what the imported libraries have: a guard of the machine."""

PRELOADED = (
    *("ta2net.cli", "ta2net.prediction.many", "ta2net.evaluation.evaluate", "ta2net.training.loop"),
    *("pipeline.build", "pipeline.impacts.dataset", "decord", "s3fs"),
)
STAGES = ("impacts", "catalog", "flows")
"""First words of a command that name a module of ``stages`` rather than a command of ``ta2net``."""

OUTPUT, PEAK = ".said", ".peak"
"""Files in the folder of a run: what it printed, and the memory it added."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: exit code (below 0: by that signal, None: over time), output, added memory."""

    code: int | None
    said: str
    peak_bytes: int


@dataclass(frozen=True)
class Running:
    """A process at work in ``folder``."""

    process: ForkServerProcess
    folder: Path

    def kill(self) -> None:
        """``kill -9`` of the process and all of its session."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def outcome(self, time_limit_s: float = TIME_LIMIT_S) -> Outcome:
        """Wait for its end; kill it when its time is over."""
        self.process.join(time_limit_s)
        code = self.process.exitcode
        if code is None:
            self.kill()
            self.process.join()
        said, peak = self.folder / OUTPUT, self.folder / PEAK
        text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
        return Outcome(code, text, json.loads(peak.read_text()) if peak.exists() else 0)


def start(
    command: tuple[str, ...],
    folder: Path,
    *,
    file_limit: int | None = None,
    clock_s: float = 0.0,
    **environment: str,
) -> Running:
    """Start a command of the program in ``folder``.

    Args:
        command: arguments of ``ta2net``, or the name of a stage and its arguments, or ``python`` and a
            module with its arguments.
        file_limit: no file may grow beyond so many bytes.
        clock_s: so many seconds its clock is ahead.
        environment: variables that it sees differently from this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *PRELOADED])
    for name in (OUTPUT, PEAK):
        (folder / name).unlink(missing_ok=True)
    sees = {**os.environ, **environment}
    process = context.Process(target=_run, args=(command, folder, file_limit, clock_s, sees))
    process.start()
    return Running(process, folder)


def run(
    command: tuple[str, ...], folder: Path, time_limit_s: float = TIME_LIMIT_S, **options: object
) -> Outcome:
    """``start``, and wait for the end."""
    return start(command, folder, **options).outcome(time_limit_s)


def _run(
    command: tuple[str, ...],
    folder: Path,
    file_limit: int | None,
    clock_s: float,
    environment: Mapping[str, str],
) -> None:
    """In the forked process: run the command with its output in a file."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    with (folder / OUTPUT).open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - of the descriptors
    # as Python itself opens it
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    _compute_alone()
    _become_ordinary(file_limit)
    _set_clock(clock_s)
    # it was imported with another environment
    fsspec.config.set_conf_env(fsspec.config.conf)
    before = _resident_bytes()
    try:
        _call(command)
    finally:
        sys.stdout.flush()
        added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        with suppress(OSError):  # the folder may be read-only, or the disk full
            (folder / PEAK).write_text(json.dumps(added))


def _call(command: tuple[str, ...]) -> None:
    name, *arguments = command
    if name == "python" or name in STAGES:
        module, *rest = arguments if name == "python" else (f"stages.{name}", *arguments)
        sys.argv = [module, *rest]
        runpy.run_module(module, run_name="__main__")
        return
    from ta2net.cli import main

    main(list(command), prog_name="ta2net")


def _compute_alone() -> None:
    """One thread: several for pictures of a few pixels only get into each other's way."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _become_ordinary(file_limit: int | None) -> None:
    """Give up the rights that let root read any file, and set limits."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if file_limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead, as of a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)())


def _set_clock(ahead_s: float) -> None:
    """For all that asks Python for the time; the kernel's own clock dates the files."""
    real = time.time
    time.time = lambda: real() + ahead_s


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
