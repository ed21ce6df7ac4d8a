"""The training loop: it learns, it is the same every time, and a stop costs nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from pipeline import kinematics
from pipeline.catalog import Catalog, read_catalog, write_catalog
from pipeline.errors import UserError
from pipeline.store import FlowStore
from ta2net.cli import main
from ta2net.clips.augmentation import swapped
from ta2net.clips.cache import RowCache
from ta2net.clips.loader import ClipLoader
from ta2net.clips.sampler import ClipPlan
from ta2net.evaluation.evaluate import evaluate
from ta2net.methods.batch import mirrored
from ta2net.networks import checkpoint as files
from ta2net.training.identity import run_identity
from ta2net.training.loop import Trainer, TrainingError, train
from ta2net.training.optimizer import learning_rate

pytestmark = pytest.mark.slow


def changed(params, section, **entries):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=entries)})


@pytest.fixture
def rows(toy_params):
    return read_catalog(toy_params.source.catalog).split("train").rows


def test_every_row_once_an_epoch_and_every_clip_holds_a_hit(toy_params, rows):
    plan = ClipPlan(rows, toy_params)
    clips = [clip for step in range(4) for clip in plan.clips(step)]  # 16 clips = 2 epochs of 8 rows
    for epoch in (clips[:8], clips[8:]):
        assert sorted(clip.row.row_id for clip in epoch) == sorted(row.row_id for row in rows)
    for clip in clips:
        assert clip.stop - clip.start == 24
        assert any(clip.start <= hit < clip.stop for hit in clip.row.labels)
    assert [c.row.row_id for c in clips[:8]] != [c.row.row_id for c in clips[8:]]


def test_the_plan_of_a_step_needs_no_history(toy_params, rows):
    assert ClipPlan(rows, toy_params).clips(7) == ClipPlan(rows, toy_params).clips(7)
    other = changed(toy_params, "train", seed=1)
    assert ClipPlan(rows, toy_params).clips(7) != ClipPlan(rows, other).clips(7)


def test_batches_hold_what_the_store_holds(toy_params, rows):
    params = changed(
        toy_params, "clips", flip=False, reverse=False, frames=64
    )  # longer than the rows: padded
    store = FlowStore(params.store.path)
    loader = ClipLoader(rows, store, params)
    batch = next(loader.batches(3, 4))
    for index, clip in enumerate(loader.plan.clips(3)):
        whole = store.read(clip.row.row_id, 0, 40)
        np.testing.assert_array_equal(batch.frames[index, :40], whole.frames)
        np.testing.assert_array_equal(batch.inflection[index, :40], whole.inflection)
        np.testing.assert_array_equal(batch.velocity[index, 40:], np.repeat(whole.velocity[-1:], 24, axis=0))
        assert np.flatnonzero(batch.hard[index]).tolist() == list(clip.row.labels)
        assert batch.valid[index].tolist() == batch.known[index].tolist() == [True] * 40 + [False] * 24


def test_a_runs_identity_knows_the_spans(toy_params, rows):
    """Whichever frames are known, and in how many pieces."""
    store = FlowStore(toy_params.store.path)

    def identity(*spans):
        return run_identity(toy_params, tuple(replace(row, annotated=spans) for row in rows), store)

    spans = ((), ((0, 33),), ((0, 32),), ((1, 33),), ((0, 20), (25, 33)))
    assert len({identity(*each) for each in spans}) == 5
    assert identity((0, 33)) == identity((0, 33))


def test_a_mirrored_clip_is_the_mirrored_store(toy_params, rows):
    """Mirroring twice is nothing; mirroring moves u to the other side with its sign changed."""
    velocity = torch.from_numpy(FlowStore(toy_params.store.path).read(rows[0].row_id, 0, 40).velocity)
    np.testing.assert_array_equal(mirrored(mirrored(velocity)), velocity)
    np.testing.assert_array_equal(mirrored(velocity)[:, :, 0, :, 0], -velocity[:, :, 0, :, -1])
    np.testing.assert_array_equal(mirrored(velocity)[:, :, 1, :, 0], velocity[:, :, 1, :, -1])


def test_a_clip_played_backwards_is_its_own_kinematics(toy_params, rows):
    """The inflection of the swapped velocity is the swapped inflection, and labels follow their frames."""
    whole = FlowStore(toy_params.store.path).read(rows[0].row_id, 0, 40)
    velocity, inflection = (
        swapped(torch.from_numpy(field)).numpy() for field in (whole.velocity, whole.inflection)
    )
    np.testing.assert_array_equal(kinematics.inflection(velocity), inflection)
    always = changed(toy_params, "clips", flip=False, reverse=True)
    loader = ClipLoader(rows, FlowStore(toy_params.store.path), always)
    batch, clips = loader.batch(0), loader.plan.clips(0)
    assert {clip.backwards for clip in clips} == {True, False}
    for index, clip in enumerate(clips):
        frames = [hit - clip.start for hit in clip.row.labels if clip.start <= hit < clip.stop]
        expected = sorted(23 - t for t in frames) if clip.backwards else frames
        assert np.flatnonzero(batch.hard[index]).tolist() == expected


@pytest.mark.parametrize("limit", [0, 2_000_000, 10**9])
def test_the_cache_changes_nothing_and_keeps_its_limit(toy_params, rows, limit):
    store = FlowStore(toy_params.store.path)
    cache = RowCache(store, limit)
    for row in (*rows, *rows):
        piece, fresh = cache.read(row, 5, 20), store.read(row.row_id, 5, 20)
        np.testing.assert_array_equal(piece.velocity, fresh.velocity)
        np.testing.assert_array_equal(piece.frames, fresh.frames)
        assert cache.held_bytes <= limit


def test_trimmed_edges_are_never_shown(toy_params, rows):
    params = changed(toy_params, "kinematics", edges="trim")
    clips = [clip for step in range(20) for clip in ClipPlan(rows, params).clips(step)]
    assert min(clip.start for clip in clips) >= 2
    assert max(clip.stop for clip in clips) <= 38


def test_it_learns_the_toy(toy_params):
    """The machinery on data it must be able to fit: turning squares, seen only in other rows."""
    params = changed(toy_params, "train", steps=100, validate_every=25, checkpoint_every=50)
    progress = train(params)
    assert progress.losses[-1]["total"] < 0.75 * progress.losses[0]["total"]
    metrics = evaluate(params)
    assert metrics["event"]["f1_at_2"] >= 0.9
    assert json.loads(Path(params.evaluation.metrics).read_text()) == metrics


def weights(path):
    return load_file(path)


@pytest.mark.parametrize(
    ("stop", "optim", "dropout"), [(7, {}, 0.0), (10, {"ema": 0.9, "accumulate": 2}, 0.3)]
)
def test_stopped_and_resumed_is_bit_identical(toy_params, tmp_path, stop, optim, dropout):
    fusion = toy_params.method.fusion.model_copy(update={"dropout": dropout})
    params = changed(changed(toy_params, "optim", **optim), "method", fusion=fusion)
    whole = changed(params, "train", dir=str(tmp_path / "whole"))
    train(whole)
    parts = changed(params, "train", dir=str(tmp_path / "parts"))
    trainer = Trainer(parts)
    real_step, count = trainer.step, 0

    def step_then_die(batch):
        nonlocal count
        count += 1
        if count == stop:
            raise KeyboardInterrupt
        return real_step(batch)

    trainer.step = step_then_die
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    resumed = Trainer(parts)
    progress = resumed.fit()
    assert progress.step == 12
    for name in ("best.safetensors", "resume/step-00000012.safetensors"):
        one, other = weights(tmp_path / "whole" / name), weights(tmp_path / "parts" / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    curves = ("loss.csv", "validation.csv", "live/plots/metrics/train/total.tsv")
    for curve in curves:  # what was logged between the checkpoint and the stop is not there twice
        assert (tmp_path / "whole" / curve).read_text() == (tmp_path / "parts" / curve).read_text()


def test_a_finished_run_has_nothing_to_do(trained_params, capsys):
    best = files.read(f"{trained_params.train.dir}/best.safetensors")
    before, document = best.tensors, best.document
    assert document["operating_points"].keys() == {"low", "normal", "high"}
    assert document["operating_points"]["normal"]["threshold"] == document["thresholds"]["peaks"]
    assert document["data"]["train"] == {"split": "train", "rows": 8, "frames": 320, "labels": 29}
    assert document["data"]["validation"] == {"split": "val", "rows": 3, "frames": 120, "labels": 12}
    progress = train(trained_params)
    assert progress.step == 12
    assert "resuming at step 12 of 12" in capsys.readouterr().out
    after = (files.read(f"{trained_params.train.dir}/best.safetensors")).tensors
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_new_run_does_not_keep_the_old_ones_network(trained_params, tmp_path):
    Trainer(changed(trained_params, "optim", lr=1e-3)).resume()
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_other_parameters_start_anew(trained_params, capsys):
    progress = train(changed(trained_params, "optim", lr=1e-3))
    assert progress.losses[0]["step"] == 4
    assert "belongs to other parameters, data or code" in capsys.readouterr().out


def test_only_the_last_checkpoints_are_kept(toy_params, tmp_path):
    train(changed(toy_params, "train", keep=2))
    names = sorted(p.name for p in (tmp_path / "run" / "resume").iterdir())
    assert names == ["step-00000008.safetensors", "step-00000012.safetensors"]


def test_a_loss_that_is_no_number_names_the_rows_of_its_step(toy_params, tmp_path):
    trainer = Trainer(toy_params)
    real_step, poisoned = trainer.step, 2

    def step(batch):
        losses = real_step(batch)
        broken = torch.full_like(losses["total"], float("nan"))
        return {**losses, "total": broken} if trainer.progress.step == poisoned else losses

    trainer.step = step
    rows = sorted(clip.row.row_id for clip in trainer.plan.clips(poisoned))
    with pytest.raises(
        TrainingError, match=f"at step {poisoned + 1} .*Rows in this batch: {', '.join(rows)}"
    ):
        trainer.fit()
    assert not list((tmp_path / "run").rglob("*.safetensors"))


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_checkpoint_is_told(trained_params, tmp_path, damage):
    best = tmp_path / "run" / "best.safetensors"
    data = best.read_bytes()
    best.write_bytes({"cut": data[: len(data) // 2], "text": b"not a checkpoint", "empty": b""}[damage])
    with pytest.raises(files.CheckpointError, match="not a checkpoint of TA2Net, or a damaged one"):
        evaluate(trained_params)


def test_missing_things_say_what_to_do(toy_params, tmp_path):
    with pytest.raises(UserError, match="train one with ta2net-train"):
        evaluate(toy_params)
    with pytest.raises(UserError, match="no catalog here"):
        train(changed(toy_params, "source", catalog=str(tmp_path / "none.jsonl")))
    with pytest.raises(UserError, match="no flow store here"):
        train(changed(toy_params, "store", path=str(tmp_path / "none.zarr")))
    shutil.copytree(toy_params.store.path, tmp_path / "less.zarr")
    for row in ("val_0", "val_1", "val_2"):
        shutil.rmtree(tmp_path / "less.zarr" / row)
    with pytest.raises(UserError, match="no val rows to work on: the catalog has 3"):
        train(changed(toy_params, "store", path=str(tmp_path / "less.zarr")))


def test_wrong_params_on_the_command_line(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("optim: {lr: fast, momentum: 1}\nclips: {frames: 16}\nnet: {}\n")
    result = CliRunner().invoke(main, ["train", "--params", str(file)])
    assert result.exit_code == 2
    for piece in ("optim.lr: ", "(got 'fast')", "optim.momentum: unknown key", "net: unknown key"):
        assert piece in result.output
    assert "Traceback" not in result.output


def test_the_schedule_by_hand(toy_params):
    optim = toy_params.optim.model_copy(update={"lr": 1.0, "warmup_steps": 4})
    rates = [learning_rate(step, 12, optim) for step in range(13)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[8] == pytest.approx(0.5)
    assert rates[12] == pytest.approx(0.0)


def test_learnt_rows_may_judge_the_machinery(toy_params, tmp_path):
    """``validate_on: train`` needs no validation rows and scores exactly the rows that are learnt."""
    catalog = read_catalog(toy_params.source.catalog)
    write_catalog(Catalog(catalog.split("train").rows), tmp_path / "catalog.jsonl")
    source = toy_params.source.model_copy(update={"catalog": str(tmp_path / "catalog.jsonl")})
    params = toy_params.model_copy(update={"source": source})
    with pytest.raises(UserError, match="no val rows"):
        Trainer(params)
    train_params = toy_params.train.model_copy(update={"validate_on": "train"})
    trainer = Trainer(params.model_copy(update={"train": train_params}))
    assert trainer.validation.rows == trainer.plan.rows == catalog.split("train").rows
