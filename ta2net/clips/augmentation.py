"""Changes of a training clip that keep its labels true: mirroring, reversal, colour jitter, mixup."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as colours

from ta2net.methods.batch import Batch
from ta2net.methods.method import INPUTS

LARGEST_FACTOR, LARGEST_HUE_TURNS = 0.4, 0.1
"""Colour jitter of strength 1: factors in 1 +- 0.4, hue turned by up to 0.1 of the colour circle."""


def swapped(field: Tensor) -> Tensor:
    """A field (n, direction, 2, H, W) of a clip played backwards: forward and backward change places."""
    return field.flip((0, 1))


@dataclass(frozen=True)
class ColourJitter:
    """One change of colour, the same for every pixel of every frame of a clip.

    Attributes:
        brightness, contrast, saturation: factors, 1 = no change.
        hue_turns: fraction of the colour circle, 0 = no change.
    """

    brightness: float
    contrast: float
    saturation: float
    hue_turns: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, strength: float) -> ColourJitter:
        """Uniform within ``strength`` (0 to 1) times the largest change."""
        change = strength * rng.uniform(-1, 1, 4)
        brightness, contrast, saturation = (1 + LARGEST_FACTOR * change[:3]).tolist()
        return cls(brightness, contrast, saturation, hue_turns=LARGEST_HUE_TURNS * float(change[3]))

    def __call__(self, frames: Tensor) -> Tensor:
        """uint8 RGB (T, 3, H, W), changed.

        The frames go through as one tall picture: contrast stretches about the mean of what it is given, and
        a mean of each frame's own would make a still background flicker when something bright moves in.
        """
        length, channels, height, width = frames.shape
        picture = frames.transpose(0, 1).reshape(channels, length * height, width)
        picture = colours.adjust_brightness(picture, self.brightness)
        picture = colours.adjust_contrast(picture, self.contrast)
        picture = colours.adjust_saturation(picture, self.saturation)
        picture = colours.adjust_hue(picture, self.hue_turns)
        return picture.view(channels, length, height, width).transpose(0, 1)


@dataclass(frozen=True)
class Mixup:
    """Which clips of a batch are blended, and how much is kept of each (Zhang et al., 2018).

    Attributes:
        partner: for each of the B clips, the one that is blended into it.
        kept: (B,) share of the clip itself, at least one half.
    """

    partner: tuple[int, ...]
    kept: tuple[float, ...]

    @classmethod
    def drawn(cls, rng: np.random.Generator, batch: int, alpha: float) -> Mixup:
        """Shares of a beta distribution (alpha, alpha), each clip with another one unless it is alone."""
        order = rng.permutation(batch)
        partner = np.empty(batch, np.int64)
        partner[order] = np.roll(order, -1)  # a cycle through the batch: nobody is his own partner
        share = rng.beta(alpha, alpha, batch)
        return cls(tuple(partner.tolist()), tuple(np.maximum(share, 1 - share).tolist()))

    def __call__(self, batch: Batch) -> Batch:
        """The batch blended.

        Pictures keep the type they are stored in: rounding a field to its fixed-point step once more is far
        below its own error, and float32 would double what goes to the device. A frame counts only where it
        counts in both clips. A distance cannot be blended: ``offset`` stays that of the stronger clip.
        """
        partner = list(self.partner)
        return replace(
            batch,
            **{name: self._blended(x) for name in INPUTS if (x := getattr(batch, name)) is not None},
            soft=self._blended(batch.soft),
            hard=self._blended(batch.hard),
            events=batch.events | batch.events[partner],
            valid=batch.valid & batch.valid[partner],
            known=batch.known & batch.known[partner],
        )

    def _blended(self, clips: Tensor) -> Tensor:
        """``kept * clip + (1 - kept) * partner`` in float32, then back to the type of ``clips``."""
        result = torch.empty_like(clips)
        # clip by clip: a float32 copy of the whole batch of fields would take gigabytes
        for index, (partner, kept) in enumerate(zip(self.partner, self.kept, strict=True)):
            blend = torch.lerp(clips[partner].float(), clips[index].float(), kept)
            result[index] = blend if clips.is_floating_point() else blend.round_()
        return result
