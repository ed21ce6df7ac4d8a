"""Whose unfinished work is this? Names that tell the machine and the process that made them."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil

LEFTOVER_AGE_S = 24 * 3600
"""Unfinished work of another machine that is untouched for so long belongs to nobody."""


def owner_tag(separator: str) -> str:
    """A fresh name that tells its owner: machine, process (its id and when it began) and a random part."""
    return separator.join((_machine(), _this_process(os.getpid()), uuid.uuid4().hex[:12]))


def tag_pattern(separator: str) -> str:
    """A regular expression of such names, with groups ``machine`` and ``process``."""
    return separator.join((r"(?P<machine>[0-9a-f]+)", r"(?P<process>\d+(?:-\d+)?)", r"[0-9a-f]+"))


def is_abandoned(tag: re.Match[str], last_change_s: Callable[[], float]) -> bool:
    """Whether nobody works any more on what has this name.

    Of this machine's processes it is known whether they run, whatever the clock says; of others only that
    they have changed nothing for a day.

    Args:
        tag: a match of ``tag_pattern``.
        last_change_s: says when, in seconds since 1970; asked for only where it matters.
    """
    if tag["machine"] == _machine():
        return not _is_running(*tag["process"].partition("-")[::2])
    return time.time() - last_change_s() > LEFTOVER_AGE_S


def _is_running(pid: str, began: str) -> bool:
    """Whether that very process runs, not another one with its number; ``began`` may be empty: not known."""
    try:
        process = psutil.Process(int(pid))
        return process.status() != psutil.STATUS_ZOMBIE and began in ("", _began(process))
    except psutil.NoSuchProcess:
        return _is_hidden(int(pid))


def _is_hidden(pid: int) -> bool:
    """Whether it is another user's, of a kernel that does not show such (``hidepid``)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False


def _began(process: psutil.Process) -> str:
    """When a process began; on Linux by the kernel's own count, which no change of the clock touches."""
    try:
        status = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return str(round(process.create_time()))
    return status.rpartition(")")[2].split()[19]


@cache
def _this_process(pid: int) -> str:
    return f"{pid}-{_began(psutil.Process(pid))}"


@cache
def _machine() -> str:
    """Names this machine since its last start, and this container on it: where a process id is unique."""
    parts = [socket.gethostname(), str(uuid.getnode())]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists():
        parts.append(boot.read_text(encoding="ascii").strip())
    if namespace.exists():
        parts.append(str(namespace.stat().st_ino))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
