"""The three encoders of section 4.1: a picture or a flow field -> a map of features.

``E_X`` (frames), ``E_M`` (velocity) and ``E_C`` (inflection) have one shape: a backbone up to its third
stage, then a 1x1 convolution to ``channels``, batch norm, ReLU.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from pipeline.errors import WeightsError
from ta2net.methods.ta2net.params import TA2NetParams

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TINY_WIDTHS = (16, 32, 48)
"""Channels after the stem and the two stages of the tiny backbone (stride 2, 4, 8)."""

_UNUSED = ("layer4.", "fc.")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016), halving the resolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inside, outside, 1, stride=2, bias=False), nn.BatchNorm2d(outside)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, h, w) -> (B, outside, h / 2, w / 2)."""
        return torch.relu(self.body(x) + self.shortcut(x))


RESNETS: dict[str, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}
"""Blocks and how many of them the four stages have (He et al., 2016)."""


def tiny_backbone() -> tuple[nn.Module, int, int]:
    """A residual net of three steps for a CPU: (module, output channels, stride)."""
    stem, middle, last = TINY_WIDTHS
    module = nn.Sequential(
        nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(stem),
        nn.ReLU(inplace=True),
        ResidualBlock(stem, middle),
        ResidualBlock(middle, last),
    )
    return module, last, 8


def resnet_backbone(name: str, pretrained: str) -> tuple[nn.Module, int, int]:
    """torchvision's ResNet up to layer3: (module, output channels, stride 16).

    Raises:
        WeightsError: ``pretrained`` names weights that cannot be had or do not fit.
    """
    block, depths = RESNETS[name]
    net = ResNet(block, list(depths))
    # layer4 (15 M parameters in ResNet-50) and the classifier are no part of the method
    stages = nn.Sequential()
    for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        stages.add_module(part, getattr(net, part))
    if pretrained != "none":
        state = imagenet_weights(name) if pretrained == "imagenet" else weights_from_file(pretrained)
        kept = {key: value for key, value in state.items() if not key.startswith(_UNUSED)}
        try:
            stages.load_state_dict(kept, strict=True)
        except RuntimeError as error:
            raise WeightsError(f"method.pretrained: {pretrained} does not fit {name}: {error}") from error
    channels = 1024 if name == "resnet50" else 256
    return stages, channels, 16


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """torchvision's IMAGENET1K_V1 weights, downloaded once into the torch hub cache.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise WeightsError(
            f"method.pretrained: cannot download {weights.url} ({error}). Put the file at {cache}, "
            "or set method.pretrained to a file, or to none."
        ) from error


def weights_from_file(path: str) -> dict[str, Tensor]:
    """A state dict saved by torch, read without running any code in it.

    Raises:
        WeightsError: the file is missing or is not a plain state dict.
    """
    if not Path(path).is_file():
        raise WeightsError(f"method.pretrained: {path}: no such file; give imagenet, none or a weights file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"method.pretrained: {path}: not a plain state dict ({error})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"method.pretrained: {path}: not a state dict of tensors")
    return state


class Encoder(nn.Module):
    """Backbone, 1x1 convolution, batch norm, ReLU: (B, 3, H, W) -> (B, channels, H / stride, W / stride)."""

    def __init__(self, params: TA2NetParams) -> None:
        super().__init__()
        if params.backbone == "tiny":
            self.backbone, inside, self.stride = tiny_backbone()
        else:
            self.backbone, inside, self.stride = resnet_backbone(params.backbone, params.pretrained)
        self.head = nn.Sequential(
            nn.Conv2d(inside, params.channels, 1, bias=False),
            nn.BatchNorm2d(params.channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.head(self.backbone(x))
        return features


def normalized_frames(frames: Tensor) -> Tensor:
    """uint8 RGB (B, 3, H, W) -> float32, ImageNet's mean and deviation taken out."""
    mean, std = _imagenet(frames.device, torch.get_default_dtype())
    return (frames.float() - mean) / std


@cache
def _imagenet(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and deviation of 0..255, (1, 3, 1, 1); sent once, as the host waits until they have arrived."""
    with torch.inference_mode(False):
        values = (
            torch.tensor((IMAGENET_MEAN, IMAGENET_STD), device=device, dtype=dtype).view(2, 1, 3, 1, 1)
            * 255.0
        )
    return values[0], values[1]


def field_picture(field: Tensor, scale_px: float) -> Tensor:
    """A field (B, 2, H, W) in px -> (u, v, sqrt(u^2 + v^2)) / scale_px, (B, 3, H, W)."""
    scaled = field / scale_px
    # linalg.vector_norm over a middle axis takes ten times as long on a CPU
    return torch.cat((scaled, scaled.square().sum(dim=1, keepdim=True).sqrt()), dim=1)
