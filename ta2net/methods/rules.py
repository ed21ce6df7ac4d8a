"""Two rules that need no training, to measure the network against: peaks of motion and of inflection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.kinematics import BACKWARD, FORWARD, valid_range
from pipeline.store import Window

Rule = Callable[[Window, float], NDArray[np.float64]]


def mean_magnitude(field: NDArray[np.generic], steps_per_px: float) -> NDArray[np.float64]:
    """Mean length of a field's vectors over the picture: (n, 2, H, W) -> (n,) in px."""
    u, v = field[:, 0].astype(np.float32), field[:, 1].astype(np.float32)
    return np.hypot(u, v).mean(axis=(1, 2), dtype=np.float64) / steps_per_px


def motion_energy(window: Window, steps_per_px: float) -> NDArray[np.float64]:
    """Mean speed of all pixels, both directions of time: (n,) px per frame."""
    velocity = window.velocity
    return 0.5 * (
        mean_magnitude(velocity[:, FORWARD], steps_per_px)
        + mean_magnitude(velocity[:, BACKWARD], steps_per_px)
    )


def inflection_magnitude(window: Window, steps_per_px: float) -> NDArray[np.float64]:
    """Mean length of the inflection *at* each frame, see ``mean_inflection``."""
    return mean_inflection(window.inflection, steps_per_px)


def mean_inflection(inflection: NDArray[np.generic], steps_per_px: float) -> NDArray[np.float64]:
    """Mean length of the inflection *at* each frame, both directions of time: (n,) px per frame squared.

    A hit at frame t changes the velocity between the intervals (t-1, t) and (t, t+1): that change is
    ``a+_{t-1}`` and ``a-_{t+1}``, so both are moved onto t. The first and last frame keep their neighbour's.

    Args:
        inflection: coded, (n, 2, 2, H, W).
    """
    forward = mean_magnitude(inflection[:, FORWARD], steps_per_px)
    backward = mean_magnitude(inflection[:, BACKWARD], steps_per_px)
    at_frame = forward.copy()
    at_frame[1:-1] = 0.5 * (forward[:-2] + backward[2:])
    at_frame[0], at_frame[-1] = at_frame[1], at_frame[-2]
    return at_frame


RULES: dict[str, Rule] = {"motion_energy": motion_energy, "inflection_peak": inflection_magnitude}


def shown_to_model(scores: NDArray[np.float64], edges: Literal["trim", "hold"]) -> NDArray[np.float64]:
    """The scores with NaN at the frames the network is not shown, so that all are judged alike."""
    first, end = valid_range(len(scores), edges)
    kept = np.full(len(scores), np.nan)
    kept[first:end] = scores[first:end]
    return kept
