"""Checkpoint + flow store -> metrics.json, prediction files, pictures: the evaluation from end to end.

And the same figures without a model, from saved scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.catalog import read_catalog
from pipeline.device import chosen_device
from pipeline.errors import UserError
from pipeline.files.atomic import write_json
from pipeline.kinematics import decode
from pipeline.store import open_store
from pipeline.store.opening import store_exists
from ta2net.evaluation.metrics_json import (
    Thresholds,
    data_section,
    evaluate_rows,
    hit_frames,
    rule_curves,
    rule_thresholds,
    score_rows,
    view_of_store,
    write_predictions,
)
from ta2net.evaluation.per_video import PER_VIDEO, write_per_video
from ta2net.evaluation.pictures import Moment, save_curve, save_prediction, score_curve
from ta2net.evaluation.rescore import chosen_decode, decode_section, saved_rows
from ta2net.evaluation.rows import stored_rows
from ta2net.hits.inference import with_infer
from ta2net.hits.place import inflection_at
from ta2net.hits.scoring import make_scorer
from ta2net.methods.rules import RULES, RULES_REVISION
from ta2net.networks.built_in import network_path
from ta2net.networks.checkpoint import BEST, load_trained
from ta2net.params import Params


def _chosen(params: Params, checkpoint: str | Path | None) -> Path:
    """A file, a network that comes with the program, or the best of the training run."""
    return Path(params.train.dir) / BEST if checkpoint is None else network_path(checkpoint)


def evaluate(
    params: Params,
    checkpoint: str | Path | None = None,
    *,
    stride: int | None = None,
    flip_average: bool | None = None,
) -> dict[str, Any]:
    """Evaluate a network (path or built-in name; default: the run's best) on ``evaluation.split``.

    The network is built and shown clips as the checkpoint's own params say, ``infer`` included; data, device
    and outputs are those of ``params``. All thresholds come with the checkpoint: its validation rows chose
    them (``thresholds_of`` for one that knows older rules). What is used in place of something else is said
    on stderr.

    Args:
        stride, flip_average: in place of the checkpoint's ``infer``.

    Raises:
        UserError: no checkpoint, no store, no rows of that split; a stride longer than a clip.
    """
    device = chosen_device(params.train.device)
    path = _chosen(params, checkpoint)
    trained = load_trained(path, device)
    differing = Thresholds.__annotations__.keys() ^ trained.thresholds.keys()
    if differing:
        raise UserError(
            f"{path}: its thresholds are {', '.join(sorted(trained.thresholds))}, expected "
            f"{', '.join(Thresholds.__annotations__)}; train it again"
        )
    store = open_store(params.store)
    rows = stored_rows(read_catalog(params.source.catalog), store, params.evaluation.split)
    used, notes = with_infer(
        trained.params, path, stride=stride, flip_average=flip_average, file=params.infer
    )
    for note in notes:
        click.echo(note, err=True)
    thresholds = thresholds_of(path, trained.document, params, used)
    scored = score_rows(rows, store, make_scorer(trained.network, used, device))
    view = view_of_store(rows, store, used.kinematics.edges)
    metrics = evaluate_rows(scored, view, thresholds, used.peaks, params.evaluation.bootstrap)
    metrics["decode"] = decode_section(used.peaks, used.kinematics.edges, used.infer, used.method.name)
    metrics["data"] = data_section(rows, params.evaluation.split)
    folder = Path(params.evaluation.dir)
    write_predictions(scored, thresholds["peaks"], used.peaks, folder)
    write_per_video(rows, hit_frames(scored, view, thresholds, used.peaks), folder / PER_VIDEO)
    write_json(params.evaluation.metrics, metrics)
    for item in scored[: params.evaluation.pictures]:
        save_curve(
            score_curve(item, thresholds["peaks"], used.peaks), folder / "curves" / f"{item.row.row_id}.png"
        )
    return metrics


def thresholds_of(path: Path, document: Mapping[str, Any], params: Params, used: Params) -> dict[str, float]:
    """A checkpoint's thresholds; those for rules whose curves have changed since are chosen anew.

    On the validation rows that the store has; without any they are left out. Either is said on stderr.

    Args:
        document: of the checkpoint ``path``.
        params: for the catalog and the store.
        used: for peaks and edges.
    """
    found: dict[str, float] = document["thresholds"]
    if document.get("rules") == RULES_REVISION:
        return dict(found)
    kept = {name: value for name, value in found.items() if name not in RULES}
    store = open_store(params.store)
    present = set(store.row_ids())
    rows = [row for row in read_catalog(params.source.catalog).split("val") if row.row_id in present]
    if not rows:
        click.echo(
            f"{path}: its thresholds are for older untrained rules, and the store has no validation rows to "
            "choose others on; the rules are left out",
            err=True,
        )
        return kept
    click.echo(
        f"{path}: its thresholds are for older untrained rules; chosen again on {len(rows)} validation rows",
        err=True,
    )
    return kept | rule_thresholds(rows, rule_curves(rows, store, used.kinematics.edges), used.peaks)


def evaluate_scores(params: Params, scores: Path, threshold: float | None = None) -> dict[str, Any]:
    """The metrics document of saved scores: without ``threshold`` that of the run that wrote them.

    Labels come from the catalog, maps from maps.npz beside the scores. Without the flow store the untrained
    rules and the place of hits are left out; what is left out is said on stderr. Writes nothing.

    Raises:
        UserError: the scores are missing, damaged or of other rows; no threshold is to be had.
    """
    scored, notes = saved_rows(read_catalog(params.source.catalog), params.evaluation.split, scores)
    read, note = chosen_decode(params, scores, threshold)
    rows = [item.row for item in scored]
    view = None
    if store_exists(params.store):
        view = view_of_store(rows, open_store(params.store), read.edges)
    else:
        place = params.store.url or params.store.path
        notes.append(f"{place}: no flow store; the untrained rules and where.* are left out")
    metrics = evaluate_rows(scored, view, read.thresholds, read.peaks, params.evaluation.bootstrap)
    metrics["decode"] = decode_section(read.peaks, read.edges, read.infer, read.method)
    metrics["data"] = data_section(rows, params.evaluation.split)
    for line in (note, *notes):
        click.echo(line, err=True)
    return metrics


def picture(params: Params, row_id: str, out: Path, checkpoint: str | Path | None = None) -> None:
    """Draw one row: score curve with hits and labels, and its two surest hits with flow and inflection.

    Raises:
        UserError: no checkpoint, no store, no such row in ``evaluation.split``.
    """
    device = chosen_device(params.train.device)
    trained = load_trained(_chosen(params, checkpoint), device)
    store = open_store(params.store)
    rows = stored_rows(read_catalog(params.source.catalog), store, params.evaluation.split)
    row = next((row for row in rows if row.row_id == row_id), None)
    if row is None:
        known = ", ".join(r.row_id for r in rows[:10])
        raise UserError(f"no row {row_id!r} in the {params.evaluation.split} split; rows there: {known} ...")
    scorer = make_scorer(trained.network, trained.params, device)
    (item,) = score_rows([row], store, scorer, quiet=True)
    maps = item.scores.localization
    curve = score_curve(item, trained.thresholds["peaks"], trained.params.peaks)
    surest = sorted(curve.hits, key=lambda t: -curve.score[t])[:2]
    moments = []
    for frame in sorted(surest):
        before, after = max(0, frame - 1), min(row.n_frames - 1, frame + 1)
        window = store.read(row_id, before, after + 1)
        moments.append(
            Moment(
                frame,
                window.frames[frame - before].transpose(1, 2, 0),
                decode(window.velocity[frame - before], store.coding),
                decode(inflection_at(window, frame - before), store.coding),
                None if maps is None else maps[frame],
            )
        )
    save_prediction(curve, moments, out)
