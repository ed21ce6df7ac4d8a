"""TA2Net as one would write it down in plain PyTorch, to measure ours against."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from ta2net.fast.normed import Layers
from ta2net.methods.ta2net.encoders import (
    Encoder,
    ResidualBlock,
    ResNetBasicBlock,
    ResNetBottleneck,
    field_picture,
    normalized_frames,
)
from ta2net.methods.ta2net.fusion import TEMPORAL_DILATION
from ta2net.methods.ta2net.network import TA2Net
from ta2net.params import ModelParams


class PlainTA2Net(TA2Net):
    """The same network as one would write it down: contiguous pictures, a field's directions one by one."""

    def __init__(self, params: ModelParams, frames: int) -> None:
        super().__init__(params, frames)
        for module in self.modules():
            module.__class__ = PLAIN.get(type(module), type(module))
        self.fuse.mix[0] = PlainFramesConv(self.aggregate.channels, params.fusion.channels)

    def look(self, frames: Tensor, velocity: Tensor, inflection: Tensor) -> tuple[Tensor, Tensor]:
        """See ``TA2Net.look``."""
        image = None if self.encode_frames is None else _plain(self.encode_frames, normalized_frames(frames))
        fields = (
            (self.encode_velocity, velocity, self.params.velocity_scale_px),
            (self.encode_inflection, inflection, self.params.inflection_scale_px),
        )
        seen = [
            None
            if encoder is None
            else torch.cat([_plain(encoder, field_picture(field[:, way], scale)) for way in (1, 0)], dim=1)
            for encoder, field, scale in fields
        ]
        aggregated = self.aggregate(image, *seen)
        return aggregated, self.localize(aggregated)


class PlainFramesConv(nn.Conv3d):
    """The fusion head's convolution, in three dimensions."""

    def __init__(self, inside: int, outside: int) -> None:
        reach = TEMPORAL_DILATION
        super().__init__(inside, outside, 3, padding=(reach, 1, 1), dilation=(reach, 1, 1), bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        """See ``FramesConv``."""
        return super().forward(clips.transpose(1, 2)).transpose(1, 2).flatten(0, 1)


class PlainResidualBlock(ResidualBlock):
    """A block of the tiny network, one step after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``ResidualBlock``."""
        return torch.relu(self.body(x) + self.shortcut(x))


PLAIN: dict[type, type] = {
    Layers: nn.Sequential,
    ResNetBasicBlock: BasicBlock,
    ResNetBottleneck: Bottleneck,
    ResidualBlock: PlainResidualBlock,
}
"""Our modules, and those that do the same in plain steps with the same weights."""


def _plain(encoder: Encoder, pictures: Tensor) -> Tensor:
    features: Tensor = encoder.head(encoder.backbone(pictures.contiguous()))
    return features
