"""Velocity -> inflection, its fixed-point coding, and both for a video that comes in pieces.

With ``v+_t`` the flow from frame t to t+1 and ``v-_t`` the flow from frame t to t-1 (paper, Eq. 1-2), the
inflection is the change of velocity along each direction of time (Eq. 3; the backward one is the exact mirror
of the forward one)::

    a+_t = v+_{t+1} - v+_t        a-_t = v-_{t-1} - v-_t

In a video of n frames ``v+`` exists for t <= n-2, ``v-`` for t >= 1, ``a+`` for t <= n-3, ``a-`` for t >= 2.
Arrays of n frames always hold the nearest existing field where one is missing, so that what is stored does
not depend on ``kinematics.edges``; ``valid_range`` says which frames a model is to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.errors import VideoError

FORWARD, BACKWARD = 0, 1
"""Index along the direction axis of velocity and inflection."""

MIN_FRAMES = 3
"""Two consecutive velocities are needed for one inflection."""

INT16_LIMIT = 32767
"""Largest coded magnitude; -32768 is left out so that negating a field (a mirrored clip) stays exact."""
FLOAT16_LIMIT = 65504.0

Field = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Coding:
    """How a field in px per frame is stored.

    Attributes:
        kind: ``int16`` (fixed point) or ``float16``.
        scale: coded value = px per frame * scale; 1 for float16.
    """

    kind: Literal["int16", "float16"]
    scale: int

    @classmethod
    def of(cls, kind: Literal["int16", "float16"], scale: int) -> Coding:
        """The coding that the parameters ``store.coding`` and ``store.scale`` ask for."""
        return cls(kind, scale if kind == "int16" else 1)


def encode(velocity_px: npt.NDArray[np.floating], coding: Coding) -> tuple[Field, int]:
    """Code a field in px per frame; also return how many values were cut to the largest codable magnitude.

    int16 rounds half to even, so that a decoded value is off by at most ``0.5 / scale`` px.

    Raises:
        ValueError: a value is not finite.
    """
    # in float64 the product with the scale is exact for every float32 velocity
    steps = velocity_px.astype(np.float64) * coding.scale
    if not np.isfinite(steps).all():
        raise ValueError("the optical flow holds values that are not finite")
    if coding.kind == "int16":
        steps = np.rint(steps)
        limit: float = INT16_LIMIT
    else:
        limit = FLOAT16_LIMIT
    saturated = int(np.count_nonzero(np.abs(steps) > limit))
    return np.clip(steps, -limit, limit).astype(coding.kind), saturated


def decode(coded: Field, coding: Coding) -> npt.NDArray[np.float32]:
    """The field in px per frame that ``encode`` coded."""
    decoded: npt.NDArray[np.float32] = coded.astype(np.float32) / np.float32(coding.scale)
    return decoded


def inflection(velocity: Field) -> Field:
    """The inflection of a whole video (Eq. 3), edges held; same shape and type as ``velocity``.

    Args:
        velocity: (n, 2, 2, H, W), direction (forward, backward), then (u, v): int16 or float16 as coded, or
            float32/float64 px per frame. Frame n-1 forward and frame 0 backward are not looked at.

    int16 differences are exact, cut to +-32767; float16 ones are taken in float32 and rounded back.

    Raises:
        VideoError: fewer than three frames.
    """
    n = len(velocity)
    _require_frames(n)
    frames = np.arange(n)
    forward, backward = np.minimum(frames, n - 3), np.maximum(frames, 2)
    result = np.empty_like(velocity)
    result[:, FORWARD], _ = _difference(velocity[forward + 1, FORWARD], velocity[forward, FORWARD])
    result[:, BACKWARD], _ = _difference(velocity[backward - 1, BACKWARD], velocity[backward, BACKWARD])
    return result


def hold_edges(pairs: Field) -> Field:
    """Velocity per frame, (n, 2, 2, H, W), of the n-1 consecutive pairs' flows (n-1, 2, 2, H, W), edges held.

    ``pairs[i, 0]`` is the flow from frame i to i+1, ``pairs[i, 1]`` the flow from frame i+1 back to i; so
    ``v+_t = pairs[t, 0]`` and ``v-_t = pairs[t-1, 1]``.
    """
    frames = np.arange(len(pairs) + 1)
    forward = pairs[np.minimum(frames, len(pairs) - 1), FORWARD]
    backward = pairs[np.maximum(frames - 1, 0), BACKWARD]
    return np.stack([forward, backward], axis=1)


def valid_range(n: int, edges: Literal["trim", "hold"]) -> tuple[int, int]:
    """Frames [start, stop) a model sees of a video of n frames: 2..n-3 with ``trim``, all with ``hold``."""
    edge = edge_frames(edges)
    return edge, max(edge, n - edge)


def edge_frames(edges: Literal["trim", "hold"]) -> int:
    """How many frames at either end of a video a model does not see."""
    return 0 if edges == "hold" else 2


def _require_frames(n: int) -> None:
    if n < MIN_FRAMES:
        raise VideoError(f"the video has fewer than {MIN_FRAMES} frames, so no inflection")


def _difference(minuend: Field, subtrahend: Field) -> tuple[Field, npt.NDArray[np.bool_]]:
    """``minuend - subtrahend`` in the fields' own coding, and which values were cut to its limits."""
    if minuend.dtype == np.int16:
        wide: Field = minuend.astype(np.int32) - subtrahend.astype(np.int32)
        limit: float = INT16_LIMIT
    elif minuend.dtype == np.float16:
        wide = minuend.astype(np.float32) - subtrahend.astype(np.float32)
        limit = FLOAT16_LIMIT
    else:
        return np.subtract(minuend, subtrahend), np.zeros(minuend.shape, dtype=bool)
    return np.clip(wide, -limit, limit).astype(minuend.dtype), np.abs(wide) > limit


class InflectionStream:
    """``hold_edges`` and ``inflection`` for a video that comes in pieces.

    Whatever the pieces' sizes, the concatenated output equals the whole-array functions bit for bit. At most
    three pairs are kept between pieces.
    """

    def __init__(self) -> None:
        self._kept: Field | None = None
        self._first = 0  # index of the first kept pair
        self._emitted = 0
        self.saturated = 0
        """Inflection values cut so far; held copies at the edges are not counted."""

    def push(self, pairs: Field) -> tuple[Field, Field]:
        """Take coded pairs (k, 2, 2, H, W); return (velocity, inflection) of the frames now complete."""
        self._kept = pairs if self._kept is None else np.concatenate([self._kept, pairs])
        # frame t needs pair t+1 for a+_t; frames 0 and 1 hold a-_2, which needs pairs 0 and 1
        return self._emit(max(self._emitted, self._first + len(self._kept) - 1), None)

    def finish(self) -> tuple[Field, Field]:
        """The last two frames of the video, whose forward fields are held.

        Raises:
            VideoError: fewer than three frames came.
        """
        n = 0 if self._kept is None else self._first + len(self._kept) + 1
        _require_frames(n)
        return self._emit(n, n)

    def _emit(self, stop: int, n: int | None) -> tuple[Field, Field]:
        """Frames [emitted, stop); ``n`` is the video's length once it is known."""
        assert self._kept is not None
        frames = np.arange(self._emitted, stop)
        last_pair = frames if n is None else np.minimum(frames, n - 2)
        last_change = frames if n is None else np.minimum(frames, n - 3)
        ahead, behind = self._kept[:, FORWARD], self._kept[:, BACKWARD]
        pair, change = last_pair - self._first, last_change - self._first
        back_pair = np.maximum(frames - 1, 0) - self._first
        back_change = np.maximum(frames, 2) - 2 - self._first
        velocity = np.stack([ahead[pair], behind[back_pair]], axis=1)
        forward, cut_forward = _difference(ahead[change + 1], ahead[change])
        backward, cut_backward = _difference(behind[back_change], behind[back_change + 1])
        self.saturated += int(np.count_nonzero(cut_forward[frames == last_change]))
        self.saturated += int(np.count_nonzero(cut_backward[frames >= 2]))
        self._emitted = stop
        keep_from = max(stop - 2, self._first)
        # a copy, so that the rest of the piece can be freed
        self._kept = self._kept[keep_from - self._first :].copy()
        self._first = keep_from
        return velocity, np.stack([forward, backward], axis=1)


@dataclass(frozen=True)
class KinematicsChunk:
    """The whole tuple of some consecutive frames, as the flow store keeps it.

    Attributes:
        frames: uint8 (k, 3, H, W), RGB.
        velocity, inflection: coded, (k, 2, 2, H, W), direction (0 forward, 1 backward), then (u, v).
        saturated_velocity, saturated_inflection: values cut to the coding's limits on the way to this chunk.
    """

    frames: npt.NDArray[np.uint8]
    velocity: Field
    inflection: Field
    saturated_velocity: int
    saturated_inflection: int
