"""The fusion head's convolution over time with fewer products."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ta2net.methods.ta2net.fusion import FramesConv


class WinogradFramesConv(FramesConv):
    """``FramesConv`` with two thirds of its products.

    Two frames ``reach`` apart share two of the three that each is made of, and over time four 3x3
    convolutions of sums and differences do for both what would take six (Winograd's F(2, 3), Lavin & Gray,
    2016). The weights lie in memory one moment after the other, each as a 3x3 convolution wants it: laying
    them so for every step took as long as a twentieth of it.
    """

    def lay_out(self) -> None:
        """Put the weights into this order in memory; before an optimiser sees them."""
        by_moment = self.weight.detach().permute(2, 0, 3, 4, 1).contiguous()
        self.weight.data = by_moment.permute(1, 4, 0, 2, 3)

    def forward(self, clips: Tensor) -> Tensor:
        """See ``FramesConv``."""
        batch, length = clips.shape[:2]
        reach = self.dilation[0]
        pairs = -(-length // (2 * reach))
        after = (2 * pairs + 1) * reach - length
        pixels = F.pad(clips.permute(0, 1, 3, 4, 2), (0, 0, 0, 0, 0, 0, reach, after))
        runs = pixels.unflatten(1, (pairs + 1, 2, reach))
        first, plus, minus, last = (
            F.conv2d(pictures.flatten(0, 2).permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)
            for pictures, weight in zip(
                _MixedFrames.apply(runs), _MixedWeights.apply(self.weight), strict=True
            )
        )
        both = torch.stack((first + plus + minus, plus - minus - last), dim=1)
        frames = both.unflatten(0, (batch, pairs, reach)).transpose(2, 3).flatten(1, 3)
        return frames[:, :length].flatten(0, 1).permute(0, 3, 1, 2)


class _MixedFrames(Function):
    """Runs of ``reach`` frames, two in a pair -> the pictures of the four convolutions."""

    @staticmethod
    def forward(_: Any, runs: Tensor) -> tuple[Tensor, ...]:
        """(B, pairs + 1, 2, reach, h, w, C) -> four of (B, pairs, reach, h, w, C)."""
        (a, c), (b, d) = ((run[:, :-1], run[:, 1:]) for run in runs.unbind(2))
        return a - c, b + c, c - b, b - d

    @staticmethod
    @once_differentiable
    def backward(_: Any, *grads: Tensor) -> Tensor:
        """The gradients of the four -> that of the runs."""
        first, plus, minus, last = grads
        batch, pairs, *rest = first.shape
        of_runs = first.new_empty(batch, pairs + 1, 2, *rest)
        of_first, of_second = of_runs.unbind(2)
        of_first[:, :-1], of_first[:, -1] = first, 0
        of_second[:, :-1], of_second[:, -1] = plus - minus + last, 0
        of_first[:, 1:] += plus + minus - first
        of_second[:, 1:] -= last
        return of_runs


class _MixedWeights(Function):
    """Weights of the three moments -> those of the four convolutions; the gradient in the same layout."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> tuple[Tensor, ...]:
        """(K, C, 3, 3, 3) -> four of (K, C, 3, 3)."""
        ctx.like = weight
        before, now, later = weight.unbind(2)
        outer = before + later
        return before.clone(), (outer + now) / 2, (outer - now) / 2, later.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Four of (K, C, 3, 3) -> (K, C, 3, 3, 3)."""
        first, plus, minus, last = grads
        of_weight = torch.empty_like(ctx.like)
        outer = (plus + minus) / 2
        for moment, value in enumerate((first + outer, (plus - minus) / 2, outer + last)):
            of_weight[:, :, moment] = value
        return of_weight
