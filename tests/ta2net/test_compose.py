"""Parameter files made from defaults and differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.params import read_yaml
from ta2net.params import Params, compose_params, overlay, read

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_params_are_the_defaults():
    """``params.yaml`` names every knob, and means what the code means without it."""
    assert read(ROOT / "params.yaml") == Params()
    assert read_yaml(ROOT / "params.yaml") == Params().model_dump(mode="json")


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "configs").glob("*.yaml")))
def test_every_config_composes(name, tmp_path):
    params = compose_params([ROOT / "configs" / name], tmp_path / "params.yaml")
    assert read(tmp_path / "params.yaml") == params
    assert params != Params()


def test_the_last_config_wins_and_comments_stay(tmp_path):
    out = tmp_path / "params.yaml"
    out.write_text("optim:\n  lr: 9.0 # how fast\n  name: adam\n")
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("optim: {lr: 5e-6}\nclips: {batch: 8}\n")
    two.write_text("optim: {lr: 0.5}\n")
    params = compose_params([one, two], out)
    assert (params.optim.lr, params.optim.name, params.clips.batch) == (0.5, "adamw", 8)
    assert "lr: 0.5 # how fast" in out.read_text()
    compose_params([], out)
    assert read(out) == Params()


def test_numbers_as_dvc_writes_them(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("optim: {lr: 5e-06}\n")
    assert read(file).optim.lr == 5e-6


def test_all_errors_at_once_and_nothing_written(tmp_path):
    config, out = tmp_path / "config.yaml", tmp_path / "params.yaml"
    config.write_text("optim: {lr: -1, lrr: 2}\nclips: {frames: many}\n")
    with pytest.raises(ParamsError) as caught:
        compose_params([config], out)
    for piece in ("optim.lr: ", "optim.lrr: unknown key", "clips.frames: ", "(got 'many')"):
        assert piece in caught.value.message
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "expected sections"),
        ("!!python/object/apply:os.system [echo]\n", "not valid YAML"),
        ("train: {seed: .nan}\n", "train.seed"),
        ("infer: {stride: 65}\n", "frames between the windows would get no score"),
        ("method: {fusion: {heads: 5}}\n", "multiple of fusion.heads"),
        ("method: {pretrained: imagenet}\n", "no pretrained weights"),
        ("x: " + "1" * 1_000_001, "larger than"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(ParamsError, match=message):
        read(file)


def test_overlay_changes_neither_side():
    base, difference = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}}
    assert overlay(base, difference) == {"a": {"b": 5, "c": 2}, "d": 3}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}
