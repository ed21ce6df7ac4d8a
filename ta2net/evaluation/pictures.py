"""Pictures of a prediction: the score curve with hits and labels, a frame with its flow and inflection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.files.atomic import written_beside
from pipeline.kinematics import BACKWARD, FORWARD
from pipeline.spans import Spans, gaps
from ta2net.evaluation.metrics_json import ScoredRow
from ta2net.hits.peaks import smoothed
from ta2net.params import PeaksParams

mpl.use("Agg")

LABEL_COLOUR, SCORE_COLOUR, HIT_COLOUR = "#2a9d5c", "#1f4e8c", "#d1495b"


@dataclass(frozen=True)
class Curve:
    """One video's scores and what was made of them.

    Attributes:
        title: shown above the picture.
        score: (n,) smoothed probability, NaN where there is none.
        threshold: hits lie on or above it.
        hits, labels: frame numbers.
        fps: frames per second, for the axis in seconds.
        unknown: half-open spans of frames that nobody has annotated.
    """

    title: str
    score: NDArray[np.float64]
    threshold: float
    hits: Sequence[int]
    labels: Sequence[int]
    fps: float
    unknown: Spans = ()


def score_curve(item: ScoredRow, threshold: float, peaks: PeaksParams) -> Curve:
    """The curve of one scored row with its labels and the hits that ``threshold`` gives."""
    return Curve(
        title=f"{item.row.row_id} ({item.row.class_name})",
        score=smoothed(item.scores.probability, peaks.smoothing_frames),
        threshold=threshold,
        hits=item.peaks(peaks).above(threshold).frames.tolist(),
        labels=item.row.known_labels,
        fps=float(item.row.fps),
        unknown=gaps(item.row.annotated, item.row.n_frames),
    )


@dataclass(frozen=True)
class Moment:
    """One frame to look at closely.

    Attributes:
        frame: its number.
        picture: uint8 RGB (H, W, 3).
        velocity: px per frame, (2, 2, H, W): direction, (u, v).
        inflection: change of velocity at this frame: ``a+_{t-1}`` and ``a-_{t+1}``, likewise.
        localization: (h, w) in (0, 1); None: the method does not say where.
    """

    frame: int
    picture: NDArray[np.uint8]
    velocity: NDArray[np.float32]
    inflection: NDArray[np.float32]
    localization: NDArray[np.float32] | None


def flow_colours(field: NDArray[np.float32], full_px: float) -> NDArray[np.float64]:
    """A field (2, H, W) as RGB (H, W, 3): hue = direction, brightness = length up to ``full_px``."""
    u, v = field
    hue = (np.arctan2(v, u) / (2 * np.pi)) % 1.0
    value = np.clip(np.hypot(u, v) / full_px, 0.0, 1.0)
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))


def draw_curve(axes: Axes, curve: Curve) -> None:
    """Score, threshold, hits and labels over the frames of a video; frames nobody has annotated are grey."""
    for number, (first, stop) in enumerate(curve.unknown):
        name = "_" if number else "not annotated"  # one entry of the legend for all
        axes.axvspan(first - 0.5, stop - 0.5, color="0.92", linewidth=0, zorder=0, label=name)
    for label in curve.labels:
        axes.axvline(label, color=LABEL_COLOUR, linewidth=1.2, alpha=0.7)
    axes.plot(curve.score, color=SCORE_COLOUR, linewidth=1.5, label="score")
    axes.axhline(curve.threshold, color="0.6", linewidth=0.8, linestyle="--", label="threshold")
    heights = curve.score[np.asarray(curve.hits, np.int64)]
    axes.plot(curve.hits, heights, "v", color=HIT_COLOUR, markersize=7, label="hit found")
    axes.plot([], [], color=LABEL_COLOUR, linewidth=1.2, label="labelled hit")
    axes.set(xlim=(0, max(1, len(curve.score) - 1)), ylim=(0, 1.05), xlabel="frame", ylabel="P(hit)")
    fps = curve.fps
    seconds = axes.secondary_xaxis(
        "top", functions=(lambda t: np.asarray(t, float) / fps, lambda s: np.asarray(s, float) * fps)
    )
    seconds.set_xlabel("s")
    axes.legend(loc="upper right", fontsize=7, ncols=5 if curve.unknown else 4, framealpha=0.9)


def save_curve(curve: Curve, path: Path) -> None:
    """One score curve as a PNG."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    draw_curve(figure.subplots(), curve)
    figure.suptitle(curve.title, fontsize=9)
    _save(figure, path)


def save_prediction(curve: Curve, moments: Sequence[Moment], path: Path) -> None:
    """The score curve, and below it each moment as a row of five pictures."""
    figure = Figure(figsize=(10, 2.8 + 2.1 * len(moments)), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.6, 2.1 * max(1, len(moments))])
    top, bottom = parts[:, 0]
    draw_curve(top.subplots(), curve)
    top.suptitle(curve.title, fontsize=9)
    fastest = max([1e-3, *(float(np.hypot(*m.velocity[FORWARD]).max()) for m in moments)])
    sharpest = max([1e-3, *(float(np.hypot(*m.inflection[FORWARD]).max()) for m in moments)])
    grid = bottom.subplots(len(moments), 5, squeeze=False) if moments else []
    for row, moment in zip(grid, moments, strict=True):
        panels = (
            (f"frame {moment.frame}", moment.picture),
            (f"velocity forward (full: {fastest:.1f} px)", flow_colours(moment.velocity[FORWARD], fastest)),
            ("velocity backward", flow_colours(moment.velocity[BACKWARD], fastest)),
            (
                f"inflection at the frame (full: {sharpest:.1f} px)",
                flow_colours(moment.inflection[FORWARD], sharpest),
            ),
        )
        for axes, (title, picture) in zip(row, panels, strict=False):
            axes.imshow(picture)
            axes.set_title(title, fontsize=7)
        height, width = moment.picture.shape[:2]
        row[4].imshow(moment.picture)
        if moment.localization is not None:
            row[4].imshow(
                moment.localization, extent=(0, width, height, 0), cmap="magma", alpha=0.6, vmin=0, vmax=1
            )
        row[4].set_title("where (localisation map)" if moment.localization is not None else "", fontsize=7)
        for axes in row:
            axes.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with written_beside(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
