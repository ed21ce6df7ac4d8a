"""How large a network is: parameters and arithmetic of each of its parts, without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from ta2net.methods.ta2net.network import TA2Net
from ta2net.params import ModelParams

BACKWARD_OVER_FORWARD = 2
"""The backward pass multiplies twice for every product of the forward pass: by inputs and by weights."""

PARTS = {
    "encode_frames": "frame encoder E_X",
    "encode_velocity": "velocity encoder E_M",
    "encode_inflection": "inflection encoder E_C",
    "aggregate": "aggregation",
    "localize": "localisation (where)",
    "fuse": "fusion head (when)",
}


@dataclass(frozen=True)
class PartSize:
    """One part of the network.

    Attributes:
        name: in words.
        parameters: learnt numbers.
        flops: of one clip's forward pass; a multiplication and its addition count as two. Convolutions and
            matrix products only: norms, activations and means are bound by memory, not by arithmetic.
    """

    name: str
    parameters: int
    flops: int


def part_sizes(params: ModelParams, frames: int, size: tuple[int, int]) -> list[PartSize]:
    """The parts in the order of the forward pass, for one clip of ``frames`` frames of ``size`` = (h, w)."""
    height, width = size
    with torch.device("meta"):
        # weights are not looked at: no file of pretrained ones is needed
        model = TA2Net(params.model_copy(update={"pretrained": "none"}), frames)
        clip = (
            torch.empty(1, frames, 3, height, width, dtype=torch.uint8),
            torch.empty(1, frames, 2, 2, height, width),
            torch.empty(1, frames, 2, 2, height, width),
            torch.empty(1, frames, dtype=torch.bool),
        )
        with FlopCounterMode(display=False) as counter:
            model(*clip)
    counts = {name: sum(each.values()) for name, each in counter.get_flop_counts().items()}
    return [
        PartSize(
            words,
            sum(parameter.numel() for parameter in getattr(model, name).parameters()),
            counts.get(f"TA2Net.{name}", 0),
        )
        for name, words in PARTS.items()
        if getattr(model, name) is not None
    ]


def table(parts: list[PartSize], batch: int) -> str:
    """The parts and their sum as text; the last line is one optimisation step of ``batch`` clips."""
    whole = PartSize("all", sum(p.parameters for p in parts), sum(p.flops for p in parts))
    lines = [f"{'part':<26}{'parameters':>14}{'GFLOP per clip':>17}"]
    lines += [f"{p.name:<26}{p.parameters:>14,}{p.flops / 1e9:>17.3f}" for p in (*parts, whole)]
    step = whole.flops * batch * (1 + BACKWARD_OVER_FORWARD)
    lines.append(f"one training step of {batch} clips, forward and backward: {step / 1e12:.3f} TFLOP")
    return "\n".join(lines)
