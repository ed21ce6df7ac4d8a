"""Rows in processes of their own: what crashes, hangs or fills the memory costs its row and nothing else.

Every thread of a Dask worker has one such process, which is used again and again. RLIMIT_AS would be the
kernel's own limit of memory, but CUDA reserves far more addresses than it uses; so what is resident is
watched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, TypeVar

import psutil
from distributed.protocol.pickle import dumps
from distributed.system import MEMORY_LIMIT

from pipeline.build.gpus import gpu_of_slot, wanted_gpus
from pipeline.build.row import Failure, RowDone, RowJob, compute_row
from pipeline.errors import UserError
from pipeline.store import open_store

R = TypeVar("R")
J = TypeVar("J")

WATCH_S = 0.2
"""How often time and memory are looked at."""

IDLE_S = 60.0
"""Longer than the pauses of a build; a process whose build is over gives its memory, and its GPU, back."""

DEATHS = 2
"""A process that died over a row may have been killed for another reason: the row gets a second chance."""


@dataclass(frozen=True)
class Limits:
    """What one row may take; None: no limit."""

    timeout_s: float | None
    memory_bytes: int | None


class LimitError(UserError):
    """A row took more time or memory than it may."""


class ProcessDiedError(ChildProcessError):
    """A row's process ended in the middle of it."""


class RowProcess:
    """A child process that does tasks, one at a time; started when it is needed, and again when it died.

    Args:
        environment: what it sees differently.
        idle_s: it ends by itself after so long a time without a task.
    """

    def __init__(self, environment: Mapping[str, str], idle_s: float = IDLE_S) -> None:
        # what can be imported here can be there, and nothing else: no module of the current folder
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        self._environment = {**os.environ, **environment, "PYTHONPATH": path}
        self._idle_s = idle_s
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: subprocess.Popen[bytes] | None = None
        self._connection: Any = None
        self.closed = False

    def run(self, task: Callable[[J], R], job: J, limits: Limits) -> R:
        """What ``task(job)`` returns there.

        Raises:
            LimitError: it took too long or too much memory; the process was killed.
            ProcessDiedError: the process died, or was closed.
        """
        message = dumps((task, job))
        while not self.closed:
            process = self._running()
            try:
                if process is not self._ready:
                    self._connection.recv()
                    self._ready = process
                self._connection.send_bytes(message)
                self._watch(process, limits)
                result: R = self._connection.recv()
            except (EOFError, ConnectionError):
                # 0: it had just retired, having had nothing to do for long
                if process.wait() == 0:
                    continue
                raise ProcessDiedError(_death(process.returncode)) from None
            return result
        raise ProcessDiedError("the build was stopped")

    def close(self) -> None:
        """Kill the process; a ``run`` in another thread ends with ProcessDiedError."""
        self.closed = True
        self._kill()

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, a new one if there is none; it sends None once it is ready."""
        if self._process is None or self._process.poll() is not None:
            if self._connection is not None:
                self._connection.close()
            self._connection, theirs = Pipe()
            with theirs:
                arguments = [str(theirs.fileno()), str(self._idle_s)]
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "pipeline.build.row_process.child", *arguments],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
        return self._process

    def _watch(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        """Wait for an answer, or for the process's end."""
        began = time.monotonic()
        while not self._connection.poll(WATCH_S):
            if limits.timeout_s is not None and time.monotonic() - began > limits.timeout_s:
                self._kill()
                raise LimitError(
                    f"not done after {limits.timeout_s:g} s, so it was stopped: its decoder hangs, or "
                    "build.row_timeout_s is too short for it (0: no limit)"
                )
            resident = _resident_bytes(process.pid)
            if limits.memory_bytes is not None and resident > limits.memory_bytes:
                self._kill()
                raise LimitError(
                    f"took {_mb(resident)} MB of memory, so it was stopped: build.row_memory_mb allows "
                    f"{_mb(limits.memory_bytes)} (0: no limit)"
                )

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def compute_row_apart(job: RowJob) -> RowDone | Failure:
    """``compute_row`` in this thread's row process, within the job's limits; whatever happens, it returns."""
    limits = Limits(job.timeout_s, _memory_bytes(job.memory_mb))
    died = None
    for _ in range(DEATHS):
        process = _own_process(job)
        try:
            return process.run(compute_row, job, limits)
        except LimitError as error:
            _tidy(job)
            return _failure(job, error.message, error)
        except ProcessDiedError as error:
            died = error
            if process.closed:
                return _failure(job, str(error), error)
            _tidy(job)
    assert died is not None
    return _failure(job, f"{died} ({DEATHS} times)", died)


def close_processes() -> None:
    """End all row processes of this (Dask worker's) process."""
    with _lock:
        running = list(_of_threads.values())
        _of_threads.clear()
    for process in running:
        process.close()


_of_threads: dict[int, RowProcess] = {}
_lock = threading.Lock()


def _own_process(job: RowJob) -> RowProcess:
    """The row process of this thread; its place among the others' decides which GPU it sees."""
    thread = threading.get_ident()
    with _lock:
        if thread not in _of_threads:
            slot = len(_of_threads)
            _of_threads[thread] = RowProcess(gpu_of_slot(slot, wanted_gpus(job.flow)))
        return _of_threads[thread]


def _memory_bytes(memory_mb: int | None) -> int | None:
    """The limit in bytes: what was asked for, or half of what this machine, or container, has."""
    if memory_mb is None:
        return int(MEMORY_LIMIT) // 2
    return memory_mb * 1_000_000 or None


def _failure(job: RowJob, reason: str, error: Exception) -> Failure:
    return Failure(job.row.row_id, job.row.path, f"{job.row.path}: {reason}", type(error).__name__)


def _tidy(job: RowJob) -> None:
    """Delete what the dead process was writing: only on its own machine is it known to be dead."""
    open_store(job.store).remove_leftovers()


def _death(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    why = "out of memory?" if code == -signal.SIGKILL else "a crash in a decoder or library"
    return f"its process was killed by {name} ({why})"


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _mb(count: int) -> int:
    return round(count / 1e6)
