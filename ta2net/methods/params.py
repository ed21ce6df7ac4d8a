"""What the parameters of all methods have in common."""

from __future__ import annotations

from pipeline.params import NonNegative, PositiveFloat, Section


class MethodParams(Section):
    """The section ``method``: each method has its own, chosen by ``name``."""

    name: str


class FrameLossParams(Section):
    """The loss of a method that gives each frame two logits, see ``ta2net.methods.frame_loss``."""

    cross_entropy: NonNegative = 1.0
    focal: NonNegative = 0.1
    focal_gamma: NonNegative = 2.0
    foreground_weight: PositiveFloat = 1.0
    """How much more a hit frame counts than a silent one, in proportion to its soft label."""
