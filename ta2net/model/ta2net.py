"""TA2Net: the sum of its parts, readable from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ta2net.model.aggregation import Aggregation
from ta2net.model.encoders import Encoder, field_picture, normalized_frames
from ta2net.model.fusion import FusionHead
from ta2net.model.localization import Localization, motion_vectors
from ta2net.params import ModelParams


@dataclass(frozen=True)
class Output:
    """What the network says of a batch of clips.

    Attributes:
        logits: one (B, T, 2) per branch of the fusion head: silent, hit.
        localization: (B, T, h, w) in (0, 1), Eq. 7's ``D``.
        motion, still: (B, T, channels of F) spatial means of ``F^m`` and ``F^n``.
        offsets: one (B, T) per branch, signed frames to the nearest hit; empty without an offset head.
    """

    logits: tuple[Tensor, ...]
    localization: Tensor
    motion: Tensor
    still: Tensor
    offsets: tuple[Tensor, ...] = ()

    @property
    def probability(self) -> Tensor:
        """Probability of a hit per frame, (B, T): the mean over the branches."""
        return torch.stack([torch.softmax(x.float(), dim=-1)[..., 1] for x in self.logits]).mean(dim=0)


class TA2Net(nn.Module):
    """Frames, velocity and inflection of a clip -> hits in time and place."""

    def __init__(self, params: ModelParams, frames: int) -> None:
        super().__init__()
        self.params = params
        self.encode_frames = Encoder(params)
        self.encode_velocity = Encoder(params) if params.motion else None
        self.encode_inflection = Encoder(params) if params.inflection else None
        self.aggregate = Aggregation(params)
        self.localize = Localization(self.aggregate.channels)
        self.fuse = FusionHead(self.aggregate.channels, frames, params.fusion)

    def forward(self, frames: Tensor, velocity: Tensor, inflection: Tensor, valid: Tensor) -> Output:
        """Score a batch of clips.

        Args:
            frames: uint8 RGB (B, T, 3, H, W).
            velocity: px per frame at store resolution, (B, T, 2, 2, H, W): direction (forward, backward),
                (u, v).
            inflection: likewise, px per frame squared.
            valid: (B, T) bool, False for padded frames.
        """
        batch, length = frames.shape[:2]
        image = self.encode_frames(normalized_frames(frames.flatten(0, 1)))
        motion = self._both_directions(self.encode_velocity, velocity, self.params.velocity_scale_px)
        change = self._both_directions(self.encode_inflection, inflection, self.params.inflection_scale_px)
        aggregated = self.aggregate(image, motion, change)
        localization = self.localize(aggregated)
        moving, still = motion_vectors(aggregated, localization)
        branches = self._branches(aggregated, localization)
        stacked = torch.cat([x.unflatten(0, (batch, length)) for x in branches])
        logits, offsets = self.fuse(stacked, valid.repeat(len(branches), 1))
        return Output(
            logits=logits.chunk(len(branches)),
            localization=localization.squeeze(1).unflatten(0, (batch, length)),
            motion=moving.unflatten(0, (batch, length)),
            still=still.unflatten(0, (batch, length)),
            offsets=() if offsets is None else offsets.chunk(len(branches)),
        )

    def _both_directions(self, encoder: Encoder | None, field: Tensor, scale_px: float) -> Tensor | None:
        """Eq. 4: both directions in one pass with shared weights, ``concat(backward, forward)``."""
        if encoder is None:
            return None
        pictures = field_picture(field.flatten(0, 2), scale_px)
        features = encoder(pictures).unflatten(0, (-1, 2))
        return torch.cat((features[:, 1], features[:, 0]), dim=1)

    def _branches(self, aggregated: Tensor, localization: Tensor) -> list[Tensor]:
        """The feature sets the head reads: ``F`` and ``F^m``, or one of them."""
        chosen = {
            "both": (aggregated, aggregated * localization),
            "aggregated": (aggregated,),
            "motion": (aggregated * localization,),
        }
        return list(chosen[self.params.fusion.branches])
