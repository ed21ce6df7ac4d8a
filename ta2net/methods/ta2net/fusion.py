"""When: the spatio-temporal fusion head (section 4.3)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ta2net.fast.normed import Layers
from ta2net.params import FusionParams

TEMPORAL_DILATION = 3


class FramesConv(nn.Conv3d):
    """A 3x3x3 convolution, dilated in time, of every frame: (B, T, C, h, w) -> (B T, channels, h, w).

    Two frames ``reach`` apart share two of the three that each is made of, and over time four 3x3
    convolutions of sums and differences do for both what would take six (Winograd's F(2, 3), Lavin & Gray,
    2016). The weights lie in memory one moment after the other, each as a 3x3 convolution wants it: laying
    them so for every step took as long as a twentieth of it.
    """

    def __init__(self, inside: int, outside: int, reach: int) -> None:
        super().__init__(inside, outside, 3, padding=(reach, 1, 1), dilation=(reach, 1, 1), bias=False)
        self.reach = reach
        by_moment = self.weight.detach().permute(2, 0, 3, 4, 1).contiguous()
        self.weight = nn.Parameter(by_moment.permute(1, 4, 0, 2, 3))

    def forward(self, clips: Tensor) -> Tensor:
        """See the class."""
        batch, length = clips.shape[:2]
        pairs = -(-length // (2 * self.reach))
        after = (2 * pairs + 1) * self.reach - length
        pixels = F.pad(clips.permute(0, 1, 3, 4, 2), (0, 0, 0, 0, 0, 0, self.reach, after))
        runs = pixels.unflatten(1, (pairs + 1, 2, self.reach))
        first, plus, minus, last = (
            F.conv2d(pictures.flatten(0, 2).permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)
            for pictures, weight in zip(
                _MixedFrames.apply(runs), _MixedWeights.apply(self.weight), strict=True
            )
        )
        both = torch.stack((first + plus + minus, plus - minus - last), dim=1)
        frames = both.unflatten(0, (batch, pairs, self.reach)).transpose(2, 3).flatten(1, 3)
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


class FusionHead(nn.Module):
    """A clip's feature maps -> two logits per frame (silent, hit).

    3-D convolution; maximum over space; T x T similarity of the frames from multi-head attention weights;
    3x3 convolution; a linear map per frame (with ``frame_tokens`` the frame's own vector is added, which is
    not in the paper); one transformer encoder layer; an MLP. Padded frames are zero
    before anything mixes frames and are masked as keys, so what they hold cannot change a real frame's score.
    """

    def __init__(self, channels: int, frames: int, params: FusionParams) -> None:
        super().__init__()
        self.frames, self.heads = frames, params.heads
        self.mix = Layers(
            FramesConv(channels, params.channels, TEMPORAL_DILATION),
            nn.BatchNorm2d(params.channels),
            nn.ReLU(inplace=True),
        )
        self.query = nn.Linear(params.channels, params.channels)
        self.key = nn.Linear(params.channels, params.channels)
        self.similarity = nn.Sequential(
            nn.Conv2d(params.heads, params.similarity_channels, 3, padding=1), nn.ReLU(inplace=True)
        )
        self.project = nn.Linear(params.similarity_channels * frames, params.hidden)
        self.frame_token = nn.Linear(params.channels, params.hidden) if params.frame_tokens else None
        self.norm = nn.LayerNorm(params.hidden)
        self.encoder = nn.TransformerEncoderLayer(
            params.hidden,
            params.heads,
            dim_feedforward=params.hidden,
            dropout=params.dropout,
            batch_first=True,
        )
        self.classify = nn.Sequential(
            nn.Linear(params.hidden, params.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(params.hidden, params.hidden // 2),
            nn.ReLU(inplace=True),
            nn.Linear(params.hidden // 2, 2),
        )
        self.displace = (
            nn.Sequential(
                nn.Linear(params.hidden, params.hidden // 2),
                nn.ReLU(inplace=True),
                nn.Linear(params.hidden // 2, 1),
            )
            if params.offset
            else None
        )

    def forward(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor | None]:
        """Score every frame of clips of T <= frames frames.

        Args:
            features: (B, T, channels, h, w).
            valid: (B, T) bool, False for padding.

        Returns:
            logits (B, T, 2), and with ``fusion.offset`` the frames to the nearest hit (B, T), signed.

        Raises:
            ValueError: the clip is longer than the head was built for.
        """
        length = features.shape[1]
        if length > self.frames:
            raise ValueError(f"a clip of {length} frames is longer than the configured {self.frames}")
        real = valid[:, :, None]
        mixed = self.mix(features * real[..., None, None])
        frame_vectors = mixed.amax(dim=(2, 3)).unflatten(0, (-1, length)) * real
        similarity = self._similarity(frame_vectors, valid)
        # the convolution spills one frame over the border of the real frames, on both sides of the matrix
        per_frame = self.similarity(similarity) * (valid[:, None, :, None] & valid[:, None, None, :])
        flat = per_frame.permute(0, 2, 1, 3).flatten(2)
        flat = nn.functional.pad(flat.unflatten(2, (-1, length)), (0, self.frames - length)).flatten(2)
        tokens = self.project(flat)
        if self.frame_token is not None:
            tokens = tokens + self.frame_token(frame_vectors)
        tokens = self.norm(tokens)
        tokens = self.encoder(tokens, src_key_padding_mask=~valid)
        offsets = None if self.displace is None else self.displace(tokens).squeeze(2)
        return self.classify(tokens), offsets

    def _similarity(self, vectors: Tensor, valid: Tensor) -> Tensor:
        """Attention weights of every frame for every other: (B, T, C) -> (B, heads, T, T)."""
        query, key = (
            layer(vectors).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        scores = scores.masked_fill(~valid[:, None, None, :], float("-inf"))
        return torch.softmax(scores, dim=-1) * valid[:, None, :, None]
