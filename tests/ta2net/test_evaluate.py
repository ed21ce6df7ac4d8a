"""The evaluation from end to end on the toy store: files, figures and pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib.figure import Figure

from pipeline.catalog import Catalog, read_catalog, write_catalog
from pipeline.errors import UserError
from pipeline.kinematics import inflection
from pipeline.store import FlowStore, Window
from ta2net.cli import main
from ta2net.evaluation.evaluate import evaluate, evaluate_scores, picture
from ta2net.evaluation.metrics_json import ScoredRow, evaluate_rows, labelled
from ta2net.evaluation.pictures import draw_curve, flow_colours, score_curve
from ta2net.evaluation.summary import read_metrics, summary
from ta2net.evaluation.threshold import LabelledScores, best_frame_threshold, best_threshold
from ta2net.evaluation.where import contacts
from ta2net.hits.place import peak_place
from ta2net.hits.scoring import Scores, make_scorer
from ta2net.methods.rules import RULES, mean_inflection, mean_magnitudes
from ta2net.networks.built_in import network_path
from ta2net.networks.checkpoint import BEST, load_trained
from ta2net.networks.checkpoint import read as read_checkpoint
from ta2net.networks.checkpoint import write as write_checkpoint
from ta2net.params import InferParams, PeaksParams

pytestmark = pytest.mark.slow


def read_csv(path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_files_and_pictures(trained_params, tmp_path):
    metrics = evaluate(trained_params)
    folder = tmp_path / "evaluation"
    scores = read_csv(folder / "scores.csv")
    hits = read_csv(folder / "hits.csv")
    candidates = read_csv(folder / "candidates.csv")
    assert len(scores) == metrics["data"]["frames"] == 3 * 40
    assert metrics["event"]["predicted"] == len(hits) <= len(candidates)
    assert all(float(hit["probability"]) >= metrics["thresholds"]["peaks"] - 1e-6 for hit in hits)
    assert {(h["row_id"], h["frame"]) for h in hits} <= {(c["row_id"], c["frame"]) for c in candidates}
    assert all(float(hit["time_s"]) == int(hit["frame"]) / 25 for hit in hits)
    curve = read_csv(folder / "precision_recall.csv")
    assert max(float(point["f1"]) for point in curve) >= metrics["event"]["f1_at_2"] - 1e-6
    *videos, pooled = read_csv(folder / "per_video.csv")
    assert [video["row_id"] for video in videos] == ["eval_0", "eval_1", "eval_2"]
    assert pooled["row_id"] == "all"
    for name, section in {"network": metrics, **metrics["untrained"]}.items():
        event = section["event"]
        assert event["f1_50ms"] <= event["f1_80ms"] == event["f1_at_2"]  # 2 frames of 40 ms
        assert set(event["ci95"]) >= {"f1_50ms", "f1_80ms"}
        assert float(pooled[f"{name}_f1_at_2"]) == pytest.approx(event["f1_at_2"], abs=1e-3)
        found, false = (sum(int(v[f"{name}_{what}"]) for v in videos) for what in ("found", "false"))
        assert (found + false, found) == (event["predicted"], round(event["recall_at_2"] * event["labelled"]))
    assert [p.name for p in (folder / "curves").iterdir()] == ["eval_0.png"]
    assert summary(read_metrics(trained_params.evaluation.metrics)).splitlines()[0].split()[0] == "ta2net"
    assert evaluate_scores(trained_params, folder / "scores.csv") == metrics
    with np.load(folder / "maps.npz", allow_pickle=False) as maps:
        assert {maps[row_id].shape[0] for row_id in ("eval_0", "eval_1", "eval_2")} == {40}

    picture(trained_params, "eval_1", tmp_path / "p.png")
    image = cv2.imread(str(tmp_path / "p.png"))
    assert image.shape[1] == 1100
    assert image.std() > 20
    with pytest.raises(
        UserError, match="no row 'nope' in the eval split; rows there: eval_0, eval_1, eval_2"
    ):
        picture(trained_params, "nope", tmp_path / "q.png")


def test_a_built_in_network_is_named(toy_params):
    """With its own thresholds, on a store it has never seen; names that are none are told."""
    metrics = evaluate(toy_params, "real")
    known = read_checkpoint(network_path("real")).document["thresholds"]
    for name in ("peaks", "frames"):
        assert metrics["thresholds"][name] == known[name]
    assert metrics["data"]["rows"] == 3
    with pytest.raises(UserError, match=r"surreal: no checkpoint here, .* built in \(impacts, real\)"):
        evaluate(toy_params, "surreal")


def test_thresholds_for_older_rules_are_chosen_anew(trained_params, tmp_path, capsys):
    """On the validation rows of the store; where there are none the rules are left out. Both is said."""
    trained = Path(trained_params.train.dir) / "best.safetensors"
    found = read_checkpoint(trained)
    older = tmp_path / "older.safetensors"
    px = {**found.document["thresholds"], "motion_energy": 0.0719, "inflection_peak": 0.206}
    document = {name: entry for name, entry in found.document.items() if name != "rules"}
    write_checkpoint(older, found.tensors, {**document, "thresholds": px})
    capsys.readouterr()
    metrics = evaluate(trained_params, trained)
    assert "older" not in capsys.readouterr().err
    assert evaluate(trained_params, older) == metrics
    assert "chosen again on 3 validation rows" in capsys.readouterr().err

    rows = read_catalog(trained_params.source.catalog).split("eval").rows
    write_catalog(Catalog(rows), tmp_path / "eval_alone.jsonl")
    source = trained_params.source.model_copy(update={"catalog": str(tmp_path / "eval_alone.jsonl")})
    alone = evaluate(trained_params.model_copy(update={"source": source}), older)
    assert "the rules are left out" in capsys.readouterr().err
    assert set(alone["thresholds"]) == {"peaks", "frames"}
    assert set(alone["untrained"]) == {"evenly_spaced", "every_5th_frame"}
    assert alone["event"] == metrics["event"]
    header = (tmp_path / "evaluation" / "per_video.csv").read_text().splitlines()[0]
    assert "network_found" in header
    assert "motion_energy" not in header


def test_scores_do_not_depend_on_how_windows_are_batched(toy_run):
    trained = load_trained(Path(toy_run.train.dir) / BEST, torch.device("cpu"))
    store = FlowStore(toy_run.store.path)
    row = read_catalog(toy_run.source.catalog).split("eval").rows[0]
    one, many = (
        make_scorer(
            trained.network,
            trained.params.model_copy(update={"infer": InferParams(stride=2, batch=b)}),
            torch.device("cpu"),
        )(store.reader(row.row_id), row.n_frames, store.coding.scale)
        for b in (1, 8)
    )
    np.testing.assert_array_equal(one.probability, many.probability)


def curve_of(rule, window):
    return RULES[rule].curve(RULES[rule].measure(window, 64.0))


def test_the_rules_see_the_turn(toy_params):
    """A square of 8x8 in 32x32 px at 2 px a frame: mean speed 0.125, always, its own mean: 1 / (1 + 1).

    At a turn the change is 4 px, else none where the square stays inside itself.
    """
    row = read_catalog(toy_params.source.catalog).split("eval").rows[0]
    window = FlowStore(toy_params.store.path).read(row.row_id, 0, row.n_frames)
    np.testing.assert_allclose(mean_magnitudes(window.velocity, 64.0), 2 * 64 / 1024, rtol=1e-6)
    np.testing.assert_allclose(curve_of("motion_energy", window), 0.5, rtol=1e-6)
    turns = curve_of("inflection_peak", window)
    quiet = [t for t in range(3, 36) if min(abs(t - hit) for hit in row.labels) > 1]
    assert min(turns[list(row.labels)]) > max(turns[quiet])


def window_of(velocity):
    """A window of one-pixel pictures."""
    n = len(velocity)
    return Window(np.zeros((n, 3, 1, 1), np.uint8), velocity, inflection(velocity), np.arange(float(n)))


def test_inflection_is_moved_onto_the_frame_of_the_hit():
    change = np.zeros((9, 2, 2, 1, 1), np.int16)
    change[3, 0, 0] = 64  # a+ of frame 3 and a- of frame 5 are what happens at frame 4
    change[5, 1, 1] = 64
    assert mean_inflection(change, 64.0).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    window = Window(np.zeros((9, 3, 1, 1), np.uint8), change, change, np.arange(9.0))
    assert curve_of("inflection_peak", window).tolist() == pytest.approx([0, 0, 0, 0, 9 / 10, 0, 0, 0, 0])


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_the_same_of_a_slower_or_smaller_film(rule):
    velocity = np.random.default_rng(1).integers(-40, 40, (30, 2, 2, 1, 1)).astype(np.int16)
    fast = curve_of(rule, window_of(velocity * 16))
    np.testing.assert_allclose(curve_of(rule, window_of(velocity)), fast, rtol=1e-6)
    multiples = fast / (1 - fast)
    assert multiples.mean() == pytest.approx(1.0)
    assert len(LabelledScores(fast, []).peaks(PeaksParams()).above(0.5).frames) >= 3


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_nothing_where_nothing_moves(rule):
    curve = curve_of(rule, window_of(np.zeros((30, 2, 2, 1, 1), np.int16)))
    assert curve.tolist() == [0.0] * 30


def test_frames_nobody_annotated_are_not_judged(toy_params):
    row = read_catalog(toy_params.source.catalog).rows[0]
    end = row.labels[1]
    short = replace(row, annotated=((0, end),))
    curve = np.zeros(40)
    curve[[end - 4, end + 3]] = 0.9
    video = labelled(short, curve)
    assert video.labels == row.labels[:1]
    assert video.peaks(PeaksParams(smoothing_frames=0)).above(0.5).frames.tolist() == [end - 4]
    assert np.isfinite(video.known_scores).tolist() == [t < end for t in range(40)]


def test_frames_between_spans_are_not_judged(toy_params):
    """Spans 0-9 and 20-29: peaks at 5, 10, 15, 19 and 24, labels at 6, 15 and 20.

    A peak right beside a span is not judged, nor does it find the label in it.
    """
    row = replace(
        read_catalog(toy_params.source.catalog).rows[0], labels=(6, 15, 20), annotated=((0, 10), (20, 30))
    )
    curve = np.zeros(40)
    curve[[5, 10, 15, 19, 24]] = 0.4, 0.9, 0.9, 0.9, 0.6
    params = PeaksParams(smoothing_frames=0)
    video = labelled(row, curve)
    assert video.labels == (6, 20)
    assert video.peaks(params).above(0.1).frames.tolist() == [5, 24]
    assert np.flatnonzero(np.isfinite(video.known_scores)).tolist() == [*range(10), *range(20, 30)]
    assert best_threshold([video], params).threshold == pytest.approx(0.4)
    # of the known frames 5 and 24 alone are above 0, and 24 is no hit: below 0.4 both count
    assert best_frame_threshold([video]) <= 0.4
    assert contacts(replace(row, label_positions_px=((1, 2), (3, 4), (5, 6)))) == {6: (1, 2), 20: (5, 6)}
    metrics = evaluate_rows(
        [ScoredRow(row, np.arange(40) / 25, Scores(curve, np.zeros((40, 2, 2), np.float32)))],
        None,
        {"peaks": 0.1, "frames": 0.1},
        params,
        0,
    )
    event = metrics["event"]
    assert (event["predicted"], event["labelled"]) == (2, 2)
    assert (event["precision_at_2"], event["recall_at_2"]) == (0.5, 0.5)
    assert event["map_at_2"] == pytest.approx(0.25), "the false one at 24 is the surer: precision 1/2 of half"
    assert metrics["counting"] == {"mae": 0.0, "obo": 1.0, "videos": 1}
    assert metrics["paper_frames"]["precision"] == 0.5


def test_a_picture_greys_the_unknown_frames(toy_params):
    row = replace(read_catalog(toy_params.source.catalog).rows[0], annotated=((0, 10), (20, 30)))
    item = ScoredRow(row, np.arange(40) / 25, Scores(np.zeros(40), np.zeros((40, 2, 2), np.float32)))
    curve = score_curve(item, 0.5, PeaksParams())
    assert curve.unknown == ((10, 20), (30, 40))
    assert set(curve.labels) == {label for label in row.labels if label < 10 or 20 <= label < 30}
    axes = Figure().subplots()
    draw_curve(axes, curve)
    grey = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert [(round(box.x0, 6), round(box.x1, 6)) for box in grey] == [(9.5, 19.5), (29.5, 39.5)]
    assert [text.get_text() for text in axes.get_legend().get_texts()].count("not annotated") == 1


def test_places_and_colours_by_hand():
    where = np.zeros((4, 8), np.float32)
    where[1, 6] = 1
    assert peak_place(where) == (6.5 / 8, 1.5 / 4)
    right, still = np.array([[[2.0]], [[0.0]]], np.float32), np.zeros((2, 1, 1), np.float32)
    np.testing.assert_allclose(flow_colours(right, 2.0)[0, 0], [1, 0, 0])
    np.testing.assert_allclose(flow_colours(still, 2.0)[0, 0], [0, 0, 0])


def test_the_table_of_an_older_metrics_file_has_a_dash_for_what_it_lacks(tmp_path):
    event = {"f1_at_2": 0.5, "f1_50ms": 0.4}
    document = {"paper": {"f1": 0.5}, "event": event, "data": {"rows": 1, "frames": 9, "labels": 2}}
    older, newer = tmp_path / "older.json", tmp_path / "newer.json"
    older.write_text(json.dumps(document))
    newer.write_text(json.dumps({**document, "event": {**event, "f1_80ms": 0.6}}))
    for file, shown in ((older, "-"), (newer, "0.600")):
        lines = [line.split() for line in summary(read_metrics(file)).splitlines()]
        assert ["event.f1_50ms", "0.400"] in lines
        assert ["event.f1_80ms", shown] in lines


@pytest.mark.parametrize("text", ["", "[]", '{"paper": {}}', "{"])
def test_a_foreign_metrics_file_is_told(tmp_path, text):
    file = tmp_path / "metrics.json"
    file.write_text(text)
    result = CliRunner().invoke(main, ["summary", str(file)])
    assert result.exit_code == 2
    assert str(file) in result.output


def test_metrics_are_plain_json(trained_params):
    metrics = evaluate(trained_params)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert PeaksParams() == trained_params.peaks
