"""Plots of many runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.files.atomic import written_beside

COLOURS = ("#1f4e8c", "#d1495b", "#2a9d5c", "#8a5fbf")


def save_study(results: dict[str, Any], figures: Sequence[str], out: Path) -> None:
    """Every row of a study from top to bottom: each seed as a dot, the mean as a bar, one colour a figure.

    Args:
        results: ``study.collected``'s document.
        figures: which of its figures to draw; all lie in [0, 1].
    """
    rows = results["rows"]
    picture = Figure(figsize=(9, 1.2 + 0.42 * len(rows)), layout="constrained")
    axes = picture.subplots()
    places = np.arange(len(rows))
    height = 0.8 / len(figures)
    for number, name in enumerate(figures):
        values = [[v for v in row[name] if v is not None] for row in rows.values()]
        at = places + (number - (len(figures) - 1) / 2) * height
        means = [float(np.mean(v)) if v else 0.0 for v in values]
        axes.barh(at, means, height * 0.9, color=COLOURS[number], alpha=0.35, label=name)
        for y, dots in zip(at, values, strict=True):
            axes.plot(dots, [y] * len(dots), "o", color=COLOURS[number], markersize=4)
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set_xlim(left=0.0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("higher is better; dots are seeds, bars their means")
    axes.set_title(results["title"])
    picture.legend(loc="outside right upper")
    with written_beside(out) as temporary, temporary.open("wb") as stream:
        picture.savefig(stream, format="png", dpi=130)
