"""TA2Net: the sum of its parts, readable from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ta2net.methods.ta2net.aggregation import Aggregation
from ta2net.methods.ta2net.encoders import Encoder, field_picture, normalized_frames
from ta2net.methods.ta2net.fusion import FusionHead
from ta2net.methods.ta2net.localization import Localization, motion_vectors
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
        return hit_probability(self.logits)


def hit_probability(logits: Sequence[Tensor]) -> Tensor:
    """Branches' logits (B, T, 2) -> the mean of their probabilities of a hit, (B, T)."""
    return torch.stack([torch.softmax(x.float(), dim=-1)[..., 1] for x in logits]).mean(dim=0)


class TA2Net(nn.Module):
    """Frames, velocity and inflection of a clip -> hits in time and place."""

    def __init__(self, params: ModelParams, frames: int) -> None:
        super().__init__()
        self.params = params
        self.encode_frames = Encoder(params) if params.pictures else None
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
        seen = self.look(*(x.flatten(0, 1) for x in (frames, velocity, inflection)))
        moving, still = motion_vectors(*seen)
        aggregated, localization = (x.unflatten(0, (batch, length)) for x in seen)
        logits, offsets = self.judge(aggregated, localization, valid)
        return Output(
            logits=logits,
            localization=localization.squeeze(2),
            motion=moving.unflatten(0, (batch, length)),
            still=still.unflatten(0, (batch, length)),
            offsets=offsets,
        )

    def look(self, frames: Tensor, velocity: Tensor, inflection: Tensor) -> tuple[Tensor, Tensor]:
        """All that concerns each frame alone: its aggregated features ``F`` and its localisation map ``D``.

        Args:
            frames: uint8 RGB (k, 3, H, W).
            velocity, inflection: (k, 2, 2, H, W), as in ``forward``.

        Returns:
            (k, channels of F, h, w) and (k, 1, h, w).
        """
        image = None if self.encode_frames is None else self.encode_frames(normalized_frames(frames))
        motion = self._both_directions(self.encode_velocity, velocity, self.params.velocity_scale_px)
        change = self._both_directions(self.encode_inflection, inflection, self.params.inflection_scale_px)
        aggregated = self.aggregate(image, motion, change)
        return aggregated, self.localize(aggregated)

    def judge(
        self, aggregated: Tensor, localization: Tensor, valid: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Which frames of a clip are hits, from what ``look`` saw in them.

        Args:
            aggregated, localization: (B, T, channels of F, h, w) and (B, T, 1, h, w).
            valid: (B, T) bool, False for padded frames.

        Returns:
            ``Output.logits`` and ``Output.offsets``.
        """
        branches = self._branches(aggregated, localization)
        logits, offsets = self.fuse(torch.cat(branches), valid.repeat(len(branches), 1))
        count = len(branches)
        return tuple(logits.chunk(count)), () if offsets is None else tuple(offsets.chunk(count))

    def _both_directions(self, encoder: Encoder | None, field: Tensor, scale_px: float) -> Tensor | None:
        """Eq. 4: both directions in one pass with shared weights, ``concat(backward, forward)``."""
        if encoder is None:
            return None
        features = encoder(field_picture(field.flatten(0, 1), scale_px)).unflatten(0, (-1, 2))
        return torch.cat((features[:, 1], features[:, 0]), dim=1)

    def _branches(self, aggregated: Tensor, localization: Tensor) -> list[Tensor]:
        """The feature sets the head reads: ``F`` and ``F^m``, or one of them."""
        chosen = {
            "both": (aggregated, aggregated * localization),
            "aggregated": (aggregated,),
            "motion": (aggregated * localization,),
        }
        return list(chosen[self.params.fusion.branches])
