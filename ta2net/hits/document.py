"""``Hit``: what everything downstream of the network speaks, and the three files a prediction run keeps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.atomic import write_text
from ta2net.hits.peaks import Frames
from ta2net.hits.scoring import Scores

HIGH_RECALL_SCORE = 0.01
"""Candidates down to this probability are kept, so that another threshold needs no model."""


@dataclass(frozen=True)
class Hit:
    """One moment at which a visible action makes a sound.

    Attributes:
        row_id: the catalog row.
        frame: 0-based frame of the video file.
        time_s: presentation time of that frame.
        probability: smoothed probability of a hit, in [0, 1].
        x_fraction, y_fraction: where in the picture, (0, 0) top left, (1, 1) bottom right: the middle of the
            localisation map's strongest cell.
    """

    row_id: str
    frame: int
    time_s: float
    probability: float
    x_fraction: float
    y_fraction: float


def place(localization: NDArray[np.float32]) -> tuple[float, float]:
    """(x, y) fractions of the strongest cell of one map (h, w)."""
    height, width = localization.shape
    y, x = divmod(int(localization.argmax()), width)
    return (x + 0.5) / width, (y + 0.5) / height


def hits_at(
    row_id: str, frames: Frames, probability: NDArray[np.float64], time_s: NDArray[np.float64], scores: Scores
) -> list[Hit]:
    """Hits at ``frames`` with their ``probability`` (same length), times and places."""
    return [
        Hit(row_id, int(t), float(time_s[t]), float(p), *place(scores.localization[t]))
        for t, p in zip(frames, probability, strict=True)
    ]


def write_hits(hits: Iterable[Hit], path: str | Path) -> None:
    """Hits as CSV: ``row_id,frame,time_s,probability,x_fraction,y_fraction``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Hit)], lineterminator="\n")
    writer.writeheader()
    for hit in hits:
        record = asdict(hit)
        record |= {key: round(value, 6) for key, value in record.items() if isinstance(value, float)}
        writer.writerow(record)
    write_text(path, text.getvalue())


def write_scores(rows: Iterable[tuple[str, NDArray[np.float64], Scores]], path: str | Path) -> None:
    """Raw scores as CSV: ``row_id,frame,time_s,probability``; frames without a score are left out.

    rows: (row id, presentation times (n,), scores).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row_id", "frame", "time_s", "probability"])
    for row_id, time_s, scores in rows:
        for frame in np.flatnonzero(np.isfinite(scores.probability)):
            writer.writerow([row_id, frame, round(time_s[frame], 6), round(scores.probability[frame], 6)])
    write_text(path, text.getvalue())
