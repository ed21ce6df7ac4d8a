"""Residual blocks whose norms, additions and ReLUs are one step, and whose shortcuts skip the pixels they
leave out."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from ta2net.fast.branch import branched, every
from ta2net.fast.normed import normed
from ta2net.methods.ta2net.encoders import ResidualBlock


class FastResidualBlock(ResidualBlock):
    """The tiny network's."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``ResidualBlock``."""
        step = _step(self.shortcut)
        return normed(self.body[-1], self.body[:-1](x), _projected(self.shortcut, every(step, x), step))


class FastBasicBlock(BasicBlock):
    """torchvision's, of ResNet-18 and 34."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``BasicBlock``."""
        inside = normed(self.bn1, self.conv1(x))
        step = _step(self.downsample)
        return normed(self.bn2, self.conv2(inside), _projected(self.downsample, every(step, x), step))


class FastBottleneck(Bottleneck):
    """torchvision's, of ResNet-50."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``Bottleneck``."""
        step = _step(self.downsample)
        inside, past = branched(self.conv1, x, step, self.bn3)
        inside = normed(self.bn2, self.conv2(normed(self.bn1, inside)))
        return normed(self.bn3, self.conv3(inside), _projected(self.downsample, past, step))


def _step(shortcut: nn.Sequential | None) -> int:
    """Of how many pixels the shortcut is given one: oneDNN spends time on the pixels that a stride leaves
    out."""
    return 1 if shortcut is None else cast(nn.Conv2d, shortcut[0]).stride[0]


def _projected(shortcut: nn.Sequential | None, pixels: Tensor, step: int) -> Tensor:
    """What a block adds: every ``step``-th pixel of its input, or a 1x1 convolution and a norm of them."""
    if shortcut is None:
        return pixels
    convolution = cast(nn.Conv2d, shortcut[0])
    stride = convolution.stride[0] // step
    return normed(shortcut[1], F.conv2d(pixels, convolution.weight, stride=stride), relu=False)
