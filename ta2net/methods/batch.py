"""What one training step works on: clips of one length as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips as a network and its objective take them; of the pictures, those that the method reads.

    Attributes:
        frames: uint8 (B, T, 3, H, W).
        velocity, inflection: as stored (B, T, 2, 2, H, W); divide by ``steps_per_px`` for px.
        soft, hard: float32 (B, T) labels in [0, 1].
        offset: float32 (B, T), signed distance in frames to the nearest label of the row; infinite where that
        is
            further than ``targets.cut_frames``.
        events: (B, T) bool, the labelled frames themselves, for methods that make targets of their own.
        valid: (B, T) bool, False for padding.
        known: (B, T) bool, False for padding and for frames nobody annotated.
    """

    frames: Tensor | None
    velocity: Tensor | None
    inflection: Tensor | None
    soft: Tensor
    hard: Tensor
    offset: Tensor
    events: Tensor
    valid: Tensor
    known: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed."""
        changed: dict[str, Any] = {
            f.name: None if (x := getattr(self, f.name)) is None else change(x) for f in fields(self)
        }
        return Batch(**changed)

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return self.each(lambda x: x.to(device, non_blocking=True))

    def parts(self, count: int) -> list[Batch]:
        """The clips in ``count`` equal parts."""
        size = len(self.valid) // count
        return [self.clips(slice(start, start + size)) for start in range(0, len(self.valid), size)]

    def clips(self, which: slice) -> Batch:
        """Some of the clips."""
        return self.each(lambda x: x[which])

    def inputs(self, reads: Iterable[str], steps_per_px: float) -> dict[str, Tensor]:
        """What a network takes by keyword: the pictures that it reads, fields in px, and ``valid``."""
        read = {name: getattr(self, name) for name in sorted(reads)}
        return {**{name: as_read(name, x, steps_per_px) for name, x in read.items()}, "valid": self.valid}


def as_read(name: str, values: Tensor, steps_per_px: float) -> Tensor:
    """Frames as they are; coded fields as float32 px."""
    return values if name == "frames" else values.float() / steps_per_px


def mirrored(field: Tensor) -> Tensor:
    """A field (..., 2, H, W) of a picture mirrored left to right: u changes its sign."""
    turned = field.flip(-1)
    turned[..., 0, :, :].neg_()
    return turned
