"""Two rules that need no training, to measure networks against: peaks of motion and of inflection.

Both are multiples of the film's own mean. In px they found nothing in small or slow films: a threshold holds
for one scale only. The median, the maximum, percentiles, the root mean square, z-scores and ratios to a
moving median were tried on rendered and on real films, too; none is better than the mean for both rules.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.kinematics import BACKWARD, FORWARD
from ta2net.methods.method import Rule
from ta2net.methods.params import MethodParams

RULES_REVISION = 2
"""Goes up when a rule's curve changes: a threshold for another curve means nothing."""


def mean_magnitudes(field: NDArray[np.generic], steps_per_px: float) -> NDArray[np.float64]:
    """Mean length of a field's vectors over the picture: coded (n, 2, 2, H, W) -> (n, direction) in px."""
    u, v = field[:, :, 0].astype(np.float32), field[:, :, 1].astype(np.float32)
    return np.hypot(u, v).mean(axis=(2, 3), dtype=np.float64) / steps_per_px


def at_their_frames(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inflection *at* each frame, both directions of time: (n, direction) -> (n,).

    A hit at frame t changes the velocity between the intervals (t-1, t) and (t, t+1): that change is
    ``a+_{t-1}`` and ``a-_{t+1}``, so both are moved onto t. The first and last frame keep their neighbour's.
    """
    forward, backward = magnitudes[:, FORWARD], magnitudes[:, BACKWARD]
    at_frame = forward.copy()
    at_frame[1:-1] = 0.5 * (forward[:-2] + backward[2:])
    at_frame[0], at_frame[-1] = at_frame[1], at_frame[-2]
    return at_frame


def mean_inflection(inflection: NDArray[np.generic], steps_per_px: float) -> NDArray[np.float64]:
    """Mean length of the inflection at each frame: coded (n, 2, 2, H, W) -> (n,) px per frame squared."""
    return at_their_frames(mean_magnitudes(inflection, steps_per_px))


def relative(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve (n,) >= 0 as r / (1 + r), r in multiples of its mean; zeros where nothing moves at all."""
    mean = curve.mean()
    return curve / (mean + curve) if mean > 0 else np.zeros_like(curve)


class MotionEnergyParams(MethodParams):
    """It has none."""

    name: Literal["motion_energy"] = "motion_energy"


class MotionEnergy(Rule):
    """Mean speed of all pixels, both directions of time."""

    name = "motion_energy"
    Params = MotionEnergyParams

    def reads(self, params: MethodParams) -> frozenset[str]:
        """Velocity."""
        del params
        return frozenset({"velocity"})

    def measure(self, fields: Any, steps_per_px: float) -> NDArray[np.float64]:
        """(k, direction) px per frame."""
        return mean_magnitudes(fields.velocity, steps_per_px)

    def curve(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``Rule.curve``."""
        return relative(measured.mean(axis=1))


class InflectionPeakParams(MethodParams):
    """It has none."""

    name: Literal["inflection_peak"] = "inflection_peak"


class InflectionPeak(Rule):
    """Mean length of the inflection at each frame."""

    name = "inflection_peak"
    Params = InflectionPeakParams

    def reads(self, params: MethodParams) -> frozenset[str]:
        """Inflection."""
        del params
        return frozenset({"inflection"})

    def measure(self, fields: Any, steps_per_px: float) -> NDArray[np.float64]:
        """(k, direction) px per frame squared."""
        return mean_magnitudes(fields.inflection, steps_per_px)

    def curve(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``Rule.curve``."""
        return relative(at_their_frames(measured))


METHODS: tuple[Rule, ...] = (MotionEnergy(), InflectionPeak())
RULES: dict[str, Rule] = {rule.name: rule for rule in METHODS}
