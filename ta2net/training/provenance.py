"""Which code and which libraries made a checkpoint."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]
LIBRARIES = ("ta2net", "torch", "torchvision", "lightning", "numpy", "zarr")
PACKAGES = ("pipeline", "ta2net", "stages")
GIT_PATIENCE_S = 10.0


def provenance(source: Path = SOURCE) -> dict[str, Any]:
    """The git commit of a source tree and the versions of Python and the libraries.

    Returns:
        ``git``: commit (None where ``source`` is no checkout, or git is absent) and whether tracked files
        differ from it (``dirty``; None likewise). ``versions``: by name, None for what is not installed.
    """
    return {"git": git_state(source), "versions": versions()}


def git_state(source: Path) -> dict[str, Any]:
    """``commit`` and ``dirty`` of the checkout whose root is ``source``."""
    # a package installed inside somebody's repository has a commit above it that says nothing about it
    commit = _git(source, "rev-parse", "HEAD") if (source / ".git").exists() else None
    # a run of the pipeline changes dvc.lock and metrics.json itself: only the code counts
    asked = ("status", "--porcelain", "--untracked-files=no", "--", *PACKAGES)
    changes = None if commit is None else _git(source, *asked)
    return {"commit": commit, "dirty": None if changes is None else changes != ""}


def versions() -> dict[str, str | None]:
    """Versions by name."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was never installed
            found[name] = None
    return found


def _git(source: Path, *arguments: str) -> str | None:
    """What git prints, or None where it is absent, too slow or unwilling."""
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-C", str(source), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
