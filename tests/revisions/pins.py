"""Some numbers of every part that has a revision, from inputs that never change.

They say whether a part still computes what it did when its revision was recorded. What it should compute,
other tests say.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.catalog import Row
from pipeline.flow.dis import Dis
from pipeline.flow.gmflow import Gmflow
from pipeline.flow.networks import NetworkEstimator, pairwise
from pipeline.flow.ptlflow_models import new_network
from pipeline.flow.resampling import resample_flow, resize_frames
from pipeline.kinematics import Coding, encode, inflection
from pipeline.video.decode import open_video
from pipeline.video.frames2kinematics import Frames2Kinematics
from ta2net.clips.rebuilding import rebuild_inflection
from ta2net.clips.sampler import ClipPlan
from ta2net.clips.targets import hard_labels, offset_labels, soft_labels
from ta2net.evaluation.threshold import LabelledScores, best_frame_threshold, sensitivity_points
from ta2net.fast import accelerate
from ta2net.hits.decoding import row_peaks
from ta2net.hits.scoring import make_scorer
from ta2net.methods.batch import Batch
from ta2net.methods.method import ClipShape
from ta2net.methods.rules import RULES
from ta2net.methods.ta2net import TA2NetMethod
from ta2net.methods.ta2net.params import FusionParams, LossParams, TA2NetParams
from ta2net.params import ClipsParams, InferParams, OptimParams, Params, PeaksParams, TrainParams
from ta2net.training.average import MovingAverage
from ta2net.training.optimizer import learning_rate, make_optimizer
from ta2net.training.processes import make_fabric
from ta2net.training.step import Step

CPU = torch.device("cpu")
SIZE, LENGTH = 32, 12
TINY = TA2NetParams(
    channels=8,
    fusion=FusionParams(channels=8, heads=2, similarity_channels=4, hidden=16),
    loss=LossParams(smoothness=0.1, contrast=0.1),
)


def noise(seed: int, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(shape)


def some(values: object, count: int = 24) -> NDArray[np.float64]:
    """Numbers at even places of an array, and its mean magnitude."""
    flat = np.asarray(values, np.float64).ravel()
    chosen = flat[np.linspace(0, flat.size - 1, min(count, flat.size)).astype(int)]
    return np.append(chosen, np.abs(flat).mean())


def moving_texture(frames: int, size: int) -> NDArray[np.uint8]:
    """Smooth blobs that drift by (2, 1) px a frame, uint8 RGB (n, size, size, 3)."""
    y, x = np.mgrid[:size, :size].astype(float)
    pictures = [
        128 + 60 * np.sin((x - 2 * t) / 5) * np.cos((y - t) / 4) + 50 * np.sin((x + y - 3 * t) / 9)
        for t in range(frames)
    ]
    return np.repeat(np.stack(pictures).clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)


def decoding() -> NDArray[np.float64]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 48
            stream.pix_fmt = "yuv420p"
            for picture in moving_texture(14, 48):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        video = open_video(path, "pyav", 5)
        frames = np.concatenate(list(video))
        # block means: the last bit of a codec may differ from one build of FFmpeg to the next
        blocks = frames.reshape(14, 4, 12, 4, 12, 3).mean(axis=(2, 4))
        return np.concatenate((some(blocks), video.info.times_s, [video.info.n_frames]))


def dis() -> NDArray[np.float64]:
    return some(Dis({}).estimate(moving_texture(4, 64)))


def gmflow() -> NDArray[np.float64]:
    network = new_network("gmflow").eval()
    filled(network, 0.05)
    return some(
        NetworkEstimator("gmflow", {}, CPU, "fp32", 2, Gmflow(network)).estimate(moving_texture(3, 64))
    )


def networks() -> NDArray[np.float64]:
    """How frames go into a network and flow comes out, whatever the network is."""

    def both_ways(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (other - one)[:, :2], (one - other)[:, :2]

    estimator = NetworkEstimator("any", {}, CPU, "fp32", 2, pairwise(both_ways))
    return some(estimator.estimate(moving_texture(5, 16)))


def resampling() -> NDArray[np.float64]:
    frames = (255 * noise(0, 2, 20, 30, 3)).astype(np.uint8)
    flow = (8 * noise(1, 2, 2, 2, 20, 30) - 4).astype(np.float32)
    sizes = ((10, 12), (33, 40), (10, 40))
    resized = [some(resize_frames(frames, size)) for size in sizes]
    return np.concatenate([*resized, *(some(resample_flow(flow, size)) for size in sizes)])


def kinematics() -> NDArray[np.float64]:
    coding = Coding.of("int16", 64)
    velocity, _ = encode((6 * noise(2, 9, 2, 2, 4, 5) - 3).astype(np.float32), coding)
    estimator = SimpleNamespace(name="fake", identity={}, estimate=lambda frames: drift(len(frames) - 1))
    made = list(Frames2Kinematics(estimator, (16, 16), (8, 8), coding)([moving_texture(7, 16)]))
    return np.concatenate(
        [some(velocity), some(inflection(velocity))]
        + [
            some(np.concatenate([getattr(chunk, name) for chunk in made]))
            for name in ("frames", "velocity", "inflection")
        ]
    )


def drift(pairs: int) -> NDArray[np.float32]:
    return (4 * noise(3, pairs, 2, 2, 16, 16) - 2).astype(np.float32)


def filled(network: torch.nn.Module, scale: float = 0.3) -> None:
    """Weights that depend on their names and shapes alone, not on PyTorch's random numbers."""
    with torch.no_grad():
        for number, (_, weight) in enumerate(sorted(network.named_parameters())):
            values = noise(100 + number, *weight.shape) - (0.5 if weight.ndim > 1 else -0.5)
            weight.copy_(torch.from_numpy(scale * values))


def clip_inputs(batch: int = 2) -> dict[str, torch.Tensor]:
    fields = (4 * noise(4, 2, batch, LENGTH, 2, 2, SIZE, SIZE) - 2).astype(np.float32)
    frames = (255 * noise(5, batch, LENGTH, 3, SIZE, SIZE)).astype(np.uint8)
    valid = torch.arange(LENGTH) < torch.tensor([[LENGTH], [LENGTH - 2]])[:batch]
    return {
        "frames": torch.from_numpy(frames),
        "velocity": torch.from_numpy(fields[0]),
        "inflection": torch.from_numpy(fields[1]),
        "valid": valid,
    }


def batch_of(inputs: dict[str, torch.Tensor]) -> Batch:
    labels = [(3, 8), (2, 6)]
    soft = np.stack([soft_labels(each, LENGTH, 2.0, 3) for each in labels])
    hard = np.stack([hard_labels(each, LENGTH) for each in labels])
    offset = np.stack([offset_labels(each, LENGTH) for each in labels])
    offset = np.where(np.abs(offset) <= 3, offset, np.inf).astype(np.float32)
    return Batch(
        frames=inputs["frames"],
        velocity=(64 * inputs["velocity"]).to(torch.int16),
        inflection=(64 * inputs["inflection"]).to(torch.int16),
        soft=torch.from_numpy(soft),
        hard=torch.from_numpy(hard),
        offset=torch.from_numpy(offset),
        events=torch.from_numpy(offset == 0),
        valid=inputs["valid"],
        known=inputs["valid"],
    )


def network_of(*, fast: bool) -> torch.nn.Module:
    network = TA2NetMethod().build(TINY, ClipShape(LENGTH, SIZE, SIZE))
    filled(network)
    return accelerate(network, CPU) if fast else network


def ta2net() -> NDArray[np.float64]:
    network, inputs = network_of(fast=False).train(), clip_inputs()
    output = network(**inputs)
    terms = TA2NetMethod().objective(TINY, batch_of(inputs))
    losses = [term.weight * term.mean(output) for term in terms.values()]
    said = TA2NetMethod().scores(output)
    with torch.no_grad():
        return np.concatenate(
            [
                [float(x) for x in losses],
                *(some(x) for x in (said.probability, said.localization, said.offset)),
            ]
        )


def rules() -> NDArray[np.float64]:
    shown = SimpleNamespace(
        frames=np.zeros((20, 3, 4, 4), np.uint8),
        velocity=(256 * noise(6, 20, 2, 2, 4, 4) - 128).astype(np.int16),
        inflection=(256 * noise(7, 20, 2, 2, 4, 4) - 128).astype(np.int16),
    )
    return np.concatenate([some(rule.curve(rule.measure(shown, 64.0))) for rule in RULES.values()])


def fast() -> NDArray[np.float64]:
    network, inputs = network_of(fast=True).train(), clip_inputs()
    output = network(**inputs)
    output.probability.sum().backward()
    gradients = [x.grad for x in network.parameters() if x.grad is not None]
    return np.concatenate([some(output.probability.detach()), *(some(x, 2) for x in gradients[:12])])


def clips() -> NDArray[np.float64]:
    rows = tuple(
        Row(
            f"r{k}",
            "pin",
            "v",
            "g",
            "v.mp4",
            "train",
            "",
            (9, 20, 33),
            None,
            ((0, 40),),
            Fraction(25),
            40,
            "",
        )
        for k in range(5)
    )
    plan = ClipPlan(rows, Params(clips=ClipsParams(frames=16, batch=3), infer=InferParams(stride=16)))
    drawn = [
        (int(c.row.row_id[1:]), c.start, c.flipped, c.backwards) for s in range(4) for c in plan.clips(s)
    ]
    velocity = torch.from_numpy((256 * noise(8, 9, 2, 2, 3, 3) - 128).astype(np.int16))
    rebuilt = torch.empty_like(velocity)
    rebuild_inflection(velocity, 0, 0, 9, rebuilt, small=True)
    labels = [soft_labels((4, 7), 12, 2.0, 3), hard_labels((4, 7), 12, 1), offset_labels((4, 7), 12)]
    return np.concatenate([np.ravel(drawn), some(rebuilt), *map(some, labels)])


def training() -> NDArray[np.float64]:
    params = Params(
        method=TINY,
        clips=ClipsParams(frames=LENGTH, batch=2),
        infer=InferParams(stride=LENGTH),
        optim=OptimParams(warmup_steps=2, accumulate=2),
        train=TrainParams(precision="fp32", device="cpu", steps=6),
    )
    network = network_of(fast=False)
    average = MovingAverage(network, 0.9)
    step = Step(
        make_fabric(params.train),
        TA2NetMethod(),
        network,
        make_optimizer(network, params.optim),
        params,
        64.0,
    )
    totals = []
    for number in range(3):
        totals.append(float(step(batch_of(clip_inputs()), learning_rate(number, 6, params.optim))["total"]))
        average.update(network)
    weights = [some(x.detach(), 2) for x in list(average.model.parameters())[:8]]
    return np.concatenate([totals, [learning_rate(n, 6, params.optim) for n in range(7)], *weights])


def scores() -> NDArray[np.float64]:
    """A film of noise with humps, (n,)."""
    t = np.arange(60.0)
    return np.clip(
        sum(np.exp(-((t - c) ** 2) / 4) for c in (0, 11, 25, 40, 43, 58)) * 0.8 + 0.1 * noise(9, 60), 0, 1
    )


def hits() -> NDArray[np.float64]:
    offset = 3 * noise(10, 60) - 1.5
    peaks = [row_peaks(scores(), PeaksParams()), row_peaks(scores(), PeaksParams(), offset)]
    params = Params(
        method=TINY,
        clips=ClipsParams(frames=LENGTH),
        infer=InferParams(stride=5, flip_average=True),
        train=TrainParams(precision="fp32"),
    )
    fields = (256 * noise(11, 2, 17, 2, 2, SIZE, SIZE) - 128).astype(np.int16)
    frames = (255 * noise(12, 17, 3, SIZE, SIZE)).astype(np.uint8)

    def read(start: int, stop: int) -> SimpleNamespace:
        part = slice(start, stop)
        return SimpleNamespace(frames=frames[part], velocity=fields[0, part], inflection=fields[1, part])

    said = make_scorer(network_of(fast=False), params, CPU)(read, 17, 64.0)
    found = [np.concatenate((each.frames, each.heights)) for each in peaks]
    return np.concatenate([*found, said.probability, said.offset, some(said.localization)])


def thresholds() -> NDArray[np.float64]:
    videos = [
        LabelledScores(scores(), (11, 25, 41)),
        LabelledScores(np.roll(scores(), 5), (16, 30, 46, 48), ((0, 50),)),
    ]
    points = sensitivity_points(videos, PeaksParams()).values()
    values = [(p.threshold, p.recall, p.precision, p.f1) for p in points]
    return np.append(np.ravel(values), best_frame_threshold(videos))


PINS: dict[str, Callable[[], NDArray[np.float64]]] = {
    function.__name__: function
    for function in (
        *(decoding, dis, gmflow, networks, resampling, kinematics),
        *(ta2net, rules, fast, clips, training, hits, thresholds),
    )
}
"""By the names of the parts in ``pipeline.revisions`` and ``ta2net.training.identity``."""
