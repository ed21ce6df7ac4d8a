"""GMFlow (Xu et al., 2022) over a run of frames: ptlflow's weights and layers, one pass for both directions.

ptlflow's own forward takes one pair and one direction. Here every frame goes through the CNN once, the
transformer and the correlation, which are symmetric in the two frames, serve both directions, and the local
matching of the refinement is a band of matrix products instead of 81 sampled copies of the features. Under
autocast the networks run in bfloat16; matching, propagation and upsampling always in float32, because a
position there is a sum of probabilities times coordinates.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.flow.gmflow.matching import global_matching, local_matching, propagated, upsampled, warped
from pipeline.flow.gmflow.transformer import Transformer

CPU_PAIRS = 4
"""Pairs at a time on a CPU: more are no faster, and take more memory."""

# as ptlflow's own forward: ImageNet's mean and deviation, in BGR order
_NORMALISATION: dict[str, Any] = {
    "bgr_add": [-0.406, -0.456, -0.485],
    "bgr_mult": [1 / 0.225, 1 / 0.224, 1 / 0.229],
    "bgr_to_rgb": True,
    "resize_mode": "pad",
    "pad_mode": "replicate",
    "pad_two_side": True,
}


class Gmflow:
    """A ptlflow ``gmflow`` or ``gmflow_refine`` network as a function of a run of frames."""

    def __init__(self, network: Any) -> None:
        from ptlflow.models.gmflow.utils import feature_add_position

        self.network = network
        self._add_position = feature_add_position
        self._backbone = _one_by_one(network.backbone)
        with torch.no_grad():
            self._transformer = Transformer(network.transformer)

    def __call__(self, images: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """RGB in 0..1 (k+1, 3, h, w), ``batch`` pairs at a time -> forward and backward flow (k, 2, h, w)."""
        on_cpu = images.device.type == "cpu"
        batch = min(batch, CPU_PAIRS) if on_cpu else batch
        images, resizer = self.network.preprocess_images(images.flip(1), **_NORMALISATION)
        images = images.contiguous(memory_format=torch.channels_last)
        parts = [self._backbone(part)[::-1] for part in images.split(1 if on_cpu else batch)]
        levels = [torch.cat(level) for level in zip(*parts, strict=True)]
        places = [self._places(*each) for each in zip(levels, self.network.attn_splits_list, strict=True)]
        flows = []
        for start in range(0, len(images) - 1, batch):
            flow = self._both_ways([level[start : start + batch + 1] for level in levels], places)
            flows.append(self.network.postprocess_predictions(flow, resizer, is_flow=True).chunk(2))
        return torch.cat([forward for forward, _ in flows]), torch.cat([backward for _, backward in flows])

    def _both_ways(self, levels: list[Tensor], places: list[Tensor]) -> Tensor:
        """Features of k+1 frames, coarse to fine -> flow (2k, 2, h, w): all forward, then all backward."""
        net, device = self.network, levels[0].device.type
        flow = None
        for level, place, splits, radius, reach in zip(
            levels, places, net.attn_splits_list, net.corr_radius_list, net.prop_radius_list, strict=True
        ):
            first, second = level[:-1], level[1:]
            if flow is not None:
                first, second = torch.cat((first, second)), torch.cat((second, first))
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
                second = warped(second.float(), flow).to(first.dtype)
            first, second = self._transformer(first + place, second + place, splits)
            with torch.autocast(device, enabled=False):
                first, second = first.float(), second.float()
                if flow is None:
                    flow = global_matching(first, second)
                    first = torch.cat((first, second))
                else:
                    flow = flow + local_matching(first, second, radius)
                flow = propagated(net.feature_flow_attn, first, flow, reach)
        assert flow is not None  # there is at least one level
        mask = net.upsampler(torch.cat((flow, first), dim=1))
        return upsampled(flow, mask.float(), net.upsample_factor)

    def _places(self, level: Tensor, splits: int) -> Tensor:
        """The encoding of places within windows, the same for all pictures: (1, C, h, w)."""
        nothing = torch.zeros_like(level[:1], dtype=torch.float32)
        places: Tensor = self._add_position(nothing, nothing, splits, self.network.feature_channels)[0]
        return places.to(level.dtype)


class OnePictureNorm(nn.Module):
    """Instance norm, of one picture in bfloat16 as batch norm of a batch of one, which leaves channels last.

    Not in float32, which is used where digits count: batch norm then sums a whole picture in a row.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self._eps = eps

    def forward(self, pictures: Tensor) -> Tensor:
        if len(pictures) > 1 or pictures.dtype == torch.float32:
            return F.instance_norm(pictures, eps=self._eps)
        return F.batch_norm(pictures, None, None, training=True, eps=self._eps)


def _one_by_one(backbone: nn.Module) -> nn.Module:
    """The CNN, faster where it is given one picture at a time."""
    backbone = copy.deepcopy(backbone)
    for module in list(backbone.modules()):
        for name, norm in list(module.named_children()):
            if isinstance(norm, nn.InstanceNorm2d):
                setattr(module, name, OnePictureNorm(norm.eps))
    return backbone
