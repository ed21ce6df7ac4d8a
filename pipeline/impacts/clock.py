"""The time grid of one clip: pictures, and the much finer steps of the physics between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FRAME_RATES: tuple[Fraction, ...] = (Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30))
STEPS_PER_SECOND = 720
"""At least so many physics steps per second; always a whole number of them per frame."""


@dataclass(frozen=True)
class Clock:
    """Frame ``t`` is shown at ``t / fps`` seconds; step 0 of the physics lies one frame before frame 0.

    The lead of one frame (and one more at the end) lets a shutter that is open around the moment of a
    frame see motion on both sides of it, for the first and the last frame too.
    """

    fps: Fraction
    n_frames: int

    # asked for at every step of the physics, and fractions are slow: worked out once
    @cached_property
    def steps_per_frame(self) -> int:
        """Physics steps from one frame to the next."""
        return math.ceil(STEPS_PER_SECOND / self.fps)

    @cached_property
    def step_s(self) -> float:
        """Length of one physics step, seconds."""
        return float(1 / (self.fps * self.steps_per_frame))

    @property
    def n_steps(self) -> int:
        """Steps from one frame before the first frame to one frame after the last."""
        return (self.n_frames + 1) * self.steps_per_frame

    @property
    def duration_s(self) -> float:
        """Length of the clip, seconds."""
        return float(self.n_frames / self.fps)

    def time_s(self, step: int) -> float:
        """The time at the beginning of ``step``."""
        return (step - self.steps_per_frame) * self.step_s

    def step_at(self, time_s: float) -> int:
        """The last step that begins at or before ``time_s``."""
        return math.floor(time_s / self.step_s) + self.steps_per_frame

    def times_s(self) -> NDArray[np.float64]:
        """Times of all step boundaries, (n_steps + 1,)."""
        return np.asarray(
            (np.arange(self.n_steps + 1) - self.steps_per_frame) * self.step_s, dtype=np.float64
        )

    def frame_of(self, time_s: float) -> int:
        """The frame shown nearest to ``time_s``: the label of a contact at that time."""
        return round(time_s * float(self.fps))


def clock_for(duration_s: float, fps: Fraction) -> Clock:
    """The clock of a clip of about ``duration_s`` seconds, a whole number of frames."""
    return Clock(fps=fps, n_frames=max(1, round(duration_s * float(fps))))
