"""Labels a frame is trained on: hard 0/1, a Gaussian around every hit, the distance to the nearest hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def hard_labels(labels: Sequence[int], n_frames: int, dilation_frames: int = 0) -> Floats:
    """1 at every frame within ``dilation_frames`` of a label, 0 elsewhere: (n_frames,).

    Dilation as in Hong et al., "Spotting Temporally Precise, Fine-Grained Events in Video" (ECCV 2022).
    """
    return (np.abs(offset_labels(labels, n_frames)) <= dilation_frames).astype(np.float32)


def soft_labels(labels: Sequence[int], n_frames: int, sigma_frames: float, cut_frames: int) -> Floats:
    """``max over labels h of exp(-(t - h)^2 / (2 sigma^2))``, 0 further than cut_frames from h: (n_frames,).

    Where two overlap the larger counts: a sum, cut to 1, would merge labels three frames apart into one
    plateau.
    """
    soft = np.zeros(n_frames, np.float32)
    offsets = np.arange(-cut_frames, cut_frames + 1)
    bell = np.exp(-0.5 * (offsets / sigma_frames) ** 2).astype(np.float32)
    for label in labels:
        frames = label + offsets
        inside = (frames >= 0) & (frames < n_frames)
        np.maximum.at(soft, frames[inside], bell[inside])
    return soft


def offset_labels(labels: Sequence[int], n_frames: int) -> Floats:
    """Signed distance ``h - t`` in frames from every frame t to its nearest label h: (n_frames,).

    Of two equally far the earlier one counts. Infinite everywhere when there are no labels.

    Args:
        labels: frame numbers in ascending order.

    Example:
        >>> offset_labels([1, 5], 7)  # frame 3 is as far from 1 as from 5
        array([ 1.,  0., -1., -2.,  1.,  0., -1.], dtype=float32)
    """
    if not len(labels):
        return np.full(n_frames, np.inf, np.float32)
    frames, places = np.arange(n_frames), np.asarray(labels, dtype=np.int64)
    later = np.searchsorted(places, frames)
    # before the first label and after the last one both sides are the same label
    to_later = places[np.minimum(later, len(places) - 1)] - frames
    to_earlier = places[np.maximum(later - 1, 0)] - frames
    return np.where(np.abs(to_earlier) <= np.abs(to_later), to_earlier, to_later).astype(np.float32)


def reversed_labels(labels: Sequence[int], n_frames: int) -> tuple[int, ...]:
    """The labels of the video played backwards, ascending again.

    A clip played backwards has the targets of these labels: ``hard`` and ``soft`` flipped, ``offset`` flipped
    with its sign changed. Only where two labels are equally far is ``offset`` not that: the one *shown*
    earlier counts either way, so that what looks alike is labelled alike.
    """
    return tuple(n_frames - 1 - label for label in reversed(labels))
