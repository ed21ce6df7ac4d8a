"""Scores of a video from its windows, plain and averaged with the mirrored ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.kinematics import valid_range
from pipeline.params import KinematicsParams
from pipeline.store import Window
from ta2net.hits.scoring import make_scorer
from ta2net.methods.batch import mirrored
from ta2net.methods.ta2net.network import Output, TA2Net
from ta2net.methods.ta2net.params import FusionParams, TA2NetParams
from ta2net.params import ClipsParams, InferParams, Params, TrainParams

STEPS_PER_PX = 64.0
CPU = torch.device("cpu")


class Formula(nn.Module):
    """Stands for a network: simple functions of what it sees, lopsided in x, and of the place."""

    def __init__(self, *, offsets: bool):
        super().__init__()
        self.offsets = offsets

    def look(self, frames, velocity, inflection):
        x = frames.float()[:, :1] / 255
        left = x[:, 0, :, 0].mean(-1)
        drift = velocity[:, 0, 0].mean((-2, -1)) + inflection[:, 1, 0, :, 0].mean(-1)
        self.looked = getattr(self, "looked", 0) + len(frames)
        return (left + drift).view(-1, 1, 1, 1), x * 0.5

    def judge(self, aggregated, half, *, valid):
        place = torch.arange(valid.shape[1]) / 10 * valid
        score = aggregated[..., 0, 0, 0] + place
        logits = torch.stack((torch.zeros_like(score), score), dim=-1)
        offsets = (score - 1, 3 * score) if self.offsets else ()
        return Output((logits, 2 * logits), half.squeeze(2), offsets, score, score)


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
        method=TA2NetParams(
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
    scores = make_scorer(Formula(offsets=offsets), chosen, CPU)(reader(window), n, STEPS_PER_PX)
    expected = literal(window, *valid_range(n, edges), chosen, offsets)
    np.testing.assert_allclose(scores.probability, expected["probability"], rtol=1e-5)
    np.testing.assert_allclose(scores.localization, expected["localization"], rtol=1e-5, atol=1e-6)
    if offsets:
        np.testing.assert_allclose(scores.offset, expected["offset"], rtol=1e-5, atol=1e-5)
        assert scores.offset.dtype == np.float64
    else:
        assert scores.offset is None


@pytest.mark.parametrize("edges", ["hold", "trim"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("n", "stride", "piece"), [(5, 5, 5), (23, 5, 4), (23, 8, 1), (24, 8, 33), (40, 3, 7)]
)
def test_a_stream_scores_as_a_row_and_looks_at_every_frame_once(n, stride, piece, flip, edges):
    chosen, window = params(flip=flip, edges=edges, stride=stride), random_window(n)
    network = Formula(offsets=True)
    scorer = make_scorer(network, chosen, CPU)
    read = reader(window)
    chunks = (read(start, min(start + piece, n)) for start in range(0, n, piece))
    streamed = scorer.of_stream(chunks, STEPS_PER_PX)
    first, end = valid_range(n, edges)
    assert network.looked == (end - first) * (1 + flip)
    whole = scorer(read, n, STEPS_PER_PX)
    for name in ("probability", "localization", "offset"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name), rtol=1e-5, atol=1e-6)


def test_the_true_network_seen_once_scores_as_window_by_window():
    """``look`` and ``judge`` apart, against ``forward`` on whole windows, as training calls it."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    chosen = params(flip=False, stride=4, offset=True)
    model = TA2Net(chosen.method, 8).eval()
    fields = rng.integers(-300, 300, (2, 19, 2, 2, 32, 32)).astype(np.int16)
    video = Window(rng.integers(0, 256, (19, 3, 32, 32), dtype=np.uint8), *fields, np.arange(19) / 25)
    scores = make_scorer(model, chosen, CPU)(reader(video), 19, STEPS_PER_PX)
    total, support = np.zeros((2, 19)), np.zeros(19)
    for start in (0, 4, 8, 12):
        stop = min(start + 8, 19)
        clip = [
            torch.from_numpy(x[start:stop])[None] for x in (video.frames, video.velocity, video.inflection)
        ]
        with torch.inference_mode():
            real = torch.ones(1, stop - start, dtype=torch.bool)
            said = model(clip[0], clip[1].float() / STEPS_PER_PX, clip[2].float() / STEPS_PER_PX, real)
        total[0, start:stop] += said.probability[0].numpy()
        total[1, start:stop] += torch.stack(said.offsets).mean(dim=0)[0].numpy()
        support[start:stop] += 1
        maps = scores.localization[start:stop]
        np.testing.assert_allclose(maps, said.localization[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(scores.probability, total[0] / support, atol=1e-6)
    np.testing.assert_allclose(scores.offset, total[1] / support, atol=1e-5)


@pytest.mark.parametrize("offset", [False, True])
def test_a_mirrored_video_has_the_same_averaged_scores(offset):
    """The true network, untrained: it says other things of the mirror image, but the mean is the same."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    chosen = params(flip=True, offset=offset)
    model = TA2Net(chosen.method, 8)
    video = Window(
        rng.integers(0, 256, (11, 3, 32, 32), dtype=np.uint8),
        *rng.integers(-300, 300, (2, 11, 2, 2, 32, 32)).astype(np.int16),
        np.arange(11) / 25,
    )
    fields = (mirrored(torch.from_numpy(x)).numpy() for x in (video.velocity, video.inflection))
    mirror = Window(video.frames[..., ::-1].copy(), *fields, video.time_s)
    one, other = (make_scorer(model, chosen, CPU)(reader(x), 11, STEPS_PER_PX) for x in (video, mirror))
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-6)
    np.testing.assert_allclose(one.localization, other.localization[..., ::-1], atol=1e-6)
    assert (one.offset is not None) == offset
    if one.offset is not None:
        np.testing.assert_allclose(one.offset, other.offset, atol=1e-5)
    plain = make_scorer(model, params(flip=False, offset=offset), CPU)
    apart = [plain(reader(x), 11, STEPS_PER_PX).probability for x in (video, mirror)]
    assert np.abs(apart[0] - apart[1]).max() > 1e-4
    np.testing.assert_allclose(np.mean(apart, axis=0), one.probability, atol=1e-6)
