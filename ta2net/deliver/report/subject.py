"""What a report's page shows of one video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.spans import Spans, frames_in
from ta2net.evaluation.matching import match, merged_events
from ta2net.media.timeline import Marker, Timeline

LABEL_TOLERANCE_FRAMES = 2
"""A hit this near to a label counts as found, as in the figures of the evaluation."""

Facts = Sequence[tuple[str, str]]
"""Names and values, in the order in which they are shown."""


@dataclass(frozen=True)
class Subject:
    """One video, or a part of it, with all that is to be shown.

    Attributes:
        timeline: the film and its hits.
        times_s: (n_frames,) presentation times of all frames of the file, the container's own.
        first, stop: the frames [first, stop) that were looked at.
        score: (n_frames,) smoothed probability of a hit, NaN where there is none.
        threshold: hits reach it.
        maps: localisation maps (h, w) in (0, 1) by frame, of every hit; empty where the method does not say
        where.
        facts: about the network, the settings and the video.
        labels: labelled frames of the file, in order; None: the video has no labels.
        annotated: half-open spans of frames of which the labels tell all; None: of all frames.
    """

    timeline: Timeline
    times_s: NDArray[np.float64]
    first: int
    stop: int
    score: NDArray[np.float64]
    threshold: float
    maps: Mapping[int, NDArray[np.floating]]
    facts: Facts
    labels: tuple[int, ...] | None = None
    annotated: Spans | None = None

    @property
    def shown_s(self) -> NDArray[np.float64]:
        """Presentation times of the frames that were looked at."""
        return self.times_s[self.first : self.stop]

    @property
    def duration_s(self) -> float:
        """From the first frame that was looked at to the end of the last one."""
        return float(self.shown_s[-1] - self.shown_s[0]) + 1 / float(self.timeline.fps)

    @property
    def hits(self) -> tuple[Marker, ...]:
        """In order of time."""
        return self.timeline.markers

    @cached_property
    def surest_first(self) -> list[Marker]:
        """The hits by falling probability, of equals the earlier first."""
        return sorted(self.hits, key=lambda hit: (-hit.probability, hit.frame))

    @cached_property
    def comparison(self) -> Comparison | None:
        """The hits beside the labels; None without labels."""
        if self.labels is None:
            return None
        inside = [frame for frame in self.labels if self.first <= frame < self.stop]
        return compared(self.judged, inside)

    @cached_property
    def judged(self) -> tuple[int, ...]:
        """Frames of the hits that the labels can tell of: those on annotated frames."""
        frames = tuple(hit.frame for hit in self.hits)
        return frames if self.annotated is None else frames_in(frames, self.annotated)


@dataclass(frozen=True)
class Comparison:
    """Hits beside labels; a run of labelled frames is one labelled hit, at its middle.

    Attributes:
        labelled: frames of the labelled hits.
        distance_frames: by frame of each hit that was paired: hit - label.
        missed: labelled frames that no hit was paired with.
    """

    labelled: tuple[int, ...]
    distance_frames: Mapping[int, int]
    missed: tuple[int, ...]

    @property
    def found(self) -> int:
        """Labelled hits that were found."""
        return len(self.distance_frames)


def compared(frames: Sequence[int], labels: Sequence[int]) -> Comparison:
    """Pair hits and labelled hits one to one, within two frames."""
    labelled = merged_events(labels)
    mine, theirs = match(frames, labelled, LABEL_TOLERANCE_FRAMES)
    distance = {frames[i]: frames[i] - int(labelled[j]) for i, j in zip(mine, theirs, strict=True)}
    paired = set(theirs.tolist())
    missed = tuple(int(frame) for place, frame in enumerate(labelled) if place not in paired)
    return Comparison(tuple(labelled.tolist()), distance, missed)
