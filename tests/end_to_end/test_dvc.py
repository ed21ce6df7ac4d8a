"""The pipeline as users run it, in a fresh copy of the repository: `dvc repro` and what DVC says then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ta2net.params import compose_params

pytestmark = [pytest.mark.slow, pytest.mark.dvc]

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    # the copy's own modules, not those of the installed checkout
    "PYTHONPATH": "",
}
LESS = """
impacts: {train_count: 4, eval_count: 2, duration_s: 1.0}
build: {scheduler: threads, workers: 2}
train: {steps: 4, validate_every: 4, checkpoint_every: 4, precision: fp32}
evaluation: {bootstrap: 10}
"""
"""What makes the smoke configuration quicker still: here DVC is tried, not what the stages compute."""


def run(folder: Path, *command: str, check: bool = True) -> str:
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=900, check=False
    )
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def ran(output: str) -> set[str]:
    """The stages that `dvc repro` really ran."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A copy of the tracked files with the smoke configuration, reproduced once."""
    folder = tmp_path_factory.mktemp("clone") / "ta2net"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    (folder / "metrics.json").unlink(missing_ok=True)
    less = folder.with_name("less.yaml")
    less.write_text(LESS)
    compose_params([folder / "configs" / "smoke.yaml", less], folder / "params.yaml")
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    output = run(folder, "dvc", "repro")
    assert ran(output) == {"impacts", "catalog", "flows", "train", "evaluate"}
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "reproduced")
    return folder


def test_the_metrics_keep_their_names(repository):
    metrics = json.loads((repository / "metrics.json").read_text())
    for tree in (metrics, metrics["untrained"]["motion_energy"], metrics["untrained"]["inflection_peak"]):
        assert {"recall", "precision", "f1", "nme", "pme", "mae", "obo"} <= tree["paper"].keys()
        for k in (0, 1, 2, 3):
            assert {f"f1_at_{k}", f"precision_at_{k}", f"recall_at_{k}"} <= tree["event"].keys()
    assert metrics["data"]["rows"] == 2


def test_a_second_repro_has_nothing_to_do(repository):
    output = run(repository, "dvc", "repro")
    assert ran(output) == set()
    assert "Data and pipelines are up to date" in run(repository, "dvc", "status")


def test_a_learning_rate_only_trains_and_evaluates(repository):
    params = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(params.replace("lr: 0.002", "lr: 0.001"))
    try:
        assert "optim.lr" in run(repository, "dvc", "params", "diff")
        assert ran(run(repository, "dvc", "repro")) == {"train", "evaluate"}
        assert "metrics.json" in run(repository, "dvc", "metrics", "diff", "--all")
        assert "html" in run(repository, "dvc", "plots", "diff")
    finally:
        (repository / "params.yaml").write_text(params)
    assert "evaluate" in run(repository, "dvc", "dag")


def test_one_more_video_costs_one_row(repository):
    params = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(params.replace("eval_count: 2", "eval_count: 3"))
    output = run(repository, "dvc", "repro", "flows")
    assert ran(output) == {"impacts", "catalog", "flows"}
    assert "1 computed" in output
    assert "6 kept" in output


def test_wrong_params_are_told_without_a_traceback(repository):
    wrong = repository / "wrong.yaml"
    wrong.write_text("flow: {model: 3}\nstoer: {}\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.flows", "--params", "wrong.yaml"],
        cwd=repository,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "flow.model: " in done.stderr
    assert "stoer: unknown key" in done.stderr
    assert "Traceback" not in done.stderr
