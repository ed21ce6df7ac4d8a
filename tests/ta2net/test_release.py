"""From a training run to the network that comes with the program: its document says what it is worth."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from stages.weights import main
from ta2net.methods.ta2net.network import TA2Net
from ta2net.networks import checkpoint as files

THRESHOLDS = {"peaks": 0.5, "frames": 0.8, "motion_energy": 0.1, "inflection_peak": 0.2}
EVENT = {"f1_at_1": 0.7, "f1_at_2": 0.8, "recall_at_2": 0.75, "precision_at_2": 0.86}
DATA = {"split": "eval", "rows": 3, "frames": 120, "labels": 12}
POINT = {"threshold": 0.5, "recall": 0.6, "precision": 0.7, "f1": 0.65}


@pytest.fixture
def run(toy_params, tmp_path):
    """What a training run and its evaluation leave; called, it releases the network."""
    best, metrics = tmp_path / "run" / "best.safetensors", tmp_path / "metrics.json"
    points = dict.fromkeys(("low", "normal", "high"), POINT)
    model = TA2Net(toy_params.method, toy_params.clips.frames)
    files.write_trained(best, model, toy_params, THRESHOLDS, {}, {}, operating_points=points)
    metrics.write_text(json.dumps({"paper": EVENT, "event": EVENT, "data": DATA, "thresholds": THRESHOLDS}))
    (tmp_path / "params.yaml").write_text(json.dumps(toy_params.model_dump(mode="json")))

    def released():
        arguments = ["--params", str(tmp_path / "params.yaml"), "--command", "make weights"]
        return CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "shipped.safetensors")])

    return released


def test_the_document_of_a_released_network(run, tmp_path):
    done = run()
    assert done.exit_code == 0, done.output
    best, shipped = (files.read(tmp_path / name) for name in ("run/best.safetensors", "shipped.safetensors"))
    assert all(torch.equal(best.tensors[name], value) for name, value in shipped.tensors.items())
    release = {"command": "make weights", "event": EVENT, "data": DATA}
    assert shipped.document == {**best.document, "release": release}


def test_networks_that_cannot_be_released(run, tmp_path, monkeypatch):
    monkeypatch.setattr("ta2net.training.release.MAX_BYTES", 1000)
    assert "bytes; a network that comes with the program has 1,000 at most" in run().output
    (tmp_path / "metrics.json").write_text((tmp_path / "metrics.json").read_text().replace("0.5", "0.4"))
    assert "figures of another network" in run().output
    best = files.read(tmp_path / "run" / "best.safetensors")
    files.write(best.path, best.tensors, {**best.document, "operating_points": {}})
    done = run()
    assert done.exit_code == 2
    assert "lacks operating points" in done.output
    assert not (tmp_path / "shipped.safetensors").exists()
