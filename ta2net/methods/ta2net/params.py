"""The parameters of TA2Net: ``method`` in ``params.yaml`` with ``name: ta2net``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params import Fraction01, NonNegative, Positive, PositiveFloat, Section
from ta2net.methods.params import FrameLossParams, MethodParams


class AggregationParams(Section):
    """Cross-kinematics aggregation (Eq. 5-6)."""

    attention: bool = True
    """False: no attention; a linear map of the kinematic feature takes its place (Table 4's rows without
    aggregation)."""
    query: Literal["kinematics", "image"] = "kinematics"
    """Who asks: the paper's kinematics, or the image feature as in the authors' code."""
    residual: bool = True
    """Add a linear map of the kinematic feature to what its attention found. In the paper (false) motion
    only steers where the image is looked at, and never reaches the head itself."""


class FusionParams(Section):
    """The fusion head (section 4.3)."""

    branches: Literal["both", "aggregated", "motion"] = "both"
    frame_tokens: bool = True
    """Add each frame's own vector to its row of similarities. The paper's head (false) sees a frame only
    through its likeness to the others and learns many times slower."""
    channels: Positive = 64
    heads: Positive = 4
    similarity_channels: Positive = 16
    hidden: Positive = 128
    dropout: Fraction01 = 0.0
    offset: bool = True
    """Also say how many frames away, with a fraction, the nearest hit is; moves a peak there."""


class ContrastParams(Section):
    """The contrastive loss (Eq. 8-11)."""

    alpha: NonNegative = 0.25
    rank: Literal["row", "global"] = "row"
    frames: Annotated[int, Field(ge=2)] = 256
    """At most so many frames of a batch are contrasted."""


class LossParams(FrameLossParams):
    """Weights of the objective (Eq. 13-14)."""

    action: NonNegative = 1.0
    contrast: NonNegative = 0.01
    smoothness: NonNegative = 0.0
    """The paper: 0.002. Here it flattens the localisation map (docs/results.md)."""
    offset: NonNegative = 0.1
    """Weight of the smooth L1 loss of ``fusion.offset``, on frames within ``targets.cut_frames`` of a hit."""


class TA2NetParams(MethodParams):
    """The network's shape and its objective; the defaults are small enough to train on two CPU cores."""

    name: Literal["ta2net"] = "ta2net"
    backbone: Literal["tiny", "resnet18", "resnet34", "resnet50"] = "tiny"
    pretrained: str = "none"
    """none, imagenet, or a file with torchvision's ResNet weights."""
    channels: Positive = 32
    pictures: bool = True
    """Use the frames themselves. Without them, motion is all there is to go by: what rendered things look
    like says nothing of real ones."""
    motion: bool = True
    """Use velocity. Without motion and inflection the network sees frames only (Table 4's first row)."""
    inflection: bool = True
    velocity_scale_px: PositiveFloat = 4.0
    """Divides velocities before the encoder: a constant, never a clip's own maximum."""
    inflection_scale_px: PositiveFloat = 2.0
    aggregation: AggregationParams = AggregationParams()
    fusion: FusionParams = FusionParams()
    contrast: ContrastParams = ContrastParams()
    loss: LossParams = LossParams()

    @model_validator(mode="after")
    def _heads_divide(self) -> TA2NetParams:
        for name, width in (("fusion.channels", self.fusion.channels), ("fusion.hidden", self.fusion.hidden)):
            if width % self.fusion.heads:
                raise ValueError(f"{name} ({width}) must be a multiple of fusion.heads ({self.fusion.heads})")
        if not (self.pictures or self.motion or self.inflection):
            raise ValueError("one of pictures, motion and inflection must be true: the network sees nothing")
        if self.backbone == "tiny" and self.pretrained != "none":
            raise ValueError("the tiny backbone has no pretrained weights; set pretrained: none")
        return self
