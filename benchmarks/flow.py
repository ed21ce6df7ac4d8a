"""GMFlow in one pass for both directions against ptlflow's own forward, a pair and a direction at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Ratio, Scale, compared, matmul_flops, middle, seconds_per_unit
from pipeline.device import chosen_device, has_fast_bf16
from pipeline.flow.gmflow import Gmflow
from pipeline.flow.networks import NetworkEstimator
from pipeline.flow.ptlflow_models import new_network
from pipeline.params import DecodeParams

SIZES = {"gmflow_128": (128, 128), "gmflow_224": (224, 224), "gmflow_256x320": (256, 320)}


def ratios(scale: Scale) -> Iterator[Ratio]:
    """Pairs per second, ours to theirs, in float32 and bfloat16; theirs is float32, as ptlflow runs it.

    Our way is given as many pairs as a build gives at a time, the other way an eighth of them.
    """
    pairs, rounds, where = (
        (2 if scale.quick else DecodeParams().chunk_frames),
        scale.rounds,
        chosen_device(scale.device),
    )
    torch.manual_seed(0)  # any weights take the same time
    network = new_network("gmflow").eval().to(where)
    for name, size in SIZES.items():
        frames = _frames(pairs + 1, (64, 64) if scale.quick else size)
        flops = flops_per_pair(network, frames, where)
        for precision, dtype in precisions(where):
            engine = NetworkEstimator("gmflow", {}, where, precision, 8, Gmflow(network))

            def ours(engine: NetworkEstimator = engine, frames: Any = frames) -> float:
                return float(len(engine.estimate(frames)))

            def theirs(frames: Any = frames) -> float:
                return _pair_by_pair(network, frames[: 1 + max(1, pairs // 8)], where)

            yield compared(
                f"flow.{name}.{precision}_vs_naive", ours, theirs, "ptlflow's forward, pair by pair", rounds
            )
            of_rounds = [
                (matmul_flops(where, dtype) / flops, 1 / seconds_per_unit(ours)) for _ in range(rounds)
            ]
            words = f"multiplying alone; {median(rate for _, rate in of_rounds):.3g} pairs/s"
            yield middle(
                f"flow.{name}.{precision}_vs_flop_bound", words, [rate / most for most, rate in of_rounds]
            )


def precisions(device: torch.device) -> list[tuple[str, torch.dtype]]:
    """Those that a build may choose; where bfloat16 is emulated, one product would take minutes."""
    both = [("fp32", torch.float32), ("bf16", torch.bfloat16)]
    return both if has_fast_bf16(device.type) else both[:1]


def flops_per_pair(network: Any, frames: np.ndarray[Any, Any], device: torch.device) -> float:
    """Of both directions of a pair, in one pass; convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        NetworkEstimator("gmflow", {}, device, "fp32", 8, Gmflow(network)).estimate(frames)
    return float(counter.get_total_flops()) / (len(frames) - 1)


def _pair_by_pair(network: Any, frames: np.ndarray[Any, Any], device: torch.device) -> float:
    """What ptlflow's inference script does, once per direction; the number of pairs."""
    with torch.inference_mode():
        for first, second in pairwise(frames):
            for pair in ((first, second), (second, first)):
                images = torch.from_numpy(np.stack(pair)).to(device).permute(0, 3, 1, 2).flip(1).float() / 255
                network({"images": images[None]})["flows"].cpu()
    return float(len(frames) - 1)


def _frames(count: int, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A texture that drifts by (3, 2) px a frame: (count, h, w, 3) uint8."""
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 4 + count, width // 4 + count, 3), np.uint8)
    picture = cv2.resize(noise, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    return np.stack([picture[2 * t : 2 * t + height, 3 * t : 3 * t + width] for t in range(count)])
