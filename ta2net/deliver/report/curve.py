"""The score curve of a whole film as one path of an SVG picture, however long the film is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMNS = 600
"""Of the path: of several frames in one column the highest and the lowest count."""


def path_of(score: NDArray[np.float64], at: NDArray[np.float64]) -> str:
    """The ``d`` of an SVG path in a unit square whose y grows downwards: 0 is a score of 1.

    Args:
        score: (n,) in [0, 1], NaN where the curve has a gap.
        at: (n,) where each frame lies from left to right, in [0, 1], ascending.
    """
    columns = np.minimum((at * COLUMNS).astype(np.int64), COLUMNS - 1)
    parts: list[str] = []
    drawing = False
    for group in np.split(np.arange(len(score)), np.flatnonzero(np.diff(columns)) + 1):
        known = group[np.isfinite(score[group])]
        if not len(known):
            drawing = False
            continue
        lowest, highest = known[score[known].argmin()], known[score[known].argmax()]
        for index in dict.fromkeys(sorted((int(lowest), int(highest)))):
            parts.append(f"{'L' if drawing else 'M'}{at[index]:.4f} {1 - score[index]:.3f}")
            drawing = True
    return "".join(parts)
