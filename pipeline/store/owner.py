"""Whose unfinished work is this? Names that tell the machine and the process that made them."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from functools import cache
from pathlib import Path

import psutil

LEFTOVER_AGE_S = 24 * 3600
"""Unfinished work untouched for so long belongs to nobody, wherever its owner ran."""


def owner_tag(separator: str) -> str:
    """A fresh name that tells its owner: machine, process id and a random part."""
    return separator.join((_machine(), str(os.getpid()), uuid.uuid4().hex[:12]))


def is_dead(machine: str, pid: str) -> bool:
    """Whether that process ran on this machine and is gone; of other machines nothing is known."""
    return machine == _machine() and not psutil.pid_exists(int(pid))


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
