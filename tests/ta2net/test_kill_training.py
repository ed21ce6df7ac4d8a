"""`kill -9` in the middle of training, then the same command again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from ta2net.training.loop import train
from ta2net.training.resume import resumable

pytestmark = [pytest.mark.slow, pytest.mark.kill]

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def command(params, folder: Path) -> list[str]:
    file = folder / "params.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    document = params.model_dump(mode="json")
    document["train"]["dir"] = str(folder / "run")
    document["train"]["checkpoint_every"] = 2
    with file.open("w") as handle:
        YAML(typ="safe", pure=True).dump(document, handle)
    return [sys.executable, "-m", "stages.train", "--params", str(file)]


def test_training_goes_on_bit_for_bit_after_kill_9(toy_params, tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    subprocess.run(command(toy_params, undisturbed), cwd=ROOT, check=True, capture_output=True)
    again = command(toy_params, killed)
    process = subprocess.Popen(again, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 300
    while not resumable(killed / "run"):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if resumable(killed / "run")[-1].name.endswith("12.safetensors"):
        pytest.fail("the run was over before the signal came; give it more steps")
    result = subprocess.run(again, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "resuming at step" in result.stdout
    for name in ("best.safetensors", "resume/step-00000012.safetensors"):
        one, other = (load_file(folder / "run" / name) for folder in (undisturbed, killed))
        assert all(torch.equal(one[key], other[key]) for key in one), name
    for name in ("loss.csv", "validation.csv"):
        one, other = ((folder / "run" / name).read_text() for folder in (undisturbed, killed))
        assert one == other
    assert not list((killed / "run").rglob(".*.tmp"))


def test_one_of_two_processes_killed_ends_both_and_one_goes_on(toy_params, tmp_path):
    """Under torchrun. The other process ends, nothing is half written, and another number may go on."""
    python, *training = command(toy_params, tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = subprocess.Popen(
        [python, *TORCHRUN, *training], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not resumable(tmp_path / "run"):
        assert launcher.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = psutil.Process(launcher.pid).children()
    assert len(workers) == 2
    first = next(worker for worker in workers if worker.environ()["RANK"] == "0")
    first.kill()
    assert launcher.wait(timeout=300) != 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    update = {"dir": str(tmp_path / "run"), "checkpoint_every": 2}
    progress = train(toy_params.model_copy(update={"train": toy_params.train.model_copy(update=update)}))
    assert progress.step == 12
    assert [entry["step"] for entry in progress.losses] == [2, 4, 6, 8, 10, 12]
    assert not list((tmp_path / "run").rglob(".*.tmp"))
