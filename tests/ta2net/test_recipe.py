"""The recipe around a step: moving average, accumulation, provenance, logs."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ta2net.networks import checkpoint as files
from ta2net.training.average import decay_at
from ta2net.training.loop import Trainer, train
from ta2net.training.processes import ProcessesError
from ta2net.training.progress import TimedBatches
from ta2net.training.provenance import git_state, provenance

pytestmark = pytest.mark.slow


def changed(params, section, **entries):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=entries)})


def test_the_average_is_its_recursion(toy_params, tmp_path):
    """Against the recursion written out in float64, over weights and buffers; and it is what is kept."""
    params = changed(changed(toy_params, "optim", ema=0.6), "train", validate_every=12)
    trainer = Trainer(params)
    literal: dict[str, np.ndarray] = {}
    real_step, seen = trainer.step, 0

    def step(batch):
        nonlocal seen
        losses = real_step(batch)
        decay = 0.0 if seen == 0 else min(0.6, (1 + seen) / (10 + seen))
        for name, value in trainer.state.model.state_dict().items():
            new = value.double().numpy()
            if name.endswith("num_batches_tracked"):
                literal[name] = new
            else:
                literal[name] = decay * literal.get(name, 0.0) + (1 - decay) * new
        seen += 1
        return losses

    trainer.step = step
    trainer.fit()
    kept = load_file(tmp_path / "run" / "best.safetensors")
    raw = load_file(tmp_path / "run" / "resume" / "step-00000012.safetensors")
    assert {name.removeprefix("model.") for name in kept} == literal.keys()
    for name, expected in literal.items():
        np.testing.assert_allclose(kept[f"model.{name}"], expected, rtol=1e-5, atol=1e-7, err_msg=name)
    assert any(not torch.equal(kept[name], raw[name]) for name in kept)


def test_the_decay_warms_up():
    assert decay_at(1, 0.999) == pytest.approx(2 / 11)
    assert decay_at(90, 0.999) == pytest.approx(0.91)
    assert decay_at(10**6, 0.999) == 0.999


def without_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(module, name, nn.Identity())
        else:
            without_norms(child)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(toy_params, parts):
    """Without batch norm and contrast, the only things that mix clips; parts differ in what they know."""
    method = toy_params.method
    loss = method.loss.model_copy(update={"contrast": 0.0, "foreground_weight": 3.0})
    fusion = method.fusion.model_copy(update={"offset": True})
    params = changed(changed(toy_params, "method", loss=loss, fusion=fusion), "clips", flip=False)
    found = []
    for accumulate in (1, parts):
        trainer = Trainer(changed(params, "optim", accumulate=accumulate))
        without_norms(trainer.state.model)
        batch = trainer.loader.batch(0)
        known = batch.known.clone()
        known[0, 5:], known[1], known[3, :20] = False, False, False
        losses = trainer.optimize.gradients(replace(batch, known=known))
        gradients = {n: p.grad for n, p in trainer.state.model.named_parameters() if p.grad is not None}
        found.append((losses, gradients))
    (whole, expected), (sum_, gradients) = found
    for name in ("total", "action", "smoothness", "offset"):
        torch.testing.assert_close(sum_[name], whole[name], rtol=1e-5, atol=0)
    assert gradients.keys() == expected.keys()
    largest = max(float(g.norm()) for g in expected.values())
    for name, gradient in gradients.items():
        assert float((gradient - expected[name]).norm()) < 1e-5 * largest, name


def test_parts_that_do_not_divide_the_batch_are_told(toy_params):
    with pytest.raises(ProcessesError, match=r"clips.batch \(4\) must be a multiple .* \(1 x 3\)"):
        Trainer(changed(toy_params, "optim", accumulate=3))


@pytest.fixture
def finished(toy_run) -> Path:
    return Path(toy_run.train.dir)


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle, delimiter=delimiter))


def test_live_holds_the_numbers_of_the_curves(finished):
    losses, live = table(finished / "loss.csv"), finished / "live"
    for name in losses[0].keys() - {"step"}:
        logged = table(live / "plots" / "metrics" / "train" / f"{name}.tsv", "\t")
        assert [(e["step"], float(e[name])) for e in logged] == [(e["step"], float(e[name])) for e in losses]
    validations = table(finished / "validation.csv")
    logged = table(live / "plots" / "metrics" / "validation" / "f1_at_2.tsv", "\t")
    assert [float(e["f1_at_2"]) for e in logged] == [float(e["f1_at_2"]) for e in validations]
    latest = json.loads((live / "metrics.json").read_text())
    assert latest["train"]["total"] == float(losses[-1]["total"])
    assert 0 <= latest["time"]["stall"] <= 1
    pictures = {p.relative_to(live / "plots" / "images").as_posix() for p in live.rglob("*.png")}
    assert pictures == {f"scores/val_{row}/{step:08d}.png" for row in (0, 1) for step in (6, 12)}
    assert {p.name for p in finished.iterdir()} == {
        "best.safetensors", "resume", "loss.csv", "validation.csv", "live"
    }  # fmt: skip


def test_checkpoints_say_where_they_come_from(finished, toy_run):
    best, resume = (
        files.read(finished / n) for n in ("best.safetensors", "resume/step-00000012.safetensors")
    )
    assert best.document["provenance"] == resume.document["provenance"] == provenance()
    assert best.document["provenance"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert resume.document["params"] == toy_run.model_dump(mode="json")
    # 12 steps of 4 clips over 8 rows; half a cosine is over
    assert resume.document["position"] == {"step": 12, "epoch": 6, "lr": pytest.approx(0.0)}
    assert resume.document["progress"]["step"] == 12


def git(folder: Path, *arguments: str) -> str:
    name = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_of_a_checkout_and_of_none(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    code, lock = tmp_path / "ta2net" / "code.py", tmp_path / "dvc.lock"
    code.parent.mkdir()
    code.write_text("x = 1\n")
    lock.write_text("before\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "ta2net", "dvc.lock")
    git(tmp_path, "commit", "-qm", "start")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "data.bin").write_text("untracked files are data")
    lock.write_text("a run of the pipeline writes this\n")
    assert git_state(tmp_path)["dirty"] is False
    code.write_text("x = 2\n")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
    nothing = {"commit": None, "dirty": None}
    assert git_state(tmp_path / "inside") == nothing  # somebody else's repository
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == nothing


def test_dvclive_makes_no_repository(toy_params, tmp_path, monkeypatch):
    """It would turn a git repository that is none of DVC's into one."""
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    train(changed(toy_params, "train", steps=1))
    assert not (tmp_path / ".dvc").exists()
    assert not (tmp_path / "dvc.yaml").exists()


def test_waiting_is_measured():
    def slow():
        for number in range(3):
            time.sleep(0.03)
            yield number

    timed = TimedBatches(slow())
    for _ in timed:
        time.sleep(0.01)
    wall_s, waited_s = timed.interval()
    assert 0.09 <= waited_s <= wall_s - 0.03
    assert timed.interval()[1] == 0.0
