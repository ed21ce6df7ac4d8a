"""95 % intervals over videos: the percentile bootstrap on what each video adds to a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEED = 0
"""Of the resamplings: the same videos always get the same interval."""

PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Quotient:
    """A figure as the sum of ``numerator`` over the sum of ``denominator``, one entry (n,) per video.

    A mean over videos has ones below; precision over all hits has each video's counts.

    Attributes:
        empty: the figure where nothing is below; None where it is then undefined.
    """

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]
    empty: float | None = None

    def value(self) -> float | None:
        """The figure over all videos."""
        below = self.denominator.sum()
        return float(self.numerator.sum() / below) if below else self.empty


def mean_over(values: NDArray[np.generic], which: NDArray[np.bool_] | None = None) -> Quotient:
    """The mean of ``values`` (n,) over videos, or over those in ``which``; others may hold anything."""
    counted = np.ones(len(values), bool) if which is None else which
    return Quotient(np.where(counted, values, 0.0).astype(np.float64), counted.astype(np.float64))


def intervals(figures: Mapping[str, Quotient], resamplings: int) -> dict[str, list[float] | None]:
    """[low, high] of every figure: the 2.5th and 97.5th percentile of ``resamplings`` draws of n of n videos.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3. Draws in which a figure is
    undefined are left out; None where there are no videos, or no draw defines the figure.
    """
    weights: dict[int, NDArray[np.float64]] = {}
    result: dict[str, list[float] | None] = {}
    for name, figure in figures.items():
        n = len(figure.numerator)
        if n and n not in weights:
            draws = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=resamplings)
            weights[n] = draws.astype(np.float64)
        result[name] = _interval(figure, weights[n]) if n else None
    return result


def _interval(figure: Quotient, weights: NDArray[np.float64]) -> list[float] | None:
    # sorted first, so that the order in which videos come changes nothing
    order = np.lexsort((figure.denominator, figure.numerator))
    above, below = weights @ figure.numerator[order], weights @ figure.denominator[order]
    drawn = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    if figure.empty is not None:
        drawn[below == 0] = figure.empty
    drawn = drawn[np.isfinite(drawn)]
    return [float(x) for x in np.percentile(drawn, PERCENTILES)] if drawn.size else None
