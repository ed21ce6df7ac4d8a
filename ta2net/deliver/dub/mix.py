"""Placed sounds -> one track, a block at a time, and the one gain that keeps it from clipping.

The whole track is lowered by one factor, and only when its loudest sample would pass the ceiling. A limiter
would cost less level, but it changes the shape of attacks and the balance of loud and quiet hits, which is
just what a preview is listened to for; a gain leaves both alone. Its price is a second pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ta2net.media.audio import BLOCK, Samples, amplitude, silence

CEILING = amplitude(-1.0)
"""Loudest sample of a track: 1 dB for what a lossy coder adds (EBU R 128 allows -1 dBTP)."""


@dataclass(frozen=True, eq=False)
class Placement:
    """One sound on a track.

    Attributes:
        start: its first sample, counted from the start of the track.
        samples: (n, 2) float32.
        gain: factor of amplitude.
    """

    start: int
    samples: Samples
    gain: float

    @property
    def end(self) -> int:
        """The first sample after it."""
        return self.start + len(self.samples)


def mixed(
    placements: Sequence[Placement], n_samples: int, under: Iterable[Samples] = (), under_gain: float = 1.0
) -> Iterator[Samples]:
    """The sum of all sounds as blocks (``BLOCK``, 2), the last shorter; exact zeros where there is none.

    Args:
        placements: in any order.
        n_samples: length of the track; it goes on to the end of ``under`` where that is longer.
        under: the sound they are laid over, in blocks of ``BLOCK`` from the start of the track.
        under_gain: its factor of amplitude.
    """
    waiting = sorted(placements, key=lambda one: one.start, reverse=True)
    sounding: list[Placement] = []
    below = iter(under)
    at = 0
    while True:
        held = next(below, None)
        length = max(min(BLOCK, n_samples - at), 0 if held is None else len(held))
        if length == 0:
            return
        block = silence(length)
        if held is not None:
            block[: len(held)] += np.float32(under_gain) * held
        while waiting and waiting[-1].start < at + length:
            sounding.append(waiting.pop())
        for one in sounding:
            first, last = max(one.start, at), min(one.end, at + length)
            block[first - at : last - at] += (
                np.float32(one.gain) * one.samples[first - one.start : last - one.start]
            )
        at += length
        sounding = [one for one in sounding if one.end > at]
        yield block


def peak(blocks: Iterable[Samples]) -> float:
    """The loudest sample."""
    return max((float(np.abs(block).max(initial=0.0)) for block in blocks), default=0.0)


def safe_gain(loudest: float) -> float:
    """The factor that brings a track's loudest sample down to ``CEILING``; 1 where it is below already."""
    return min(1.0, CEILING / loudest) if loudest > 0 else 1.0
