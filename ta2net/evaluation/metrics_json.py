"""The metrics.json document: a trained network, two untrained rules and two blind ones on labelled rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.catalog import Row
from pipeline.files.atomic import write_text
from pipeline.store import FlowStore, Window
from ta2net.evaluation.metrics import Judged, paper_quotients
from ta2net.evaluation.rhythm import rhythms
from ta2net.evaluation.sections import hit_sections, per_class, per_video_section
from ta2net.evaluation.threshold import LabelledScores, best_threshold, operating_points
from ta2net.evaluation.where import InflectionPlaces, inflection_places, pointed_hits, where_section
from ta2net.hits.decoding import Peaks, row_peaks
from ta2net.hits.hit import HIGH_RECALL_SCORE, Hit, hits_at, write_hits
from ta2net.hits.peaks import Frames, frames_above
from ta2net.hits.saved import MAPS, SCORES, as_saved, write_maps, write_scores
from ta2net.hits.scoring import Edges, Scorer, Scores, shown_part
from ta2net.methods.rules import RULES
from ta2net.params import PeaksParams

Curves = Sequence[NDArray[np.float64]]
"""One score curve (n,) per row."""


@dataclass(frozen=True)
class Thresholds:
    """What validation rows chose, for the network and for each rule.

    Attributes:
        peaks: on smoothed probabilities, for hits.
        frames: on raw probabilities, for the paper's frame-by-frame reading.
        motion_energy, inflection_peak: on smoothed scores of the rules, in [0, 1].
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

    def peaks(self, params: PeaksParams) -> Peaks:
        """Candidate hits of the whole row."""
        return row_peaks(self.scores.probability, params, self.scores.offset)

    def labelled(self) -> LabelledScores:
        """What the network says of the row, with its labels."""
        return labelled(self.row, self.scores.probability, self.scores.offset)


@dataclass(frozen=True)
class StoreView:
    """What the flow store says of rows without a network.

    Attributes:
        curves: by rule, one score curve per row.
        places: the inflection's places at labelled hits, one entry per row.
    """

    curves: dict[str, Curves]
    places: Sequence[InflectionPlaces]


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


def _row_curves(window: Window, steps_per_px: float, edges: Edges) -> dict[str, NDArray[np.float64]]:
    """Every rule's curve of one whole row."""
    return {
        name: shown_part(rule.curve(rule.measure(window, steps_per_px)), edges)
        for name, rule in RULES.items()
    }


def rule_curves(rows: Sequence[Row], store: FlowStore, edges: Edges) -> dict[str, Curves]:
    """The score curves of every untrained rule."""
    found = [_row_curves(store.read(row.row_id, 0, row.n_frames), store.coding.scale, edges) for row in rows]
    return {name: [curves[name] for curves in found] for name in RULES}


def view_of_store(rows: Sequence[Row], store: FlowStore, edges: Edges) -> StoreView:
    """The rules' curves and the inflection's places; every row is read once."""
    found, places = [], []
    for row in rows:
        window = store.read(row.row_id, 0, row.n_frames)
        found.append(_row_curves(window, store.coding.scale, edges))
        places.append(inflection_places(row, window, store.attributes(row.row_id).video_size))
    return StoreView({name: [curves[name] for curves in found] for name in RULES}, places)


def labelled(
    row: Row, curve: NDArray[np.float64], offset: NDArray[np.float64] | None = None
) -> LabelledScores:
    """A row's score curve (n,), and offsets (n,) if there are any, with its labels on annotated frames."""
    return LabelledScores(curve, row.known_labels, row.annotated, offset)


def labelled_rows(rows: Sequence[Row], curves: Curves) -> list[LabelledScores]:
    """A rule's curves with the labels of their rows."""
    return [labelled(row, curve) for row, curve in zip(rows, curves, strict=True)]


def rule_thresholds(rows: Sequence[Row], curves: dict[str, Curves], peaks: PeaksParams) -> dict[str, float]:
    """The rules' thresholds, on validation rows."""
    return {name: best_threshold(labelled_rows(rows, curves[name]), peaks).threshold for name in RULES}


def evaluate_rows(
    scored: Sequence[ScoredRow],
    view: StoreView | None,
    thresholds: Mapping[str, float],
    peaks: PeaksParams,
    bootstrap: int,
) -> dict[str, Any]:
    """The metrics document of scored rows.

    Always ``paper``, ``reference_code``, ``event``, ``counting``, ``per_class``, ``thresholds``;
    ``paper_frames`` with a threshold for frames, ``where`` with a view of the store; ``untrained`` always has
    the hits that need no look (``rhythms``), and the rules with both that view and their thresholds.

    Args:
        thresholds: by the names of ``Thresholds``; at least ``peaks``.
        bootstrap: resamplings behind every interval.
    """
    rows = [item.row for item in scored]
    network = [item.labelled() for item in scored]

    def beside_labels(found: Iterable[Frames]) -> list[Judged]:
        return [
            Judged(frames, np.array(item.row.known_labels, np.int64), item.time_s, item.row.class_name)
            for frames, item in zip(found, scored, strict=True)
        ]

    def judged(decode: Callable[[LabelledScores], Frames], videos: Sequence[LabelledScores]) -> list[Judged]:
        return beside_labels(decode(video) for video in videos)

    def by_peaks(videos: Sequence[LabelledScores], threshold: float) -> tuple[list[Judged], dict[str, Any]]:
        found = judged(lambda video: video.peaks(peaks).above(threshold).frames, videos)
        return found, hit_sections(found, [video.peaks(peaks) for video in videos], bootstrap)

    hits, document = by_peaks(network, thresholds["peaks"])
    if "frames" in thresholds:
        by_frames = judged(lambda video: frames_above(video.known_scores, thresholds["frames"]), network)
        document["paper_frames"] = per_video_section(paper_quotients(by_frames), bootstrap)
    document["per_class"] = per_class(hits)
    document["untrained"] = {}
    if view is not None:
        pointed = [
            pointed_hits(item.row, as_saved(item.scores.localization), places)
            for item, places in zip(scored, view.places, strict=True)
        ]
        document["where"] = where_section(pointed, bootstrap)
        for name in (rule for rule in RULES if rule in thresholds):
            _, sections = by_peaks(labelled_rows(rows, view.curves[name]), thresholds[name])
            document["untrained"][name] = sections
    for name, found in rhythms(rows).items():
        document["untrained"][name] = hit_sections(beside_labels(found), None, bootstrap)
    document["thresholds"] = dict(thresholds)
    return document


def hit_frames(
    scored: Sequence[ScoredRow], view: StoreView, thresholds: Mapping[str, float], peaks: PeaksParams
) -> dict[str, list[Frames]]:
    """The frames of the hits in every row, by the name of who finds them.

    The network, the rules that have a threshold, the rhythms.
    """
    rows = [item.row for item in scored]
    videos = {"network": ([item.labelled() for item in scored], thresholds["peaks"])}
    known = [rule for rule in RULES if rule in thresholds]
    videos |= {rule: (labelled_rows(rows, view.curves[rule]), thresholds[rule]) for rule in known}
    found = {
        name: [video.peaks(peaks).above(threshold).frames for video in judged]
        for name, (judged, threshold) in videos.items()
    }
    return found | rhythms(rows)


def data_section(rows: Sequence[Row], split: str) -> dict[str, Any]:
    """What was evaluated: ``split``, and how many rows, frames and labels."""
    return {
        "split": split,
        "rows": len(rows),
        "frames": sum(row.n_frames for row in rows),
        "labels": sum(len(row.known_labels) for row in rows),
    }


def write_predictions(
    scored: Sequence[ScoredRow], threshold: float, peaks: PeaksParams, folder: Path
) -> None:
    """Write hits above ``threshold``, candidates, scores, maps and the precision-recall curve."""
    write_hits(hits_above(scored, threshold, peaks), folder / "hits.csv")
    write_hits(hits_above(scored, HIGH_RECALL_SCORE, peaks), folder / "candidates.csv")
    write_scores(((item.row.row_id, item.time_s, item.scores) for item in scored), folder / SCORES)
    write_maps(((item.row.row_id, item.scores.localization) for item in scored), folder / MAPS)
    videos = [item.labelled() for item in scored]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["recall", "precision", "f1", "threshold"])
    for point in operating_points(videos, peaks):
        writer.writerow([f"{x:.6f}" for x in (point.recall, point.precision, point.f1, point.threshold)])
    write_text(folder / "precision_recall.csv", text.getvalue())


def hits_above(scored: Sequence[ScoredRow], threshold: float, peaks: PeaksParams) -> Iterable[Hit]:
    """The hits of every row whose smoothed probability reaches ``threshold``."""
    for item in scored:
        yield from hits_at(item.row.row_id, item.peaks(peaks).above(threshold), item.time_s, item.scores)
