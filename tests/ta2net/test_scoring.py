"""Scores of a video from its windows, plain and averaged with the mirrored ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.kinematics import valid_range
from pipeline.params import KinematicsParams
from pipeline.store import Window
from ta2net.hits.scoring import Scorer, mirrored_field, window_starts
from ta2net.model.ta2net import Output, TA2Net
from ta2net.params import ClipsParams, FusionParams, InferParams, ModelParams, Params, TrainParams
from ta2net.training.augmentation import mirrored

STEPS_PER_PX = 64.0
CPU = torch.device("cpu")


class Formula(nn.Module):
    """Stands for a network: simple functions of what it is shown, lopsided in x and aware of the window."""

    def __init__(self, *, offsets: bool):
        super().__init__()
        self.offsets = offsets

    def forward(self, frames, velocity, inflection, valid):
        x = frames.float()[:, :, 0] / 255
        left = x[..., 0].mean(-1)
        drift = velocity[:, :, 0, 0].mean((-2, -1)) + inflection[:, :, 1, 0, :, 0].mean(-1)
        place = torch.arange(valid.shape[1]) / 10 * valid
        score = left + drift + place
        logits = torch.stack((torch.zeros_like(score), score), dim=-1)
        offsets = (score - 1, 3 * score) if self.offsets else ()
        return Output((logits, 2 * logits), x * 0.5, x, x, offsets)


def literal(window, first, end, params, offsets):
    """Frame by frame in NumPy: the mean over all windows that show it, mirrored ones too."""
    n, size, stride = len(window.frames), params.clips.frames, params.infer.stride
    said = {name: [[] for _ in range(n)] for name in ("probability", "localization", "offset")}
    starts = [s for s in range(first, end, stride) if s == first or s - stride + size < end]
    for sign in (1, -1) if params.infer.flip_average else (1,):
        pictures = window.frames[..., ::sign].astype(float) / 255
        velocity = window.velocity[..., ::sign].astype(float) / STEPS_PER_PX
        inflection = window.inflection[..., ::sign].astype(float) / STEPS_PER_PX
        for start in starts:
            for t in range(start, min(start + size, end)):
                score = pictures[t, 0, :, 0].mean() + sign * velocity[t, 0, 0].mean()
                score += sign * inflection[t, 1, 0, :, 0].mean() + (t - start) / 10
                said["probability"][t].append(np.mean([1 / (1 + np.exp(-k * score)) for k in (1, 2)]))
                said["localization"][t].append(pictures[t, 0, :, ::sign] * 0.5)
                said["offset"][t].append((score - 1 + 3 * score) / 2)
    empty = {
        "probability": np.nan,
        "localization": np.full(window.frames.shape[2:], np.nan),
        "offset": np.nan,
    }
    result = {
        name: np.array([np.mean(v, axis=0) if v else empty[name] for v in values])
        for name, values in said.items()
    }
    return result if offsets else {**result, "offset": None}


def random_window(n, seed=0):
    rng = np.random.default_rng(seed)
    fields = rng.integers(-200, 200, (2, n, 2, 2, 4, 6)).astype(np.int16)
    frames = rng.integers(0, 256, (n, 3, 4, 6), dtype=np.uint8)
    return Window(frames, fields[0], fields[1], np.arange(n) / 25)


def reader(window):
    def read(start, stop):
        return Window(*(getattr(window, name)[start:stop] for name in window.__dataclass_fields__))

    return read


def params(*, flip, edges="hold", stride=5, **model):
    return Params(
        model=ModelParams(
            channels=4, fusion=FusionParams(channels=8, heads=2, similarity_channels=2, hidden=16, **model)
        ),
        kinematics=KinematicsParams(edges=edges),
        clips=ClipsParams(frames=8),
        train=TrainParams(precision="fp32"),
        infer=InferParams(stride=stride, batch=2, flip_average=flip),
    )


@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("n", "edges", "stride"), [(5, "hold", 5), (23, "hold", 5), (23, "trim", 3)])
def test_scores_are_the_literal_means(n, edges, stride, flip, offsets):
    chosen, window = params(flip=flip, edges=edges, stride=stride), random_window(n)
    scores = Scorer(Formula(offsets=offsets), chosen, CPU)(reader(window), n, STEPS_PER_PX)
    expected = literal(window, *valid_range(n, edges), chosen, offsets)
    np.testing.assert_allclose(scores.probability, expected["probability"], rtol=1e-5)
    np.testing.assert_allclose(scores.localization, expected["localization"], rtol=1e-5, atol=1e-6)
    if offsets:
        np.testing.assert_allclose(scores.offset, expected["offset"], rtol=1e-5, atol=1e-5)
        assert scores.offset.dtype == np.float64
    else:
        assert scores.offset is None


@given(length=st.integers(1, 200), window=st.integers(1, 64), stride=st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_frame_and_none_is_empty(length, window, stride):
    starts = window_starts(length, window, min(stride, window))
    covered = {t for s in starts for t in range(s, min(s + window, length))}
    assert covered == set(range(length))
    assert all(s < length for s in starts)


def test_mirrored_tensors_are_mirrored_arrays():
    field = random_window(3).velocity
    one = mirrored_field(torch.from_numpy(field).float())
    np.testing.assert_array_equal(one, mirrored(field))
    np.testing.assert_array_equal(mirrored_field(one), field)


@pytest.mark.parametrize("offset", [False, True])
def test_a_mirrored_video_has_the_same_averaged_scores(offset):
    """The true network, untrained: it says other things of the mirror image, but the mean is the same."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    chosen = params(flip=True, offset=offset)
    model = TA2Net(chosen.model, 8)
    video = Window(
        rng.integers(0, 256, (11, 3, 32, 32), dtype=np.uint8),
        *rng.integers(-300, 300, (2, 11, 2, 2, 32, 32)).astype(np.int16),
        np.arange(11) / 25,
    )
    fields = mirrored(video.velocity), mirrored(video.inflection)
    mirror = Window(video.frames[..., ::-1].copy(), *fields, video.time_s)
    one, other = (Scorer(model, chosen, CPU)(reader(x), 11, STEPS_PER_PX) for x in (video, mirror))
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-6)
    np.testing.assert_allclose(one.localization, other.localization[..., ::-1], atol=1e-6)
    assert (one.offset is not None) == offset
    if one.offset is not None:
        np.testing.assert_allclose(one.offset, other.offset, atol=1e-5)
    plain = Scorer(model, params(flip=False, offset=offset), CPU)
    apart = [plain(reader(x), 11, STEPS_PER_PX).probability for x in (video, mirror)]
    assert np.abs(apart[0] - apart[1]).max() > 1e-4
    np.testing.assert_allclose(np.mean(apart, axis=0), one.probability, atol=1e-6)
