"""The metrics.json document: a trained network and two untrained rules on labelled rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.atomic import write_json, write_text
from pipeline.catalog import Row
from pipeline.errors import UserError
from pipeline.store import FlowStore
from ta2net.hits.document import HIGH_RECALL_SCORE, Hit, hits_at, write_hits, write_scores
from ta2net.hits.metrics import EVENT_TOLERANCES_FRAMES, Judged, event_metrics, paper_metrics
from ta2net.hits.peaks import Frames, candidate_peaks, frames_above, peaks_above
from ta2net.hits.rows import known_part
from ta2net.hits.scoring import Scorer, Scores
from ta2net.hits.threshold import LabelledScores, best_frame_threshold, best_threshold, operating_points
from ta2net.hits.untrained import RULES, shown_to_model
from ta2net.params import Params, PeaksParams

HEADLINES = (
    *(("event", f"f1_at_{k}") for k in EVENT_TOLERANCES_FRAMES),
    ("event", "recall_at_2"),
    ("event", "precision_at_2"),
    *(("paper", name) for name in ("recall", "precision", "f1", "nme", "pme", "mae", "obo")),
)

Curves = Sequence[NDArray[np.float64]]
"""One score curve (n,) per row."""


@dataclass(frozen=True)
class Thresholds:
    """What validation rows chose, for the network and for each rule.

    Attributes:
        peaks: on smoothed probabilities, for hits.
        frames: on raw probabilities, for the paper's frame-by-frame reading.
        motion_energy, inflection_peak: on smoothed scores of the rules, px.
    """

    peaks: float
    frames: float
    motion_energy: float
    inflection_peak: float


@dataclass(frozen=True)
class ScoredRow:
    """One row, the presentation times of its frames, and what the network says of it."""

    row: Row
    time_s: NDArray[np.float64]
    scores: Scores


def score_rows(
    rows: Sequence[Row], store: FlowStore, scorer: Scorer, *, quiet: bool = False
) -> list[ScoredRow]:
    """Score rows with the network."""
    return [
        ScoredRow(
            row,
            store.times_s(row.row_id),
            scorer(store.reader(row.row_id), row.n_frames, store.coding.scale),
        )
        for row in tqdm(rows, desc="score", unit="row", disable=True if quiet else None)
    ]


def rule_curves(rows: Sequence[Row], store: FlowStore, edges: Literal["trim", "hold"]) -> dict[str, Curves]:
    """The score curves of every untrained rule."""
    curves: dict[str, list[NDArray[np.float64]]] = {name: [] for name in RULES}
    for row in rows:
        window = store.read(row.row_id, 0, row.n_frames)
        for name, rule in RULES.items():
            curves[name].append(shown_to_model(rule(window, store.coding.scale), edges))
    return dict(curves)


def labelled(rows: Sequence[Row], curves: Curves) -> list[LabelledScores]:
    """Curves with labels, the annotated frames only."""
    return [LabelledScores(*known_part(row, curve)) for row, curve in zip(rows, curves, strict=True)]


def rule_thresholds(rows: Sequence[Row], curves: dict[str, Curves], peaks: PeaksParams) -> dict[str, float]:
    """The rules' thresholds, on validation rows."""
    return {name: best_threshold(labelled(rows, curves[name]), peaks).threshold for name in RULES}


def network_thresholds(validation: Sequence[LabelledScores], peaks: PeaksParams) -> dict[str, float]:
    """The network's thresholds, on validation rows."""
    return {
        "peaks": best_threshold(validation, peaks).threshold,
        "frames": best_frame_threshold(validation),
    }


def evaluate_rows(
    scored: Sequence[ScoredRow], untrained: dict[str, Curves], thresholds: Thresholds, peaks: PeaksParams
) -> dict[str, Any]:
    """The metrics document: network (``paper``, ``paper_frames``, ``event``) and ``untrained`` rules."""
    rows = [item.row for item in scored]
    network = labelled(rows, [item.scores.probability for item in scored])
    by_peaks = judged(network, lambda s: peaks_above(s, thresholds.peaks, peaks))
    by_frames = judged(network, lambda s: frames_above(s, thresholds.frames))
    document: dict[str, Any] = {
        "paper": paper_metrics(by_peaks),
        "paper_frames": paper_metrics(by_frames),
        "event": event_metrics(by_peaks),
        "untrained": {},
        "thresholds": asdict(thresholds),
    }
    for name in RULES:
        threshold = getattr(thresholds, name)
        videos = judged(labelled(rows, untrained[name]), partial(_peaks, threshold=threshold, params=peaks))
        document["untrained"][name] = {"paper": paper_metrics(videos), "event": event_metrics(videos)}
    return document


def judged(videos: Sequence[LabelledScores], decode: Callable[[NDArray[np.float64]], Frames]) -> list[Judged]:
    """Predicted and labelled frames of every video."""
    return [Judged(decode(video.scores), np.array(video.labels, np.int64)) for video in videos]


def _peaks(scores: NDArray[np.float64], threshold: float, params: PeaksParams) -> Frames:
    return peaks_above(scores, threshold, params)


def write_evaluation(
    scored: Sequence[ScoredRow], metrics: dict[str, Any], threshold: float, params: Params
) -> None:
    """Write metrics.json, hits above ``threshold``, candidates, scores and the precision-recall curve."""
    folder = Path(params.evaluation.dir)
    write_hits(hits_above(scored, threshold, params.peaks), folder / "hits.csv")
    write_hits(hits_above(scored, HIGH_RECALL_SCORE, params.peaks), folder / "candidates.csv")
    write_scores(((item.row.row_id, item.time_s, item.scores) for item in scored), folder / "scores.csv")
    videos = labelled([item.row for item in scored], [item.scores.probability for item in scored])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recall", "precision", "f1", "threshold"])
    for point in operating_points(videos, params.peaks):
        writer.writerow([f"{x:.6f}" for x in (point.recall, point.precision, point.f1, point.threshold)])
    write_text(folder / "precision_recall.csv", text.getvalue())
    write_json(params.evaluation.metrics, metrics)


def hits_above(scored: Sequence[ScoredRow], threshold: float, peaks: PeaksParams) -> Iterable[Hit]:
    """The hits of every row whose smoothed probability reaches ``threshold``."""
    for item in scored:
        frames, heights = candidate_peaks(item.scores.probability, peaks)
        kept = heights >= threshold
        yield from hits_at(item.row.row_id, frames[kept], heights[kept], item.time_s, item.scores)


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read a metrics.json.

    Raises:
        UserError: the file is missing or was not written by an evaluation.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{file}: no metrics here; run `make repro` (or `ta2net evaluate`) first")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if not {"paper", "event", "untrained", "data"} <= set(document):
            raise UserError(f"{file}: not written by an evaluation of this program")
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: not a metrics file ({error})") from error
    return dict(document)


def summary(metrics: dict[str, Any]) -> str:
    """The headline figures as a small table: the network and the two rules side by side."""
    columns = {
        "TA2Net": metrics,
        "motion energy": metrics["untrained"]["motion_energy"],
        "inflection peak": metrics["untrained"]["inflection_peak"],
    }
    lines = [f"{'':<20}" + "".join(f"{name:>17}" for name in columns)]
    for section, name in HEADLINES:
        values = [document[section][name] for document in columns.values()]
        shown = "".join(f"{'-' if value is None else format(value, '.3f'):>17}" for value in values)
        lines.append(f"{section + '.' + name:<20}" + shown)
    data = metrics["data"]
    lines.append(f"{data['rows']} {data['split']} rows, {data['labels']} labelled of {data['frames']} frames")
    return "\n".join(lines)
