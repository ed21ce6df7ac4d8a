"""Checkpoint + flow store -> metrics.json, prediction files, pictures: the evaluation from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.catalog import read_catalog
from pipeline.device import chosen_device
from pipeline.errors import UserError
from pipeline.kinematics import BACKWARD, FORWARD, decode
from pipeline.store import FlowStore
from ta2net.deliver.pictures import Curve, Moment, save_curve, save_prediction
from ta2net.hits.evaluation import (
    ScoredRow,
    Thresholds,
    evaluate_rows,
    rule_curves,
    score_rows,
    write_evaluation,
)
from ta2net.hits.peaks import peaks_above, smoothed
from ta2net.hits.rows import stored_rows
from ta2net.hits.scoring import Scorer
from ta2net.params import Params, PeaksParams
from ta2net.training.checkpoint import BEST, load_model


def evaluate(params: Params, checkpoint: str | Path | None = None) -> dict[str, Any]:
    """Evaluate a checkpoint (default: the training run's best) on ``evaluation.split``.

    The network is built and shown clips as the checkpoint's own params say; data, device and outputs are
    those of ``params``. All thresholds come with the checkpoint: its validation rows chose them.

    Raises:
        UserError: no checkpoint, no store, no rows of that split.
    """
    device = chosen_device(params.train.device)
    model, trained, document = load_model(checkpoint or Path(params.train.dir) / BEST, device)
    thresholds = Thresholds(**document["thresholds"])
    store = FlowStore(params.store.path)
    rows = stored_rows(read_catalog(params.source.catalog), store, params.evaluation.split)
    used = trained.model_copy(update={"infer": params.infer})
    scored = score_rows(rows, store, Scorer(model, used, device))
    untrained = rule_curves(rows, store, used.kinematics.edges)
    metrics = evaluate_rows(scored, untrained, thresholds, used.peaks)
    metrics["data"] = {
        "split": params.evaluation.split,
        "rows": len(rows),
        "frames": sum(row.n_frames for row in rows),
        "labels": sum(len(row.hits) for row in rows),
    }
    write_evaluation(scored, metrics, thresholds.peaks, params)
    folder = Path(params.evaluation.dir) / "curves"
    for item in scored[: params.evaluation.pictures]:
        save_curve(_curve(item, thresholds.peaks, used.peaks), folder / f"{item.row.row_id}.png")
    return metrics


def picture(params: Params, row_id: str, out: Path, checkpoint: str | Path | None = None) -> None:
    """Draw one row: score curve with hits and labels, and its two surest hits with flow and inflection.

    Raises:
        UserError: no checkpoint, no store, no such row in ``evaluation.split``.
    """
    device = chosen_device(params.train.device)
    model, trained, document = load_model(checkpoint or Path(params.train.dir) / BEST, device)
    store = FlowStore(params.store.path)
    rows = stored_rows(read_catalog(params.source.catalog), store, params.evaluation.split)
    row = next((row for row in rows if row.row_id == row_id), None)
    if row is None:
        known = ", ".join(r.row_id for r in rows[:10])
        raise UserError(f"no row {row_id!r} in the {params.evaluation.split} split; rows there: {known} ...")
    (item,) = score_rows([row], store, Scorer(model, trained, device), quiet=True)
    curve = _curve(item, document["thresholds"]["peaks"], trained.peaks)
    surest = sorted(curve.hits, key=lambda t: -curve.score[t])[:2]
    moments = []
    for frame in sorted(surest):
        # the change of velocity at frame t is a+ of the frame before and a- of the frame after
        before, after = max(0, frame - 1), min(row.n_frames - 1, frame + 1)
        window = store.read(row_id, before, after + 1)
        inflection = np.stack((window.inflection[0, FORWARD], window.inflection[-1, BACKWARD]))
        moments.append(
            Moment(
                frame,
                window.frames[frame - before].transpose(1, 2, 0),
                decode(window.velocity[frame - before], store.coding),
                decode(inflection, store.coding),
                item.scores.localization[frame],
            )
        )
    save_prediction(curve, moments, out)


def _curve(item: ScoredRow, threshold: float, peaks: PeaksParams) -> Curve:
    probability = item.scores.probability
    hits = peaks_above(probability, threshold, peaks)
    return Curve(
        title=f"{item.row.row_id} ({item.row.class_name})",
        score=smoothed(probability, peaks.smoothing_frames),
        threshold=threshold,
        hits=hits.tolist(),
        labels=item.row.hits,
        fps=float(item.row.fps),
    )
