"""Where: spatial localisation (section 4.2, Eq. 7)."""

from __future__ import annotations

from torch import Tensor, nn


class Localization(nn.Module):
    """``D = sigmoid(BN(conv3x3(F)))``: how much each position belongs to the sounding motion."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid()
        )

    def forward(self, aggregated: Tensor) -> Tensor:
        """(B, 3C, h, w) -> (B, 1, h, w) in (0, 1)."""
        return self.layers(aggregated)


def motion_vectors(aggregated: Tensor, localization: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial means of ``F^m = D * F`` and ``F^n = (1 - D) * F`` (Eq. 7): two of (B, 3C)."""
    motion = aggregated * localization
    return motion.mean(dim=(2, 3)), (aggregated - motion).mean(dim=(2, 3))
