"""What the loader makes of the store with the recipe's extras, and without them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from pipeline.catalog import read_catalog
from pipeline.store import FlowStore
from ta2net.clips.loader import ClipLoader
from ta2net.clips.sampler import ClipPlan
from ta2net.methods.batch import Batch


def changed(params, section, **entries):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=entries)})


@pytest.fixture
def rows(toy_params):
    """Train rows, their last frames unknown."""
    rows = read_catalog(toy_params.source.catalog).split("train").rows
    return tuple(replace(row, annotated=((0, 33),)) for row in rows)


def loader(rows, params):
    return ClipLoader(rows, FlowStore(params.store.path), params)


def same(one, other, names):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def test_the_extras_leave_the_draw_of_clips_alone(toy_params, rows):
    """Recorded before there were extras: a pinned result stays what it is."""
    rows = tuple(replace(row, annotated=((0, row.n_frames),)) for row in rows)
    recorded = [(2, 11, True, True), (4, 4, False, False), (3, 2, False, False), (0, 15, True, False)]
    for jitter, mixup in ((0.0, 0.0), (1.0, 0.0), (0.0, 0.2), (0.5, 1.0)):
        params = changed(toy_params, "clips", jitter=jitter, mixup=mixup)
        drawn = ClipPlan(rows, params).clips(5)
        assert [
            (int(c.row.row_id.removeprefix("train_")), c.start, c.flipped, c.backwards) for c in drawn
        ] == recorded


@pytest.mark.parametrize("dilation", [0, 2])
def test_labels_follow_their_frames(toy_params, rows, dilation):
    """Frame by frame: the original frame shown at each place, its distance to the hits as they are shown."""
    params = changed(changed(toy_params, "targets", dilation_frames=dilation), "clips", frames=30)
    clips = loader(rows, params)
    backwards = 0
    for step in range(4):
        batch = clips.batch(step)
        for i, clip in enumerate(clips.plan.clips(step)):
            direction = -1 if clip.backwards else 1
            backwards += clip.backwards
            for place in range(30):
                t = clip.stop - 1 - place if clip.backwards else clip.start + place
                distances = sorted((abs(hit - t), direction * (hit - t)) for hit in clip.row.labels)
                nearest, shown = distances[0]
                assert batch.offset[i, place] == (shown if nearest <= 3 else np.inf)
                assert batch.events[i, place] == (nearest == 0)
                assert batch.hard[i, place] == (nearest <= dilation)
                bell = np.exp(-(nearest**2) / 8) if nearest <= 3 else 0.0
                assert batch.soft[i, place] == pytest.approx(bell)
                assert batch.known[i, place] == (t < 33)
    assert 0 < backwards < 16


def test_frames_between_spans_are_unknown(toy_params, rows):
    """Forwards and backwards; a clip holds a label that is known, if its row has one."""
    rows = tuple(replace(row, annotated=((0, 12), (20, 25))) for row in rows)
    clips = loader(rows, changed(toy_params, "clips", frames=16))
    backwards = 0
    for step in range(6):
        batch = clips.batch(step)
        for i, clip in enumerate(clips.plan.clips(step)):
            backwards += clip.backwards
            frames = range(clip.start, clip.stop)
            shown = [t < 12 or 20 <= t < 25 for t in frames]
            assert batch.known[i].tolist() == (shown[::-1] if clip.backwards else shown)
            known = [t for t in clip.row.labels if t < 12 or 20 <= t < 25]
            assert not known or set(known) & set(frames)
    assert 0 < backwards < 24


def test_a_row_without_hits_and_padding(toy_params, rows):
    silent = tuple(replace(row, labels=()) for row in rows)
    batch = loader(silent, changed(toy_params, "clips", frames=64)).batch(0)
    assert torch.all(batch.offset[:, :40] == torch.inf)
    assert torch.all(batch.offset[:, 40:] == 0)
    assert not batch.known[:, 40:].any()


def test_jitter_changes_frames_only(toy_params, rows):
    plain = loader(rows, toy_params)
    jittered = loader(rows, changed(toy_params, "clips", jitter=0.8))
    for step in (0, 3):
        one, other = plain.batch(step), jittered.batch(step)
        assert same(one, other, [f.name for f in fields(Batch) if f.name != "frames"])
        for i, jitter in enumerate(jittered.plan.jitters(step)):
            assert torch.equal(other.frames[i], jitter(one.frames[i]))
            assert not torch.equal(other.frames[i], one.frames[i])


def test_mixup_blends_the_batch(toy_params, rows):
    plain, blended = loader(rows, toy_params), loader(rows, changed(toy_params, "clips", mixup=0.3))
    expected = blended.plan.mixup(2)(plain.batch(2))
    assert same(blended.batch(2), expected, [f.name for f in fields(Batch)])
    assert not torch.equal(expected.frames, plain.batch(2).frames)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_that_stops_draws_the_same_again(toy_params, rows, threads):
    """The batch of a step depends on (seed, step) alone: not on where a run begins, nor on its threads."""
    params = changed(toy_params, "clips", jitter=1.0, mixup=0.2, loader_threads=threads)
    whole = list(loader(rows, params).batches(0, 5))
    rest = list(loader(rows, params).batches(3, 5))
    names = [f.name for f in fields(Batch)]
    assert all(same(one, other, names) for one, other in zip(whole[3:], rest, strict=True))
    other_seed = loader(rows, changed(params, "train", seed=1)).plan
    assert other_seed.jitters(3) != ClipPlan(rows, params).jitters(3) != ClipPlan(rows, params).jitters(4)
    assert other_seed.mixup(3) != ClipPlan(rows, params).mixup(3) != ClipPlan(rows, params).mixup(4)
