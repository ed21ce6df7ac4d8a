"""When: the spatio-temporal fusion head (section 4.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ta2net.methods.ta2net.params import FusionParams

TEMPORAL_DILATION = 3


class FramesConv(nn.Conv3d):
    """A 3x3x3 convolution, dilated in time, of every frame: (B, T, C, h, w) -> (B T, channels, h, w)."""

    def __init__(self, inside: int, outside: int, reach: int) -> None:
        super().__init__(inside, outside, 3, padding=(reach, 1, 1), dilation=(reach, 1, 1), bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        """See the class."""
        return super().forward(clips.transpose(1, 2)).transpose(1, 2).flatten(0, 1)


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
        self.mix = nn.Sequential(
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
