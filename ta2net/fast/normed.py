"""Batch norm, an addition and a ReLU as one step, where that is faster than one after the other."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

_WIDE = 256
"""Values that keep a compiled loop over a row busy; rows of fewer channels are taken several at a time."""


class Layers(nn.Sequential):
    """``nn.Sequential`` in which a batch norm and the ReLU after it are one; the names of its state stay."""

    def forward(self, x: Tensor) -> Tensor:
        """As ``nn.Sequential``."""
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            if isinstance(layer, nn.BatchNorm2d):
                relu = bool(layers) and isinstance(layers[0], nn.ReLU)
                x = normed(layer, x, relu=relu)
                del layers[: int(relu)]
            else:
                x = layer(x)
        return x


def normed(norm: nn.Module, x: Tensor, beside: Tensor | None = None, *, relu: bool = True) -> Tensor:
    """``relu(norm(x) + beside)``, the end of a residual block, of two (B, C, h, w) that stay as they are.

    A plain batch norm that trains on a CPU in bfloat16, channels last, goes through ``ta2net.fast.kernels``.
    """
    if isinstance(norm, nn.BatchNorm2d) and has_kernels(norm, x, beside):
        return _trained(norm, x, beside, relu)
    # in place: a norm's backward pass needs its input, not its output
    out: Tensor = norm(x)
    if beside is not None:
        out = out.add_(beside)
    return out.relu_() if relu else out


def has_kernels(norm: nn.BatchNorm2d, x: Tensor, beside: Tensor | None = None) -> bool:
    """Whether ``normed`` goes through the compiled loops."""
    has_moments = norm.track_running_stats and norm.momentum is not None
    return (
        norm.training
        and norm.affine
        and has_moments
        and x.numel() > x.shape[1]  # torch refuses to take the variance of one value
        and all(
            each.device.type == "cpu"
            and each.dtype == torch.bfloat16
            and each.shape == x.shape
            and each.is_contiguous(memory_format=torch.channels_last)
            for each in (x, beside)
            if each is not None
        )
    )


def _trained(norm: nn.BatchNorm2d, x: Tensor, beside: Tensor | None, relu: bool) -> Tensor:
    """The same by the compiled loops; the running statistics follow as in torch's norm."""
    out: Tensor
    out, mean, variance = _Normed.apply(x, norm.weight, norm.bias, beside, norm.eps, relu)
    follow(norm, mean, variance, x.numel() // x.shape[1])
    return out


@torch.no_grad()
def follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor | int) -> None:
    """Let the running statistics of a norm follow a batch's: mean, biased variance, values per channel."""
    unbiased = variance * (count / (count - 1))
    for running, value in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        if running is not None and norm.momentum is not None:
            running.lerp_(value.to(running.dtype), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1


class _Normed(Function):
    """Normalise by the batch's own mean and variance (Ioffe & Szegedy, 2015), add, cut at 0; and back."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, beside: Tensor | None, eps: float, relu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x, beside (B, C, h, w) -> the result, mean (C,) and biased variance (C,), both float64."""
        kernels = _kernels()
        out = torch.empty_like(x)
        least = kernels.CUT_AT_ZERO if relu else kernels.NEVER_CUT
        of_channels = kernels.forward(
            _table(x),
            weight.detach().numpy(),
            bias.detach().numpy(),
            None if beside is None else _table(beside),
            eps,
            least,
            _table(out),
        )
        ctx.save_for_backward(x, bias, None if beside is None else out)
        ctx.of_channels, ctx.eps, ctx.least = of_channels, eps, least
        moments = torch.from_numpy(of_channels[0]), torch.from_numpy(of_channels[1])
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight, bias and beside."""
        kernels = _kernels()
        x, bias, out = ctx.saved_tensors
        of_x, of_beside = torch.empty_like(x), None if out is None else torch.empty_like(x)
        of_weights = kernels.backward(
            _table(grad.contiguous(memory_format=torch.channels_last)),
            _table(x),
            ctx.of_channels,
            bias.detach().numpy(),
            ctx.eps,
            ctx.least,
            None if out is None else _table(out),
            _table(of_x),
            None if of_beside is None else _table(of_beside),
        )
        of_weight, of_bias = torch.from_numpy(of_weights).to(bias.dtype)
        return of_x, of_weight, of_bias, of_beside, None, None


def _table(x: Tensor) -> np.ndarray:
    """(B, C, h, w) bfloat16, channels last -> the same memory as ``ta2net.fast.kernels`` want it."""
    columns, pixels = x.shape[1], x.numel() // x.shape[1]
    while columns < _WIDE and pixels % 2 == 0:
        columns, pixels = 2 * columns, pixels // 2
    return x.detach().permute(0, 2, 3, 1).reshape(pixels, columns).view(torch.uint16).numpy()


def _kernels() -> ModuleType:
    """``ta2net.fast.kernels`` for this thread; loaded when needed first, as Numba takes a second to load."""
    from ta2net.fast import kernels

    kernels.use_threads(torch.get_num_threads())
    return kernels
