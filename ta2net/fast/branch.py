"""Where a residual block begins: its input goes through a 1x1 convolution and past it, to the shortcut."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ta2net.fast.normed import has_kernels


def branched(convolution: nn.Conv2d, x: Tensor, step: int, last_norm: nn.Module) -> tuple[Tensor, Tensor]:
    """(B, C, h, w) -> through a 1x1 convolution; and every ``step``-th pixel of every ``step``-th row.

    Args:
        last_norm: with which the block ends, where what went past is added.
    """
    # by its kernels the gradient that comes past is this block's alone, and free to be added to
    if torch.is_grad_enabled() and isinstance(last_norm, nn.BatchNorm2d) and has_kernels(last_norm, x):
        through, past = _Branched.apply(x, convolution.weight.to(x.dtype), step)
        return through, past
    return convolution(x), every(step, x)


def every(step: int, x: Tensor) -> Tensor:
    """Every ``step``-th pixel of every ``step``-th row of (B, C, h, w), whose gradient is channels last."""
    return x if step == 1 else x.permute(0, 2, 3, 1)[:, ::step, ::step].permute(0, 3, 1, 2)


class _Branched(Function):
    """Both ways at once, so that back both gradients become one while the product of one of them is written.

    PyTorch writes the product, and goes through it and the other gradient once more for their sum.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """x (B, C, h, w) channels last, weight (D, C, 1, 1) -> (B, D, h, w) and every ``step``-th pixel."""
        ctx.save_for_backward(x, weight)
        ctx.step = step
        return F.conv2d(x, weight), every(step, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, through: Tensor, past: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients of x and weight; that of x takes the place of ``past`` where it is as large."""
        x, weight = ctx.saved_tensors
        through = through.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = None
        if ctx.needs_input_grad[1]:  # a matrix product is no faster here
            _, of_weight, _ = torch.ops.aten.convolution_backward(
                through, x, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (False, True, False)
            )
        if ctx.needs_input_grad[0]:
            matrix = weight.flatten(1)
            if ctx.step == 1:
                of_x = past.contiguous(memory_format=torch.channels_last)
                _rows(of_x).addmm_(_rows(through), matrix)
            else:
                of_x = torch.empty_like(x)
                torch.mm(_rows(through), matrix, out=_rows(of_x))
                every(ctx.step, of_x).add_(past)
        return of_x, of_weight, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) channels last -> the same memory as a row per pixel."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])
