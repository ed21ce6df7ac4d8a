"""What became of one video file among many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        path: the video.
        folder: where its results are.
        hits: how many were found; None if it failed or was skipped.
        failure: why it failed.
        fault: it failed by a fault of the program, whose traceback is where ``failure`` says.
    """

    path: Path
    folder: Path
    hits: int | None = None
    failure: str | None = None
    fault: bool = False
