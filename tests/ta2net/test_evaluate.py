"""The evaluation from end to end on the toy store: files, figures and pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.catalog import read_catalog
from pipeline.errors import UserError
from pipeline.store import FlowStore, Window
from ta2net.cli import main
from ta2net.evaluation.evaluate import evaluate, evaluate_scores, picture
from ta2net.evaluation.metrics_json import labelled
from ta2net.evaluation.pictures import flow_colours
from ta2net.evaluation.summary import read_metrics, summary
from ta2net.hits.place import peak_place
from ta2net.methods.rules import inflection_magnitude, motion_energy
from ta2net.networks.built_in import network_path
from ta2net.networks.checkpoint import read as read_checkpoint
from ta2net.params import PeaksParams
from ta2net.training.loop import train


def read_csv(path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_files_and_pictures(toy_params, tmp_path):
    train(toy_params)
    metrics = evaluate(toy_params)
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
        assert float(pooled[f"{name}_f1_at_2"]) == pytest.approx(event["f1_at_2"], abs=1e-3)
        found, false = (sum(int(v[f"{name}_{what}"]) for v in videos) for what in ("found", "false"))
        assert (found + false, found) == (event["predicted"], round(event["recall_at_2"] * event["labelled"]))
    assert [p.name for p in (folder / "curves").iterdir()] == ["eval_0.png"]
    assert summary(read_metrics(toy_params.evaluation.metrics)).splitlines()[0].split()[0] == "TA2Net"
    assert evaluate_scores(toy_params, folder / "scores.csv") == metrics
    with np.load(folder / "maps.npz", allow_pickle=False) as maps:
        assert {maps[row_id].shape[0] for row_id in ("eval_0", "eval_1", "eval_2")} == {40}

    picture(toy_params, "eval_1", tmp_path / "p.png")
    image = cv2.imread(str(tmp_path / "p.png"))
    assert image.shape[1] == 1100
    assert image.std() > 20
    with pytest.raises(
        UserError, match="no row 'nope' in the eval split; rows there: eval_0, eval_1, eval_2"
    ):
        picture(toy_params, "nope", tmp_path / "q.png")


def test_a_built_in_network_is_named(toy_params):
    """With its own thresholds, on a store it has never seen; names that are none are told."""
    metrics = evaluate(toy_params, "real")
    known = read_checkpoint(network_path("real")).document["thresholds"]
    assert metrics["thresholds"] == known
    assert metrics["data"]["rows"] == 3
    with pytest.raises(UserError, match=r"surreal: no checkpoint here, .* built in \(impacts, real\)"):
        evaluate(toy_params, "surreal")


def test_scores_do_not_depend_on_how_windows_are_batched(toy_params):
    train(toy_params)
    one, many = (
        evaluate(toy_params.model_copy(update={"infer": toy_params.infer.model_copy(update={"batch": b})}))
        for b in (1, 8)
    )
    assert one == many


def test_the_rules_see_the_turn(toy_params):
    """A square of 8x8 in 32x32 px at 2 px a frame: mean speed 0.125; at a turn the change is 4 px, else none
    where the square stays inside itself."""
    row = read_catalog(toy_params.source.catalog).split("eval").rows[0]
    window = FlowStore(toy_params.store.path).read(row.row_id, 0, row.n_frames)
    np.testing.assert_allclose(motion_energy(window, 64.0), 2 * 64 / 1024, rtol=1e-6)
    turns = inflection_magnitude(window, 64.0)
    quiet = [t for t in range(3, 36) if min(abs(t - hit) for hit in row.hits) > 1]
    assert min(turns[list(row.hits)]) > max(turns[quiet])


def test_inflection_is_moved_onto_the_frame_of_the_hit():
    inflection = np.zeros((9, 2, 2, 1, 1), np.int16)
    inflection[3, 0, 0] = 64  # a+ of frame 3 and a- of frame 5 are what happens at frame 4
    inflection[5, 1, 1] = 64
    window = Window(np.zeros((9, 3, 1, 1), np.uint8), inflection, inflection, np.arange(9.0))
    curve = inflection_magnitude(window, 64.0)
    assert curve.argmax() == 4
    assert curve[4] == 1.0


def test_frames_nobody_annotated_are_not_judged(toy_params):
    row = read_catalog(toy_params.source.catalog).rows[0]
    end = row.hits[1]
    short = replace(row, annotated_until=end)
    curve = np.zeros(40)
    curve[[end - 4, end + 3]] = 0.9
    video = labelled(short, curve)
    assert video.labels == row.hits[:1]
    assert video.peaks(PeaksParams(smoothing_frames=0)).above(0.5).frames.tolist() == [end - 4]
    assert len(video.known_scores) == end


def test_places_and_colours_by_hand():
    where = np.zeros((4, 8), np.float32)
    where[1, 6] = 1
    assert peak_place(where) == (6.5 / 8, 1.5 / 4)
    right, still = np.array([[[2.0]], [[0.0]]], np.float32), np.zeros((2, 1, 1), np.float32)
    np.testing.assert_allclose(flow_colours(right, 2.0)[0, 0], [1, 0, 0])
    np.testing.assert_allclose(flow_colours(still, 2.0)[0, 0], [0, 0, 0])


@pytest.mark.parametrize("text", ["", "[]", '{"paper": {}}', "{"])
def test_a_foreign_metrics_file_is_told(tmp_path, text):
    file = tmp_path / "metrics.json"
    file.write_text(text)
    result = CliRunner().invoke(main, ["summary", str(file)])
    assert result.exit_code == 2
    assert str(file) in result.output


def test_metrics_are_plain_json(toy_params):
    train(toy_params)
    metrics = evaluate(toy_params)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert PeaksParams() == toy_params.peaks
