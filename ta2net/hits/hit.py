"""``Hit``: what everything downstream of the network speaks, and hits.csv and candidates.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.files.atomic import write_text
from ta2net.hits.decoding import Peaks
from ta2net.hits.place import peak_place

if TYPE_CHECKING:
    from ta2net.hits.scoring import Scores  # loads torch, which those who only read hits can do without

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
            localisation map's strongest cell; None: the method does not say where.
    """

    row_id: str
    frame: int
    time_s: float
    probability: float
    x_fraction: float | None = None
    y_fraction: float | None = None


def hits_at(row_id: str, peaks: Peaks, time_s: NDArray[np.float64], scores: Scores) -> list[Hit]:
    """A row's peaks with their times, (n,) per frame of the row, and places."""
    maps = scores.localization
    return [
        Hit(row_id, int(t), float(time_s[t]), float(p), *(() if maps is None else peak_place(maps[t])))
        for t, p in zip(peaks.frames, peaks.heights, strict=True)
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
