"""What is measured on a GPU runs on a CPU at a tiny size, and says so where there is no GPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import gpu, loss_curves

pytestmark = pytest.mark.slow


def test_everything_runs_at_a_tiny_size(tmp_path):
    out = tmp_path / "gpu.json"
    done = CliRunner().invoke(gpu.main, ["--tiny", "--device", "cpu", "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(out.read_text())["ratios"]}
    assert set(rows) == {
        "flow.gmflow_64x64.batch2_vs_goal",
        "flow.gmflow_64x64.batch2_row_vs_network",
        "training.paper_vs_20_minutes",
        "training.paper_stall",
        "training.paper_vs_flop_bound",
        "training.paper_loss_difference",
    }
    assert all(row["ratio"] >= 0 for row in rows.values())
    assert "20000 steps take" in rows["training.paper_vs_20_minutes"]["against"]
    assert "pairs/s from video file to store" in rows["flow.gmflow_64x64.batch2_row_vs_network"]["against"]


def test_a_machine_without_a_gpu_is_told(tmp_path):
    done = CliRunner().invoke(gpu.main, ["--device", "cpu", "--out", str(tmp_path / "gpu.json")])
    assert done.exit_code == 2
    assert "this measures a CUDA GPU" in done.output
    assert not (tmp_path / "gpu.json").exists()


def test_the_network_s_own_time_is_that_of_its_calls(monkeypatch):
    now = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(now))
    clocked = gpu.ClockedFlow(lambda images, _: (images, images), torch.device("cpu"))
    for _ in range(2):
        assert clocked(torch.ones(2), 1)[0].tolist() == [1, 1]
    assert clocked.seconds() == 2.5


def test_the_difference_is_within_a_seed_and_the_spread_between_seeds():
    steps = 2 * loss_curves.WINDOW_STEPS
    plain = np.stack([np.full(steps, 1.0), np.full(steps, 3.0)])
    ours = plain + np.repeat([0.1, -0.3], loss_curves.WINDOW_STEPS)
    found = loss_curves.Curves(ours, plain)
    assert found.difference == pytest.approx(0.2)
    assert found.spread == pytest.approx(np.sqrt(2))
    assert "ours 0.7000 2.7000; plain float32 1.0000 3.0000" in str(found)


def test_the_picture_shows_both(tmp_path):
    curves = np.random.default_rng(0).random((2, 60))
    loss_curves.save_picture(loss_curves.Curves(curves, curves + 0.1), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
