"""TA2Net as it is written, with a field's directions one by one, to measure the accelerated network
against."""

from __future__ import annotations

import torch
from torch import Tensor

from ta2net.methods.ta2net.encoders import Encoder, field_picture
from ta2net.methods.ta2net.network import TA2Net


class PlainTA2Net(TA2Net):
    """The network in plain PyTorch; on a CPU it is faster not to take both directions in one pass."""

    def _both_directions(
        self, encoder: Encoder | None, field: Tensor | None, scale_px: float
    ) -> Tensor | None:
        if encoder is None or field is None:
            return None
        return torch.cat([encoder(field_picture(field[:, way], scale_px)) for way in (1, 0)], dim=1)
