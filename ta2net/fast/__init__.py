"""The same numbers in less time: one door, ``accelerate``.

Methods are written plainly. What a CPU computes faster in another way stands here, module by module, and is
tested equal to the plain way; docs/performance.md has the gains. Without it everything works.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from ta2net.fast.normed import Layers
from ta2net.fast.residual import FastBasicBlock, FastBottleneck, FastResidualBlock
from ta2net.fast.winograd import WinogradFramesConv
from ta2net.methods.ta2net.encoders import Encoder, ResidualBlock
from ta2net.methods.ta2net.fusion import FramesConv


class ChannelsLastEncoder(Encoder):
    """Has the channels of a pixel side by side in memory, as convolutions of bfloat16 want them, on CPU and
    GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """See ``Encoder``."""
        return super().forward(x.contiguous(memory_format=torch.channels_last))


ANYWHERE: dict[type[nn.Module], type[nn.Module]] = {Encoder: ChannelsLastEncoder}
ON_A_CPU: dict[type[nn.Module], type[nn.Module]] = {
    nn.Sequential: Layers,
    BasicBlock: FastBasicBlock,
    Bottleneck: FastBottleneck,
    ResidualBlock: FastResidualBlock,
    FramesConv: WinogradFramesConv,
}
"""Plain modules, and those that do the same in less time: with the same weights, under the same names.

On a GPU plain kernels stay until these have been measured there.
"""


def accelerate(network: nn.Module, device: torch.device) -> nn.Module:
    """The network itself, its modules changed to what is faster on ``device``; before an optimiser is made.

    Parameters stay the same objects, and names of the state the same names: checkpoints fit either way.
    """
    faster = {**ANYWHERE, **ON_A_CPU} if device.type == "cpu" else ANYWHERE
    for module in network.modules():
        module.__class__ = faster.get(type(module), type(module))
        if isinstance(module, WinogradFramesConv):
            module.lay_out()
    return network
