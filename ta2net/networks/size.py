"""How large a network is: parameters and arithmetic of each of its parts, without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from ta2net.fast import accelerate
from ta2net.methods.method import NetworkMethod, method_of
from ta2net.networks.checkpoint import clip_shape
from ta2net.params import Params

BACKWARD_OVER_FORWARD = 2
"""The backward pass multiplies twice for every product of the forward pass: by inputs and by weights."""


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


def part_sizes(params: Params, *, accelerated: bool = False) -> list[PartSize]:
    """The parts of a method's network in the order of the forward pass, for one clip; none for a rule.

    Args:
        accelerated: count what a CPU computes, which takes fewer products for the same numbers.
    """
    method, (height, width), frames = method_of(params.method), params.store.size, params.clips.frames
    if not isinstance(method, NetworkMethod):
        return []
    with torch.device("meta"):
        # weights are not looked at: no file of pretrained ones is needed
        network = method.build(method.without_weights(params.method), clip_shape(params))
        if accelerated:
            accelerate(network, torch.device("cpu"))
        clip = {
            "frames": torch.empty(1, frames, 3, height, width, dtype=torch.uint8),
            "velocity": torch.empty(1, frames, 2, 2, height, width),
            "inflection": torch.empty(1, frames, 2, 2, height, width),
        }
        reads = {name: clip[name] for name in method.reads(params.method)}
        with FlopCounterMode(display=False) as counter:
            network(**reads, valid=torch.empty(1, frames, dtype=torch.bool))
    counts = {name: sum(each.values()) for name, each in counter.get_flop_counts().items()}
    return [
        PartSize(
            method.parts.get(name, name),
            sum(parameter.numel() for parameter in part.parameters()),
            counts.get(f"{type(network).__name__}.{name}", 0),
        )
        for name, part in network.named_children()
    ]


def table(parts: list[PartSize], batch: int) -> str:
    """The parts and their sum as text; the last line is one optimisation step of ``batch`` clips."""
    whole = PartSize("all", sum(p.parameters for p in parts), sum(p.flops for p in parts))
    lines = [f"{'part':<26}{'parameters':>14}{'GFLOP per clip':>17}"]
    lines += [f"{p.name:<26}{p.parameters:>14,}{p.flops / 1e9:>17.3f}" for p in (*parts, whole)]
    step = whole.flops * batch * (1 + BACKWARD_OVER_FORWARD)
    lines.append(f"one training step of {batch} clips, forward and backward: {step / 1e12:.3f} TFLOP")
    return "\n".join(lines)
