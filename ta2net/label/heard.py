"""What was heard in a video."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.video.probe import VideoInfo
from ta2net.label.onsets import Novelty


@dataclass(frozen=True)
class Onset:
    """One label.

    Attributes:
        frame: 0-based, the one shown nearest to the onset.
        frame_time_s: its presentation time.
        time_s: of the onset, on the same clock.
        above_db: how far the onset stands out of the sound around it.
        confidence: 0..1, see ``ta2net.label.onsets``.
    """

    frame: int
    frame_time_s: float
    time_s: float
    above_db: float
    confidence: float


@dataclass(frozen=True)
class Heard:
    """A video's sound and the labels in it.

    Attributes:
        onsets: in order of time, at most one per frame.
        outside: onsets before the first or after the last picture, left out.
        threshold: least confidence.
    """

    info: VideoInfo
    sound: Novelty
    onsets: tuple[Onset, ...]
    outside: int
    threshold: float
