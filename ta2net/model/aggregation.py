"""Cross-kinematics aggregation (section 4.1, Eq. 5-6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ta2net.params import AggregationParams


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
        found = F.scaled_dot_product_attention(query, key, self.value(image))
        return found if self.residual is None else found + self.residual(kinematics)


class Aggregation(nn.Module):
    """``F = concat(f, h_m, h_c)``: the image feature and what motion and inflection find in it."""

    def __init__(self, channels: int, params: AggregationParams) -> None:
        super().__init__()
        self.motion = KinematicAttention(channels, params)
        self.inflection = KinematicAttention(channels, params)

    def forward(self, image: Tensor, motion: Tensor, inflection: Tensor) -> Tensor:
        """image (B, C, h, w), motion and inflection (B, 2C, h, w) -> (B, 3C, h, w)."""
        height, width = image.shape[-2:]
        f, m, c = (x.flatten(2).transpose(1, 2) for x in (image, motion, inflection))
        together = torch.cat((f, self.motion(f, m), self.inflection(f, c)), dim=2)
        return together.transpose(1, 2).unflatten(2, (height, width))
