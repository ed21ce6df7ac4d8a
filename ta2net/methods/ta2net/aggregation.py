"""Cross-kinematics aggregation (section 4.1, Eq. 5-6)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ta2net.methods.ta2net.params import AggregationParams, TA2NetParams


class KinematicAttention(nn.Module):
    """One of the two attentions: ``h = softmax(Q K^T / sqrt(d)) V`` over the N positions of a frame.

    With ``query: kinematics`` (the paper) the query is a linear map of the kinematic feature, key and value
    are linear maps of the image feature; ``query: image`` swaps query and key, as the authors' code does.
    ``residual`` adds a linear map of the kinematic feature, which is not in the paper.
    """

    def __init__(self, channels: int, params: AggregationParams) -> None:
        super().__init__()
        self.kinematics_asks = params.query == "kinematics"
        self.kinematics = nn.Linear(2 * channels, channels)
        self.image = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.residual = nn.Linear(2 * channels, channels) if params.residual else None

    def forward(self, image: Tensor, kinematics: Tensor) -> Tensor:
        """image (B, N, C), kinematics (B, N, 2C) -> (B, N, C)."""
        from_kinematics, from_image = self.kinematics(kinematics), self.image(image)
        query, key = (from_kinematics, from_image) if self.kinematics_asks else (from_image, from_kinematics)
        # written out: with some 50 positions a fused attention kernel costs more than it saves
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        found = torch.softmax(scores, dim=-1) @ self.value(image)
        return found if self.residual is None else found + self.residual(kinematics)


class KinematicMap(nn.Module):
    """In the attention's place when it is switched off: a linear map of the kinematic feature alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, image: Tensor | None, kinematics: Tensor) -> Tensor:  # noqa: ARG002 - one face for both
        """image (B, N, C) or None, kinematics (B, N, 2C) -> (B, N, C)."""
        mapped: Tensor = self.linear(kinematics)
        return mapped


class Aggregation(nn.Module):
    """``F = concat(f, h_m, h_c)``: the image feature and what motion and inflection find in it.

    Without pictures there is no ``f``, and a linear map takes the place of each attention to it.

    Attributes:
        channels: of ``F``; ``3C``, or less where the network does without pictures, motion or inflection.
    """

    def __init__(self, params: TA2NetParams) -> None:
        super().__init__()
        self.motion = _branch(params) if params.motion else None
        self.inflection = _branch(params) if params.inflection else None
        self.channels = params.channels * (params.pictures + params.motion + params.inflection)

    def forward(self, image: Tensor | None, motion: Tensor | None, inflection: Tensor | None) -> Tensor:
        """image (B, C, h, w), motion and inflection (B, 2C, h, w) -> F (B, channels, h, w)."""
        height, width = next(x for x in (image, motion, inflection) if x is not None).shape[-2:]
        f = None if image is None else _positions(image)
        parts = [] if f is None else [f]
        for branch, field in ((self.motion, motion), (self.inflection, inflection)):
            if branch is not None and field is not None:
                parts.append(branch(f, _positions(field)))
        return torch.cat(parts, dim=2).transpose(1, 2).unflatten(2, (height, width))


def _branch(params: TA2NetParams) -> nn.Module:
    if params.aggregation.attention and params.pictures:
        return KinematicAttention(params.channels, params.aggregation)
    return KinematicMap(params.channels)


def _positions(feature_map: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, N, C)."""
    return feature_map.flatten(2).transpose(1, 2)
