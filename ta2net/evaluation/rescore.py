"""Saved scores -> the figures of the run that wrote them, or those of another threshold; no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.catalog import Catalog, Row
from pipeline.errors import UserError
from pipeline.params import KinematicsParams
from ta2net.evaluation.metrics_json import ScoredRow, Thresholds
from ta2net.evaluation.summary import read_metrics
from ta2net.hits.saved import AGAIN, MAPS, SavedRow, read_maps, read_scores
from ta2net.hits.scoring import Edges
from ta2net.methods.rules import RULES, RULES_REVISION
from ta2net.params import InferParams, Params, PeaksParams

METRICS = "metrics.json"
SHOWN = 10


@dataclass(frozen=True)
class Decode:
    """How scores become hits and figures, as the network's own params said.

    Attributes:
        infer: how the scores were made; None where the run did not record it.
    """

    thresholds: dict[str, float]
    peaks: PeaksParams
    edges: Edges
    infer: InferParams | None = None
    method: str | None = None


def decode_section(
    peaks: PeaksParams, edges: Edges, infer: InferParams | None = None, method: str | None = None
) -> dict[str, Any]:
    """The part of metrics.json that ``read_decode`` needs beside the thresholds."""
    section: dict[str, Any] = {
        "peaks": peaks.model_dump(mode="json"),
        "edges": edges,
        "rules": RULES_REVISION,
    }
    if method is not None:
        section["method"] = method
    return section if infer is None else {**section, "infer": infer.model_dump(mode="json")}


def metrics_beside(scores: Path, configured: Path) -> Path | None:
    """The metrics.json of saved scores: in their folder, else ``evaluation.metrics``; None if neither is."""
    return next((file for file in (scores.parent / METRICS, configured) if file.is_file()), None)


def read_decode(file: Path) -> Decode:
    """Thresholds and decoding of the run that wrote a metrics.json; none for rules that have changed since.

    Raises:
        UserError: it is not a metrics file, or one of hits without scores.
    """
    document = read_metrics(file)
    try:
        thresholds = {name: float(value) for name, value in document["thresholds"].items()}
        peaks = PeaksParams.model_validate(document["decode"]["peaks"])
        edges = KinematicsParams.model_validate({"edges": document["decode"]["edges"]}).edges
        infer = document["decode"].get("infer")  # earlier versions recorded none
        infer = None if infer is None else InferParams.model_validate(infer)
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise UserError(f"{file}: has no thresholds for saved scores ({error!r}); {AGAIN}") from error
    unknown = thresholds.keys() - Thresholds.__annotations__.keys()
    if unknown or "peaks" not in thresholds:
        raise UserError(f"{file}: its thresholds are {', '.join(sorted(thresholds))}; {AGAIN}")
    if document["decode"].get("rules") != RULES_REVISION:
        thresholds = {name: value for name, value in thresholds.items() if name not in RULES}
    method = document["decode"].get("method")
    return Decode(thresholds, peaks, edges, infer, None if method is None else str(method))


def chosen_decode(params: Params, scores: Path, threshold: float | None) -> tuple[Decode, str]:
    """How to read saved scores, and a line that says where that was found.

    The metrics.json of the run says it; ``threshold`` takes the place of its threshold for hits. Without such
    a file ``threshold`` and ``params`` say it, and figures that need other thresholds are left out.

    Raises:
        UserError: neither a metrics file nor a threshold.
    """
    file = metrics_beside(scores, Path(params.evaluation.metrics))
    if file is not None:
        found = read_decode(file)
        without = "" if found.thresholds.keys() & RULES.keys() else ", which has no thresholds for the rules"
        if threshold is None:
            return found, f"thresholds and decoding of {file}{without}"
        thresholds = {**found.thresholds, "peaks": threshold}
        return replace(found, thresholds=thresholds), f"threshold {threshold}, the rest of {file}{without}"
    if threshold is None:
        raise UserError(
            f"{scores}: no {METRICS} beside it nor at {params.evaluation.metrics}, so no threshold; give "
            "--threshold"
        )
    decode = Decode({"peaks": threshold}, params.peaks, params.kinematics.edges)
    return decode, f"threshold {threshold} and the parameter file's decoding; no {METRICS}, so no rules"


def saved_rows(catalog: Catalog, split: str, scores: Path) -> tuple[list[ScoredRow], list[str]]:
    """The rows of a scores.csv with their labels and, where maps.npz lies beside it, their maps.

    Returns:
        The rows in the order of the file, and notes on what is missing.

    Raises:
        UserError: a file is unusable, or does not fit the catalog.
    """
    saved = read_scores(scores)
    known = {row.row_id: row for row in catalog if row.split == split}
    foreign = [row_id for row_id in saved if row_id not in known]
    if foreign:
        raise UserError(
            f"{scores}: {len(foreign)} rows are not in the catalog's {split} split: "
            f"{', '.join(foreign[:SHOWN])}; give the params (source.catalog, evaluation.split) of the run "
            "that wrote the scores"
        )
    notes = []
    missing = [row_id for row_id in known if row_id not in saved]
    if missing:
        shown = ", ".join(missing[:SHOWN])
        notes.append(f"{scores}: {len(missing)} of {len(known)} {split} rows have no scores: {shown}")
    for row_id, row in saved.items():
        _check_length(scores, known[row_id], row)
    maps, note = _maps(scores.parent / MAPS, saved)
    scored = [
        ScoredRow(known[row_id], np.array(row.time_s), row.scores(maps.get(row_id)))
        for row_id, row in saved.items()
    ]
    return scored, [*notes, *note]


def _check_length(scores: Path, row: Row, saved: SavedRow) -> None:
    if len(saved.time_s) != row.n_frames:
        raise UserError(
            f"{scores}: row {row.row_id!r} has {len(saved.time_s)} frames, in the catalog {row.n_frames}; "
            f"{AGAIN}"
        )


def _maps(file: Path, saved: Mapping[str, SavedRow]) -> tuple[dict[str, NDArray[np.floating]], Sequence[str]]:
    """The rows' maps, as far as they were kept."""
    lengths = {row_id: len(row.time_s) for row_id, row in saved.items()}
    if file.is_file():
        return dict(read_maps(file, lengths)), ()
    return {}, (f"{file}: not there; the place of hits (where.*) is not judged",)
