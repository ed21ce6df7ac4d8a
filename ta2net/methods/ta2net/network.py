"""TA2Net: the sum of its parts, readable from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ta2net.methods.ta2net.aggregation import Aggregation
from ta2net.methods.ta2net.encoders import Encoder, field_picture, normalized_frames
from ta2net.methods.ta2net.fusion import FusionHead
from ta2net.methods.ta2net.localization import Localization, motion_vectors
from ta2net.methods.ta2net.params import TA2NetParams


class Output(NamedTuple):
    """What the network says of a batch of clips.

    Attributes:
        logits: one (B, T, 2) per branch of the fusion head: silent, hit.
        localization: (B, T, h, w) in (0, 1), Eq. 7's ``D``.
        offsets: one (B, T) per branch, signed frames to the nearest hit; empty without an offset head.
        motion, still: (B, T, channels of F) spatial means of ``F^m`` and ``F^n``, which training contrasts;
        empty
            where only scores are wanted.
    """

    logits: tuple[Tensor, ...]
    localization: Tensor
    offsets: tuple[Tensor, ...]
    motion: Tensor
    still: Tensor

    @property
    def probability(self) -> Tensor:
        """Probability of a hit per frame, (B, T): the mean over the branches."""
        return torch.stack([torch.softmax(x.float(), dim=-1)[..., 1] for x in self.logits]).mean(dim=0)


def mean_offset(offsets: Sequence[Tensor]) -> Tensor | None:
    """Branches' offsets (B, T) -> their mean; None without an offset head."""
    return torch.stack([offset.double() for offset in offsets]).mean(dim=0) if offsets else None


class TA2Net(nn.Module):
    """Frames, velocity and inflection of a clip -> hits in time and place."""

    def __init__(self, params: TA2NetParams, frames: int) -> None:
        super().__init__()
        self.params = params
        self.encode_frames = Encoder(params) if params.pictures else None
        self.encode_velocity = Encoder(params) if params.motion else None
        self.encode_inflection = Encoder(params) if params.inflection else None
        self.aggregate = Aggregation(params)
        self.localize = Localization(self.aggregate.channels)
        self.fuse = FusionHead(self.aggregate.channels, frames, params.fusion)

    def forward(
        self,
        frames: Tensor | None = None,
        velocity: Tensor | None = None,
        inflection: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Output:
        """Score a batch of clips; what no encoder reads may be left out.

        Args:
            frames: uint8 RGB (B, T, 3, H, W).
            velocity: px per frame at store resolution, (B, T, 2, 2, H, W): direction (forward, backward),
                (u, v).
            inflection: likewise, px per frame squared.
            valid: (B, T) bool, False for padded frames; None: there are none.
        """
        inputs = (frames, velocity, inflection)
        batch, length = next(x for x in inputs if x is not None).shape[:2]
        seen = self.look(*(None if x is None else x.flatten(0, 1) for x in inputs))
        if valid is None:
            valid = seen[0].new_ones((batch, length), dtype=torch.bool)
        moving, still = motion_vectors(*seen)
        output = self.judge(*(x.unflatten(0, (batch, length)) for x in seen), valid=valid)
        return output._replace(
            motion=moving.unflatten(0, (batch, length)), still=still.unflatten(0, (batch, length))
        )

    def look(
        self,
        frames: Tensor | None = None,
        velocity: Tensor | None = None,
        inflection: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All that concerns each frame alone: its aggregated features ``F`` and its localisation map ``D``.

        Args:
            frames: uint8 RGB (k, 3, H, W).
            velocity, inflection: (k, 2, 2, H, W), as in ``forward``.

        Returns:
            (k, channels of F, h, w) and (k, 1, h, w).
        """
        image = None
        if self.encode_frames is not None and frames is not None:
            image = self.encode_frames(normalized_frames(frames))
        motion = self._both_directions(self.encode_velocity, velocity, self.params.velocity_scale_px)
        change = self._both_directions(self.encode_inflection, inflection, self.params.inflection_scale_px)
        aggregated = self.aggregate(image, motion, change)
        return aggregated, self.localize(aggregated)

    def judge(self, aggregated: Tensor, localization: Tensor, *, valid: Tensor) -> Output:
        """Which frames of a clip are hits, from what ``look`` saw in them.

        Args:
            aggregated, localization: (B, T, channels of F, h, w) and (B, T, 1, h, w).
            valid: (B, T) bool, False for padded frames.
        """
        branches = self._branches(aggregated, localization)
        logits, offsets = self.fuse(torch.cat(branches), valid.repeat(len(branches), 1))
        count, nothing = len(branches), aggregated.new_empty(0)
        return Output(
            tuple(logits.chunk(count)),
            localization.squeeze(2),
            () if offsets is None else tuple(offsets.chunk(count)),
            motion=nothing,
            still=nothing,
        )

    def _both_directions(
        self, encoder: Encoder | None, field: Tensor | None, scale_px: float
    ) -> Tensor | None:
        """Eq. 4: both directions in one pass with shared weights, ``concat(backward, forward)``."""
        if encoder is None or field is None:
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
