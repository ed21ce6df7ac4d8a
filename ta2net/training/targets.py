"""Labels a frame is trained on: hard 0/1, and a Gaussian around every hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def hard_labels(hits: Sequence[int], n_frames: int) -> Floats:
    """1 at every hit frame, 0 elsewhere: (n_frames,)."""
    labels = np.zeros(n_frames, np.float32)
    labels[np.asarray(hits, dtype=np.int64)] = 1.0
    return labels


def soft_labels(hits: Sequence[int], n_frames: int, sigma_frames: float, cut_frames: int) -> Floats:
    """``max over hits h of exp(-(t - h)^2 / (2 sigma^2))``, 0 further than cut_frames from h: (n_frames,).

    Where two hits overlap the larger counts: a sum, cut to 1, would merge hits three frames apart into one
    plateau.
    """
    labels = np.zeros(n_frames, np.float32)
    offsets = np.arange(-cut_frames, cut_frames + 1)
    bell = np.exp(-0.5 * (offsets / sigma_frames) ** 2).astype(np.float32)
    for hit in hits:
        frames = hit + offsets
        inside = (frames >= 0) & (frames < n_frames)
        np.maximum.at(labels, frames[inside], bell[inside])
    return labels
