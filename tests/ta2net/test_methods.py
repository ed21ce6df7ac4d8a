"""A method of a few lines, known to this process alone, goes the whole way: no other file knows of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from pipeline.errors import ParamsError, UserError
from ta2net.cli import main
from ta2net.evaluation.evaluate import evaluate, picture
from ta2net.evaluation.summary import summary
from ta2net.methods import method as methods
from ta2net.methods.frame_loss import action_loss, frame_weights
from ta2net.methods.method import FrameScores, NetworkMethod, Rule, Term
from ta2net.methods.params import FrameLossParams, MethodParams
from ta2net.networks import checkpoint as files
from ta2net.networks.size import part_sizes
from ta2net.params import Params, overlay, parse
from ta2net.studies.study import run_study
from ta2net.training.identity import source_digest
from ta2net.training.loop import Trainer, train

pytestmark = pytest.mark.slow


class LittleParams(MethodParams):
    name: Literal["little"] = "little"
    channels: int = 4
    loss: FrameLossParams = FrameLossParams()


class Little(nn.Module):
    """Two convolutions over each frame and its neighbours."""

    def __init__(self, channels):
        super().__init__()
        self.see = nn.Sequential(nn.Conv3d(3, channels, 3, padding=1), nn.BatchNorm3d(channels), nn.ReLU())
        self.decide = nn.Conv1d(channels, 2, 3, padding=1)

    def forward(self, frames, valid):
        seen = self.see((frames.float() / 255 * valid[..., None, None, None]).transpose(1, 2))
        return {"logits": self.decide(seen.amax(dim=(3, 4))).transpose(1, 2)}


class LittleMethod(NetworkMethod):
    name = "little"
    Params = LittleParams

    def reads(self, params):
        return frozenset({"frames"})

    def build(self, params, clip):
        return Little(params.channels)

    def objective(self, params, batch):
        def loss(output):
            return action_loss(output["logits"], batch.soft, batch.hard, batch.known, params.loss)

        return {"action": Term(loss, frame_weights(batch, params.loss).sum(), 1.0)}

    def scores(self, output):
        return FrameScores(torch.softmax(output["logits"].float(), dim=-1)[..., 1])


class HalfParams(MethodParams):
    name: Literal["half"] = "half"


class Half(Rule):
    """Says one half of every second frame, and nothing of the others."""

    name = "half"
    Params = HalfParams

    def reads(self, params):
        return frozenset()

    def measure(self, fields, steps_per_px):
        return np.ones((len(fields.frames), 1))

    def curve(self, measured):
        return 0.5 * (np.arange(len(measured)) % 2)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(methods, "_REGISTERED", {})
    methods.register(LittleMethod())
    methods.register(Half())


def little(params: Params, **changes) -> Params:
    document = overlay(params.model_dump(mode="json"), {"method": {"name": "little"}})
    return parse(overlay(document, changes), "test")


def test_it_trains_resumes_scores_and_is_evaluated(toy_params, tmp_path, capsys):
    params = little(toy_params)
    assert params.method == LittleParams()
    trainer = Trainer(params)
    real, steps = trainer.step, []

    def dies(batch):
        assert batch.velocity is None  # nobody reads it
        assert batch.inflection is None
        steps.append(batch)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return real(batch)

    trainer.step = dies
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    progress = train(params)
    assert "resuming at step 4 of 12" in capsys.readouterr().out
    assert progress.losses[-1].keys() == {"step", "lr", "total", "action"}

    metrics = evaluate(params)
    assert metrics["where"]["pointing_game"] is None  # it does not say where
    assert set(metrics["untrained"]) == {
        "motion_energy", "inflection_peak", "evenly_spaced", "every_5th_frame"
    }  # fmt: skip
    assert "event.f1_at_2" in summary(metrics)
    with (tmp_path / "evaluation" / "candidates.csv").open() as handle:
        hits = list(csv.DictReader(handle))
    assert hits
    assert {hit["x_fraction"] for hit in hits} == {""}
    picture(params, "eval_0", tmp_path / "row.png")
    assert (tmp_path / "row.png").stat().st_size > 1000


def test_killed_and_resumed_it_ends_with_the_same_bits(toy_params, tmp_path):
    whole = little(toy_params, train={"dir": str(tmp_path / "whole")})
    train(whole)
    parts = little(toy_params, train={"dir": str(tmp_path / "parts")})
    trainer = Trainer(parts)
    real, count = trainer.step, iter(range(100))
    trainer.step = lambda batch: real(batch) if next(count) < 9 else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    train(parts)
    one, other = (files.read(tmp_path / name / "best.safetensors").tensors for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_its_gradients_may_be_accumulated(toy_params):
    """Parts differ in how many frames they know, and the mean is over all."""
    found = []
    for parts in (1, 4):
        trainer = Trainer(little(toy_params, optim={"accumulate": parts}, clips={"flip": False}))
        trainer.state.model.see[1] = nn.Identity()  # batch norm mixes clips
        batch = trainer.loader.batch(0)
        batch.known[0, 5:] = False
        losses = trainer.optimize.gradients(batch)
        found.append((losses, [p.grad for p in trainer.state.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0][0]["total"], found[1][0]["total"])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-7)


def test_windows_of_it_are_averaged_as_those_of_any(toy_params):
    """Frame by frame by hand, mirrored windows too."""
    from ta2net.hits.scoring import make_scorer
    from tests.ta2net.test_scoring import random_window, reader

    torch.manual_seed(0)
    params = little(toy_params, clips={"frames": 8}, infer={"stride": 5, "flip_average": True})
    network, window = Little(4).eval(), random_window(19)
    scores = make_scorer(network, params, torch.device("cpu"))(reader(window), 19, 64.0)
    total, support = np.zeros(19), np.zeros(19)
    for start in (0, 5, 10, 15):
        stop = min(start + 8, 19)
        for sign in (1, -1):
            clip = torch.from_numpy(window.frames[start:stop, ..., ::sign].copy())[None]
            padded = torch.cat((clip, clip.new_zeros(1, 8 - clip.shape[1], *clip.shape[2:])), dim=1)
            valid = torch.arange(8)[None] < stop - start
            with torch.inference_mode():
                said = LittleMethod().scores(network(padded, valid)).probability[0, : stop - start]
            total[start:stop] += said.numpy()
            support[start:stop] += 1
    np.testing.assert_allclose(scores.probability, total / support, atol=1e-6)
    assert scores.localization is None
    assert scores.offset is None


def test_it_stands_in_a_table_beside_others(toy_params, tmp_path, monkeypatch):
    """A study with a row for each method, in this process, as the method is known here alone."""
    study = tmp_path / "study.yaml"
    study.write_text(
        "title: methods\nseeds: [0]\nrows:\n  ta2net: {}\n"
        "  little: {method: {name: little}}\n  half: {method: {name: half}}\n"
    )
    base = tmp_path / "base.yaml"
    base.write_text(json.dumps(toy_params.model_dump(mode="json")))

    def execute(run):
        from ta2net.params import read

        params = read(run.folder / "params.yaml")
        train(params)
        evaluate(params, run.checkpoint)

    monkeypatch.setattr("ta2net.studies.study._execute", execute)
    run_study(study, base, tmp_path / "work", tmp_path / "out", jobs=1)
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["ta2net", "little", "half"]
    assert lines[3].count("±") == 3  # all figures but the place, which it does not say
    assert (tmp_path / "out" / "plot.png").is_file()


def test_a_rule_is_given_a_threshold_and_used_like_a_network(toy_params, tmp_path):
    document = overlay(toy_params.model_dump(mode="json"), {"method": {"name": "inflection_peak"}})
    params = parse(document, "test")
    assert train(params).best_f1 > 0.5
    trained = files.load_trained(tmp_path / "run" / "best.safetensors", torch.device("cpu"))
    assert trained.network is None
    assert 0 < trained.thresholds["peaks"] < 1
    metrics = evaluate(params)
    assert metrics["event"] == metrics["untrained"]["inflection_peak"]["event"]
    assert part_sizes(params) == []


def test_other_parameters_or_code_make_another_run(toy_params, capsys, monkeypatch):
    params = little(toy_params)
    train(params)
    train(little(toy_params, method={"channels": 5}))
    assert "belongs to other parameters, data or code" in capsys.readouterr().out
    train(params)
    capsys.readouterr()
    monkeypatch.setattr("ta2net.training.identity.source_digest", lambda _: "edited")
    train(params)
    assert "belongs to other parameters, data or code" in capsys.readouterr().out


def test_a_methods_source_is_its_whole_folder(tmp_path, monkeypatch):
    """A network in a file beside the method counts; a method that no file holds is refused."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("from mine.net import WIDTH\nclass Mine: name = 'mine'\n")
    (folder / "net.py").write_text("WIDTH = 4\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine

    before = source_digest(mine.Mine())
    (folder / "net.py").write_text("WIDTH = 4  # a word\n")
    assert source_digest(mine.Mine()) == before
    (folder / "net.py").write_text("WIDTH = 5\n")
    assert source_digest(mine.Mine()) != before
    monkeypatch.delattr(mine, "__file__")
    with pytest.raises(UserError, match="put it into a module"):
        source_digest(mine.Mine())


def test_its_errors_are_told_with_all_others(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("method: {name: little, chanels: 4, loss: {focal: -1.0}}\noptim: {lr: fast}\n")
    result = CliRunner().invoke(main, ["train", "--params", str(file)])
    assert result.exit_code == 2
    for piece in ("3 wrong", "method.chanels: unknown key", "method.loss.focal: ", "optim.lr: "):
        assert piece in result.output


def test_an_unknown_method_is_told_with_near_names():
    with pytest.raises(
        ParamsError, match=r"method\.name: .*no method is called 'litle'; did you mean little"
    ):
        parse({"method": {"name": "litle"}, "optim": {"lr": 0.1}}, "file")
    with pytest.raises(ParamsError, match="2 wrong entries"):
        parse({"method": {"name": "litle"}, "optim": {"lr": -0.1}}, "file")


def test_a_checkpoint_of_a_method_that_is_not_here_says_so(toy_params, tmp_path, monkeypatch):
    train(little(toy_params))
    monkeypatch.setattr(methods, "_REGISTERED", {})
    with pytest.raises(UserError, match="no method is called 'little'"):
        files.load_trained(tmp_path / "run" / "best.safetensors", torch.device("cpu"))


def test_describe_lists_its_parts(toy_params, tmp_path):
    (tmp_path / "params.yaml").write_text(json.dumps(little(toy_params).model_dump(mode="json")))
    result = CliRunner().invoke(main, ["describe", "--params", str(tmp_path / "params.yaml")])
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()[1:3]] == ["see", "decide"]


def test_all_methods_that_come_with_the_program_are_found():
    for name in methods.HOMES:
        method = methods.method_named(name)
        assert method.name == name
        assert method.Params().name == name
        assert method.reads(method.Params()) <= set(methods.INPUTS)
    assert {"little", "half"} < set(methods.names())
    assert Path(methods.__file__).parent.name == "methods"
