"""Inflection from velocity, bit for bit as stored: half of the flow need not be read, sent or kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.kinematics import BACKWARD, FLOAT16_LIMIT, FORWARD, INT16_LIMIT


def frames_needed(start: int, stop: int, n: int) -> tuple[int, int]:
    """Frames [low, high) whose velocity the inflection of frames [start, stop) of n is made of.

    One more at either side, and those whose inflection the edges of the row hold.
    """
    first, last = _change_frames(start, n)[1], _change_frames(stop - 1, n)[0]
    return min(start, first - 1, _change_frames(start, n)[0]), max(stop, last + 2, first + 1)


def is_small(velocity: NDArray[np.generic]) -> bool:
    """Whether no difference of two coded values can leave int16; half its range is some 256 px a frame."""
    half = INT16_LIMIT // 2
    return velocity.dtype == np.int16 and int(velocity.min()) >= -half and int(velocity.max()) <= half


def rebuild_inflection(velocity: Tensor, low: int, start: int, n: int, out: Tensor, *, small: bool) -> None:
    """Write the inflection of frames [start, start + k) of a row of n frames to ``out`` (Eq. 3, edges held).

    Args:
        velocity: coded (j, 2, 2, H, W), int16 or float16, of the frames from ``low`` on that
            ``frames_needed`` asks for.
        out: (k, 2, 2, H, W) of the same type; becomes equal to ``pipeline.kinematics.inflection`` of the row.
        small: ``is_small`` of the velocity: one pass instead of seven.
    """
    stop = start + len(out)
    for direction in (FORWARD, BACKWARD):
        field, changes = velocity[:, direction], out[:, direction]
        towards = 1 if direction == FORWARD else -1
        # frames whose own change exists are one slice; those at the row's edges hold the nearest one
        for first, last, held in _runs(start, stop, n, direction):
            at = slice((first if held is None else held) - low, (last if held is None else held + 1) - low)
            neighbour = slice(at.start + towards, at.stop + towards)
            target = changes[first - start : last - start]
            _difference(field[neighbour], field[at], target[: at.stop - at.start], small=small)
            if held is not None:
                target[1:] = target[:1]


def _runs(start: int, stop: int, n: int, direction: int) -> Iterator[tuple[int, int, int | None]]:
    """[first, last) and the frame whose change all of them hold (None: each its own), not empty."""
    if direction == FORWARD:
        cut = max(start, min(stop, n - 2))
        parts = ((start, cut, None), (cut, stop, n - 3))
    else:
        cut = min(stop, max(start, 2))
        parts = ((cut, stop, None), (start, cut, 2))
    yield from (part for part in parts if part[0] < part[1])


def _change_frames(t: int, n: int) -> tuple[int, int]:
    """The frames whose forward and backward inflection frame t of n shows."""
    return min(t, n - 3), max(t, 2)


def _difference(minuend: Tensor, subtrahend: Tensor, out: Tensor, *, small: bool) -> None:
    """Write ``minuend - subtrahend``, cut to the coding's limits, to ``out``; all of one shape."""
    if small:
        torch.sub(minuend, subtrahend, out=out)
        return
    if minuend.dtype == torch.float16:
        out.copy_((minuend.float() - subtrahend).clamp_(-FLOAT16_LIMIT, FLOAT16_LIMIT))
        return
    # the minuend is cut first, to what leaves a difference within the limits: then nothing here leaves int16,
    # and int32 would take twice the time
    bound = subtrahend.clamp(min=0).sub_(INT16_LIMIT)
    cut = torch.maximum(minuend, bound)
    torch.clamp(subtrahend, max=0, out=bound).add_(INT16_LIMIT)
    torch.minimum(cut, bound, out=cut)
    torch.sub(cut, subtrahend, out=out)
