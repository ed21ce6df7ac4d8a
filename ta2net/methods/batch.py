"""What one training step works on: clips of one length as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips as the network and the objective take them.

    Attributes:
        frames: uint8 (B, T, 3, H, W).
        velocity, inflection: as stored (B, T, 2, 2, H, W); divide by ``steps_per_px`` for px.
        soft, hard: float32 (B, T) labels in [0, 1].
        offset: float32 (B, T), signed distance in frames to the nearest hit of the row; infinite in a row
            without hits.
        valid: (B, T) bool, False for padding.
        known: (B, T) bool, False for padding and for frames nobody annotated.
    """

    frames: Tensor
    velocity: Tensor
    inflection: Tensor
    soft: Tensor
    hard: Tensor
    offset: Tensor
    valid: Tensor
    known: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})
