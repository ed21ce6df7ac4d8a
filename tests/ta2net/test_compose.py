"""Parameter files made from defaults and differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.errors import ParamsError
from pipeline.params import read_yaml
from ta2net.methods.ta2net.network import TA2Net
from ta2net.networks import checkpoint
from ta2net.params import Params, compose_params, modernized, overlay, read

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


@pytest.mark.parametrize(
    "recipe", sorted((ROOT / "configs" / "methods").glob("*.yaml")), ids=lambda file: file.stem
)
def test_a_recipe_of_a_method_chooses_it(tmp_path, recipe):
    """Laid over the defaults, which are another method's; none of its entries stay."""
    params = compose_params([recipe], tmp_path / "params.yaml")
    assert params.method.name == recipe.stem
    assert read(tmp_path / "params.yaml") == params


OLD = """
model: {channels: 8, fusion: {offset: false}}
loss: {contrast: 0.5, sigma_frames: 1.5}
contrast: {rank: global}
clips: {batch: 2}
"""


def test_a_file_of_the_first_version_is_told_and_rewritten(tmp_path):
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(OLD)
    with pytest.raises(ParamsError, match=r"version 0\.1.*model is now method.*ta2net params .*old\.yaml"):
        read(old)
    params = compose_params([old], new)
    method = params.method
    assert (method.name, method.channels, method.fusion.offset) == ("ta2net", 8, False)
    assert (method.loss.contrast, method.contrast.rank, params.targets.sigma_frames) == (0.5, "global", 1.5)
    assert params.clips.batch == 2
    assert read(new) == params
    assert modernized(params.model_dump(mode="json")) == params.model_dump(mode="json")


def test_a_checkpoint_of_the_first_version_is_read(toy_params, tmp_path, monkeypatch):
    """Format 1, its params in the sections of then: the same network, to the last bit of its output."""
    torch.manual_seed(0)
    network, path = TA2Net(toy_params.method, 24).eval(), tmp_path / "old.safetensors"
    document = toy_params.model_dump(mode="json")
    method, targets = document.pop("method"), document.pop("targets")
    del method["name"], document["train"]["fast"]
    document |= {
        "contrast": method.pop("contrast"),
        "loss": {**method.pop("loss"), **targets},
        "model": method,
    }
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 1)
        state = checkpoint.with_prefix(network.state_dict().items(), "model")
        checkpoint.write(path, state, {"params": document, "thresholds": {"peaks": 0.5}})
    trained = checkpoint.load_trained(path, torch.device("cpu"))
    assert trained.params == toy_params
    frames, fields = torch.zeros(1, 9, 3, 32, 32, dtype=torch.uint8), torch.randn(2, 1, 9, 2, 2, 32, 32)
    with torch.inference_mode():
        one, other = (each(frames, *fields).probability for each in (network, trained.network))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
