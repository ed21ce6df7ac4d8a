"""Where in the picture: the strongest cell of a map, the largest inflection.

Places are (x, y) fractions of width and height, (0, 0) top left; sizes (height, width).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline.kinematics import BACKWARD, FORWARD
from pipeline.store import Window

SMOOTHING_PX = 1.0
"""Of the inflection's magnitude, on the store's grid: one wild vector is no place."""

Size = tuple[int, int]
Place = tuple[float, float]


def cell_centre(index: int, grid: Size) -> Place:
    """The middle of cell ``index`` (row by row) of a grid (h, w) laid over the picture."""
    y, x = divmod(index, grid[1])
    return (x + 0.5) / grid[1], (y + 0.5) / grid[0]


def peak_place(values: NDArray[np.floating]) -> Place:
    """The middle of the largest cell of a map (h, w); of equals the first, row by row."""
    return cell_centre(int(values.argmax()), values.shape)


def inflection_at(window: Window, frame: int) -> NDArray[np.generic]:
    """Both directions' change of velocity *at* a frame, (2, 2, H, W) as stored.

    A hit at frame t changes the velocity between the intervals (t-1, t) and (t, t+1): that change is
    ``a+_{t-1}`` and ``a-_{t+1}``. At a window's ends its first or last frame stands in.

    Args:
        frame: counted from the window's first frame.
    """
    before, after = max(0, frame - 1), min(len(window.inflection) - 1, frame + 1)
    return np.stack((window.inflection[before, FORWARD], window.inflection[after, BACKWARD]))


def inflection_place(field: NDArray[np.generic]) -> Place:
    """Where the mean magnitude of a field (2, 2, H, W), smoothed by 1 px, is largest."""
    both = field.astype(np.float64)
    magnitude = np.hypot(both[:, 0], both[:, 1]).mean(axis=0)
    return peak_place(gaussian_filter(magnitude, SMOOTHING_PX, mode="nearest"))
