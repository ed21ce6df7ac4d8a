"""A changed loss trains anew and a changed resampling makes rows anew; a changed docstring does neither."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from pipeline.revisions import ROWS
from ta2net.params import compose_params
from ta2net.training.identity import RUNS

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "impacts": {"train_count": 3, "eval_count": 1, "duration_s": 1.2},
    "source": {"val_fraction": 0.34},
    "train": {"steps": 4, "validate_every": 4, "checkpoint_every": 2},
    "build": {"workers": 1},
}


def stage(folder: Path, name: str) -> str:
    """Run one stage of the copy, as `dvc repro` would; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{name}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A copy of the code with a flow store and a network that it made."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("pipeline", "ta2net", "stages"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    small = folder / "small.yaml"
    small.write_text(yaml.safe_dump(SMALL))
    compose_params([ROOT / "configs" / "smoke.yaml", small], folder / "params.yaml")
    for name in ("impacts", "catalog", "flows", "train"):
        stage(folder, name)
    return folder


def edit(file: Path, old: str, new: str) -> Callable[[], int]:
    """Change a file; what is returned changes it back."""
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is not in {file} once"
    file.write_text(text.replace(old, new))
    return lambda: file.write_text(text)


def network(folder: Path) -> str:
    return sha256((folder / "data" / "run" / "best.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_changed_loss_trains_a_new_network(trained):
    before = network(trained)
    said = stage(trained, "train")
    assert "resuming at step 4 of 4" in said
    assert network(trained) == before
    back = edit(
        trained / "ta2net/methods/frame_loss.py",
        "return (per_frame * weight).sum()",
        "return 100 * (per_frame * weight).sum()",
    )
    try:
        assert "belongs to other parameters, data or code" in stage(trained, "train")
        assert network(trained) != before
    finally:
        back()
    stage(trained, "train")  # and the old code its own again


@pytest.mark.slow
def test_a_changed_resampling_makes_new_rows(trained):
    assert "0 computed, 4 kept" in stage(trained, "flows")
    back = edit(
        trained / "pipeline/flow/resampling.py",
        "np.float32(size[1] / width)",
        "np.float32(3 * size[1] / width)",
    )
    try:
        assert "4 computed, 0 kept" in stage(trained, "flows")
    finally:
        back()
    assert "4 computed, 0 kept" in stage(trained, "flows")


@pytest.mark.slow
def test_words_change_nothing(trained):
    stage(trained, "train")
    before = network(trained)
    docstring = edit(
        trained / "ta2net/methods/frame_loss.py",
        '"""The loss of frames that',
        '"""In other words, the loss of frames that',
    )
    comment = edit(trained / "pipeline/flow/resampling.py", "from __future__", "# a comment\nfrom __future__")
    try:
        assert "0 computed, 4 kept" in stage(trained, "flows")
        assert "resuming at step 4 of 4" in stage(trained, "train")
        assert network(trained) == before
    finally:
        docstring()
        comment()


def dependencies(name: str) -> list[str]:
    document = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    return [entry for entry in document["stages"][name]["deps"] if not entry.startswith("$")]


@pytest.mark.parametrize(("name", "record"), [("flows", ROWS), ("train", RUNS)])
def test_dvc_watches_what_results_are_made_by(name, record):
    watched = dependencies(name)
    for paths in record.parts.values():
        for path in paths:
            assert any(path == entry or path.startswith(f"{entry}/") for entry in watched), path


@pytest.mark.parametrize("name", ["flows", "train", "evaluate"])
def test_dvc_watches_nothing_that_a_stage_does_not_use(name):
    watched = dependencies(name)
    assert all((ROOT / entry).exists() for entry in watched)
    assert not {"ta2net/evaluation", "ta2net", "pipeline"} & set(watched)
    assert "ta2net/evaluation/summary.py" not in watched
    assert "ta2net/evaluation/label_files.py" not in watched
