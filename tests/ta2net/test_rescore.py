"""Saved scores give the figures again: no model, other thresholds, and never from foreign files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.catalog import Catalog, read_catalog, write_catalog
from pipeline.errors import UserError
from pipeline.files.atomic import write_json
from pipeline.store import FlowStore
from ta2net.cli import main
from ta2net.evaluation.evaluate import evaluate_scores
from ta2net.evaluation.metrics import Judged, event_metrics
from ta2net.evaluation.metrics_json import (
    ScoredRow,
    data_section,
    evaluate_rows,
    view_of_store,
    write_predictions,
)
from ta2net.evaluation.rescore import decode_section
from ta2net.hits.saved import read_scores, write_scores
from ta2net.hits.scoring import Scores
from ta2net.params import PeaksParams

THRESHOLDS = {"peaks": 0.4, "frames": 0.5, "motion_energy": 0.01, "inflection_peak": 0.02}
PEAKS = PeaksParams(smoothing_frames=0.7, min_distance=3)


@pytest.fixture
def run(toy_params, tmp_path):
    """What an evaluation of made-up scores leaves behind: its params, its metrics, its scores.csv."""
    rng = np.random.default_rng(5)
    catalog = read_catalog(toy_params.source.catalog)
    rows = [
        replace(row, label_positions_px=tuple((16.0, 16.0) for _ in row.labels), annotated=((0, 38 - n),))
        for n, row in enumerate(catalog.split("eval"))
    ]
    write_catalog(Catalog(tuple(rows)), tmp_path / "catalog.jsonl")
    source = toy_params.source.model_copy(update={"catalog": str(tmp_path / "catalog.jsonl")})
    params = toy_params.model_copy(update={"source": source})
    store = FlowStore(params.store.path)
    scored = []
    for row in rows:
        probability = rng.random(row.n_frames) ** 3
        probability[[0, 1, -2, -1]] = np.nan
        maps = rng.random((row.n_frames, 4, 4), np.float32)
        maps[[0, 1, -2, -1]] = np.nan
        scored.append(ScoredRow(row, store.times_s(row.row_id), Scores(probability, maps)))
    metrics = evaluate_rows(scored, view_of_store(rows, store, "trim"), THRESHOLDS, PEAKS, 40)
    metrics["decode"] = decode_section(PEAKS, "trim")
    metrics["data"] = data_section(rows, "eval")
    evaluation = params.evaluation.model_copy(update={"bootstrap": 40})
    params = params.model_copy(update={"evaluation": evaluation})
    write_predictions(scored, 0.4, PEAKS, Path(params.evaluation.dir))
    write_json(params.evaluation.metrics, metrics)
    return params, metrics, Path(params.evaluation.dir) / "scores.csv"


def yaml_of(params, tmp_path):
    file = tmp_path / "params.yaml"
    with file.open("w") as handle:
        YAML(typ="safe").dump(params.model_dump(mode="json"), handle)
    return str(file)


def test_the_same_figures_again(run, capsys):
    params, metrics, scores = run
    assert metrics["where"]["hits"] > 0
    assert metrics["where"]["pointing_game"] > 0
    assert 0 < metrics["event"]["f1_at_2"] < 1
    assert set(metrics["untrained"]) == {
        "motion_energy",
        "inflection_peak",
        "evenly_spaced",
        "every_5th_frame",
    }
    assert evaluate_scores(params, scores) == metrics
    assert capsys.readouterr().err == f"thresholds and decoding of {params.evaluation.metrics}\n"


def test_thresholds_for_older_rules_are_not_used(run, capsys):
    """A metrics.json whose rules had px for scores: the network's figures stand, the rules are left out."""
    params, metrics, scores = run
    older = {name: entry for name, entry in metrics["decode"].items() if name != "rules"}
    write_json(params.evaluation.metrics, {**metrics, "decode": older})
    again = evaluate_scores(params, scores)
    assert again["event"] == metrics["event"]
    assert set(again["thresholds"]) == {"peaks", "frames"}
    assert set(again["untrained"]) == {"evenly_spaced", "every_5th_frame"}
    assert "no thresholds for the rules" in capsys.readouterr().err


def test_metrics_beside_the_scores_come_first(run):
    params, metrics, scores = run
    document = {**metrics, "thresholds": {**THRESHOLDS, "peaks": 0.8}}
    write_json(scores.parent / "metrics.json", document)
    again = evaluate_scores(params, scores)
    assert again["thresholds"]["peaks"] == 0.8
    assert again["event"]["predicted"] < metrics["event"]["predicted"]


def test_another_threshold_is_that_of_the_hits(run):
    params, metrics, scores = run
    again = evaluate_scores(params, scores, 0.7)
    assert again["thresholds"] == {**THRESHOLDS, "peaks": 0.7}
    assert again["untrained"] == metrics["untrained"]
    assert again["event"]["map_at_2"] == metrics["event"]["map_at_2"]
    rows = {row.row_id: row for row in read_catalog(params.source.catalog)}
    videos = []
    for row_id, row in rows.items():
        with (scores.parent / "candidates.csv").open() as handle:
            cells = [line.split(",") for line in handle]
        found = [int(c[1]) for c in cells if c[0] == row_id and float(c[3]) >= 0.7]
        [(_, end)] = row.annotated
        kept = [np.array([t for t in side if t < end], np.int64) for side in (found, row.labels)]
        videos.append(Judged(*kept))
    assert again["event"]["f1_at_1"] == event_metrics(videos)["f1_at_1"]


def test_without_store_maps_and_metrics(run, tmp_path, capsys):
    params, metrics, scores = run
    alone = tmp_path / "alone" / "scores.csv"
    alone.parent.mkdir()
    scores.rename(alone)
    (scores.parent / "maps.npz").unlink()
    Path(params.evaluation.metrics).unlink()
    with pytest.raises(UserError, match="give --threshold"):
        evaluate_scores(params, alone)
    params = params.model_copy(update={"peaks": PEAKS})
    again = evaluate_scores(params, alone, 0.4)
    assert again["event"] == metrics["event"]
    assert again["where"]["hits"] == 0
    assert (
        again["where"]["hits_without_map"] == metrics["where"]["hits"] + metrics["where"]["hits_without_map"]
    )
    assert "paper_frames" not in again
    blind = {"evenly_spaced", "every_5th_frame"}  # neither looks, so neither needs a threshold or a store
    assert again["untrained"] == {name: metrics["untrained"][name] for name in blind}
    gone = params.model_copy(update={"store": params.store.model_copy(update={"path": str(tmp_path / "no")})})
    assert "where" not in evaluate_scores(gone, alone, 0.4)
    said = capsys.readouterr().err
    assert "maps.npz: not there" in said
    assert "no flow store; the untrained rules and where.* are left out" in said


def test_rows_without_scores_are_said(run, capsys):
    params, _, scores = run
    lines = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join(line for line in lines if not line.startswith("eval_1,")))
    assert evaluate_scores(params, scores)["data"]["rows"] == 2
    assert "1 of 3 eval rows have no scores: eval_1" in capsys.readouterr().err


def test_every_digit_is_kept(tmp_path):
    rng = np.random.default_rng(2)
    time_s, probability = np.cumsum(rng.random(200)), rng.random(200)
    offset = rng.normal(size=200)
    probability[3], offset[3] = np.nan, np.nan
    scores = Scores(probability, np.zeros((200, 1, 1), np.float32), offset)
    plain = Scores(probability, scores.localization)
    file = tmp_path / "scores.csv"
    write_scores([("a", time_s, scores), ("b", time_s, plain)], file)
    found = read_scores(file)
    assert found["a"].time_s == time_s.tolist()
    back = found["a"].scores(scores.localization)
    np.testing.assert_array_equal(back.probability, probability)
    np.testing.assert_array_equal(back.offset, offset)
    assert found["b"].scores(scores.localization).offset is None
    assert math.isnan(found["b"].probability[3])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("eval_0,5,", "eval_0,6,", "line 7: frame 6 of row 'eval_0' where frame 5 must stand"),
        ("eval_0,5,", "eval_9,0,", "where frame 5 must stand"),
        ("eval_0,5,0.2,", "eval_0,5,soon,", "line 7: not a score"),
        ("eval_0,5,0.2,", "eval_0,5,,", "line 7: not a score"),
        ("eval_0,5,0.2,", "eval_0,5,0.2,7", "line 7: not a score"),
        ("eval_0,5,0.2,", "eval_0,5,0.2,inf,,", "line 7: not a score"),
        ("row_id,frame", "row,frame", "line 1: not a scores file"),
        ("eval_2,39,", "eval_3,0,", "1 rows are not in the catalog's eval split: eval_3"),
        ("eval_2,39,1.56,,\n", "", "row 'eval_2' has 39 frames, in the catalog 40"),
    ],
)
def test_damaged_scores_are_refused(run, old, new, words):
    params, _, scores = run
    text = scores.read_text()
    assert text.count(old) == 1
    scores.write_text(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        evaluate_scores(params, scores)
    assert words in caught.value.message


def test_metrics_without_thresholds_are_refused(run):
    params, metrics, scores = run
    for damage in ({"thresholds": {}}, {"thresholds": {"peaks": 0.5, "x": 1}}, {"decode": {}}):
        write_json(params.evaluation.metrics, {**metrics, **damage})
        with pytest.raises(UserError, match="thresholds"):
            evaluate_scores(params, scores)


def test_the_command(run, tmp_path):
    params, metrics, scores = run
    out = tmp_path / "again.json"
    result = CliRunner().invoke(
        main,
        ["evaluate", "--params", yaml_of(params, tmp_path), "--scores", str(scores), "--out", str(out)],
    )
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text()) == metrics
    lines = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line.strip()}
    where = metrics["where"]
    assert lines["where.pointing_game"] == [
        f"{where['pointing_game']:.3f}",
        "-",
        f"{where['inflection_peak']:.3f}",
        "-",
        "-",
    ]
    low, high = metrics["event"]["ci95"]["f1_at_2"]
    assert lines["95"][3] == f"{low:.3f}-{high:.3f}"
    assert lines["event.map_at_2"][0] == f"{metrics['event']['map_at_2']:.3f}"
    gone = CliRunner().invoke(
        main, ["evaluate", "--params", yaml_of(params, tmp_path), "--scores", str(tmp_path / "none.csv")]
    )
    assert gone.exit_code == 2
    assert "none.csv: no scores here" in gone.output
