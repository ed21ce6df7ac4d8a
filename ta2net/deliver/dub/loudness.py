"""How loud each hit is heard: the surer it is, or the harder the motion changes in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.video.probe import VideoInfo

if TYPE_CHECKING:  # its module loads torch, which takes seconds
    from ta2net.hits.hit import Hit

Loudness = Literal["probability", "inflection"]
Level = Callable[["Hit"], float]
"""A hit's level in dB, 0 at most."""

LOUDNESS_RANGE_DB = 12.0
"""How much quieter than the loudest a hit is at most."""


def by_probability(hit: Hit) -> float:
    """Probability 1 is heard at full level, 0 would be heard ``LOUDNESS_RANGE_DB`` lower."""
    return -LOUDNESS_RANGE_DB * (1.0 - hit.probability)


def by_inflection(info: VideoInfo, hits: Iterable[Hit]) -> Level:
    """Levels by the change of motion at each hit's frame: half the change of the strongest is 6 dB lower.

    Raises:
        VideoError: the video cannot be read, or has fewer than three frames.
    """
    strengths = inflection_strengths(info, {hit.frame for hit in hits})
    strongest = max(strengths.values(), default=0.0)

    def level_db(hit: Hit) -> float:
        share = strengths[hit.frame] / strongest if strongest else 1.0
        return max(-LOUDNESS_RANGE_DB, 20 * math.log10(share) if share else -math.inf)

    return level_db


def inflection_strengths(info: VideoInfo, frames: Iterable[int]) -> dict[int, float]:
    """Mean length of the inflection over the picture at some frames: px per frame squared at store size.

    The flow is OpenCV's DIS at the default sizes, so that any file of hits will do, also one that was
    corrected by hand; only the frames around the hits cost flow.

    Raises:
        VideoError: as ``by_inflection``.
    """
    from pipeline.flow import make_estimator
    from pipeline.kinematics import MIN_FRAMES, Coding
    from pipeline.params import FlowParams, StoreParams
    from pipeline.video.frames2kinematics import Frames2Kinematics
    from ta2net.methods.rules import mean_inflection

    if info.n_frames < MIN_FRAMES:
        raise VideoError(f"{info.path}: {info.n_frames} frame(s); an inflection needs {MIN_FRAMES}")
    flow, store = FlowParams(), StoreParams()
    coding = Coding.of(store.coding, store.scale)
    kinematics = Frames2Kinematics(make_estimator(flow), flow.size, store.size, coding)
    found = {}
    for frame, place, pictures in _surroundings(info, sorted(frames)):
        change = np.concatenate([chunk.inflection for chunk in kinematics([pictures])])
        found[frame] = float(mean_inflection(change, coding.scale)[place])
    return found


def _surroundings(info: VideoInfo, frames: list[int]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Each frame, its place among three pictures in a row, and those, (3, H, W, 3); the film is read once."""
    from pipeline.kinematics import MIN_FRAMES
    from pipeline.video.decode import open_video

    waiting = deque(frames)
    held: deque[NDArray[np.uint8]] = deque(maxlen=MIN_FRAMES)
    at = 0
    for chunk in open_video(info) if waiting else ():
        for picture in chunk:
            held.append(picture)
            at += 1
            # the first and the last frame have neighbours on one side only: they take the next one's
            while waiting and at >= MIN_FRAMES and (waiting[0] <= at - 2 or at == info.n_frames):
                frame = waiting.popleft()
                yield frame, frame - (at - MIN_FRAMES), np.stack(held)
        if not waiting:
            return
