"""The optimiser's parameter groups and the schedule of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ta2net.params import OptimParams


def parameter_groups(
    model: nn.Module, params: OptimParams, pretrained: Iterable[nn.Parameter]
) -> list[dict[str, Any]]:
    """One group per learning rate: layers with pretrained weights or from scratch, weights or biases.

    Weight decay is for matrices and filters only, not for biases and norms.
    """
    slow = {id(parameter) for parameter in pretrained}
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        scale = 1.0 if id(parameter) in slow else params.scratch_lr_scale
        if name.endswith("bias"):
            scale *= params.bias_lr_scale
        decays = parameter.ndim > 1
        group = groups.setdefault(
            (scale, decays),
            {"params": [], "lr_scale": scale, "weight_decay": params.weight_decay if decays else 0.0},
        )
        group["params"].append(parameter)
    return list(groups.values())


def make_optimizer(
    model: nn.Module, params: OptimParams, pretrained: Iterable[nn.Parameter] = ()
) -> Optimizer:
    """Adam or AdamW over ``parameter_groups``; ``set_learning_rate`` gives the groups their rates.

    Fused: all that one step does to a parameter happens in one pass over it, on a CPU as on a GPU.
    """
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[params.name]
    return kind(parameter_groups(model, params, pretrained), lr=params.lr, fused=True)


def learning_rate(step: int, steps: int, params: OptimParams) -> float:
    """The rate of step ``step`` of ``steps``: linear warm-up, then constant or half a cosine down to 0."""
    if step < params.warmup_steps:
        return params.lr * (step + 1) / params.warmup_steps
    if params.schedule == "constant":
        return params.lr
    progress = (step - params.warmup_steps) / max(1, steps - params.warmup_steps)
    return params.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group the rate times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
