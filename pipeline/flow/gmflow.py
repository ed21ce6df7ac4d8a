"""GMFlow (Xu et al., 2022) over a run of frames: ptlflow's weights and layers, one pass for both directions.

ptlflow's own forward takes one pair and one direction. Here every frame goes through the CNN once, the
transformer and the correlation, which are symmetric in the two frames, serve both directions, and the local
matching of the refinement is a band of matrix products instead of 81 sampled copies of the features. Under
autocast the CNN and the transformer run in bfloat16; matching, propagation and upsampling always in float32,
because a position there is a sum of probabilities times coordinates.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MODELS = ("gmflow", "gmflow_refine")

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

    def __call__(self, images: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """RGB in 0..1 (k+1, 3, h, w), ``batch`` pairs at a time -> forward and backward flow (k, 2, h, w)."""
        images, resizer = self.network.preprocess_images(images.flip(1), **_NORMALISATION)
        images = images.contiguous(memory_format=torch.channels_last)
        parts = [self.network.backbone(part)[::-1] for part in images.split(batch)]
        levels = [torch.cat(level) for level in zip(*parts, strict=True)]
        flows = []
        for start in range(0, len(images) - 1, batch):
            flow = self._both_ways([level[start : start + batch + 1] for level in levels])
            flows.append(self.network.postprocess_predictions(flow, resizer, is_flow=True).chunk(2))
        return torch.cat([forward for forward, _ in flows]), torch.cat([backward for _, backward in flows])

    def _both_ways(self, levels: list[Tensor]) -> Tensor:
        """Features of k+1 frames, coarse to fine -> flow (2k, 2, h, w): all forward, then all backward."""
        net, device = self.network, levels[0].device.type
        flow = None
        for level, splits, radius, reach in zip(
            levels, net.attn_splits_list, net.corr_radius_list, net.prop_radius_list, strict=True
        ):
            first, second = level[:-1], level[1:]
            if flow is not None:
                first, second = torch.cat((first, second)), torch.cat((second, first))
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
                second = warped(second.float(), flow).to(first.dtype)
            first, second = self._add_position(first, second, splits, net.feature_channels)
            first, second = net.transformer(first, second, attn_num_splits=splits)
            with torch.autocast(device, enabled=False):
                first, second = first.float(), second.float()
                if flow is None:
                    flow = global_matching(first, second)
                    first = torch.cat((first, second))
                else:
                    flow = flow + local_matching(first, second, radius)
                flow = self._propagated(first, flow, reach)
        with torch.autocast(device, enabled=False):
            upsampled: Tensor = net.upsample_flow(flow, first)
        return upsampled

    def _propagated(self, features: Tensor, flow: Tensor, reach: int) -> Tensor:
        """Flow spread by the features' likeness to each other: everywhere, or ``reach`` cells far."""
        attention = self.network.feature_flow_attn
        if reach <= 0:
            spread: Tensor = attention(features, flow)
            return spread
        cells = features.permute(0, 2, 3, 1)
        query, key = (layer(cells).permute(0, 3, 1, 2) for layer in (attention.q_proj, attention.k_proj))
        weight = torch.softmax(local_products(query, key, reach) / math.sqrt(query.shape[1]), dim=-1)
        height, width = flow.shape[-2:]
        around = (
            F.unfold(flow, 2 * reach + 1, padding=reach).unflatten(2, (height, width)).unflatten(1, (2, -1))
        )
        return torch.einsum("byxo,bcoyx->bcyx", weight, around)


def warped(features: Tensor, flow: Tensor) -> Tensor:
    """``features`` (B, C, h, w) looked up where ``flow`` (B, 2, h, w) points; zero outside."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    places = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
    return F.grid_sample(features, places, align_corners=True)


def global_matching(first: Tensor, second: Tensor) -> Tensor:
    """Expected displacement over all cells, (B, C, h, w) twice -> (2B, 2, h, w): forward, then backward."""
    height, width = first.shape[-2:]
    a, b = first.flatten(2).transpose(1, 2), second.flatten(2)
    products = a @ b / math.sqrt(first.shape[1])
    x = torch.arange(width, device=first.device, dtype=first.dtype).repeat(height)
    y = torch.arange(height, device=first.device, dtype=first.dtype).repeat_interleave(width)
    grid = torch.stack((x, y), dim=1)
    both = [torch.softmax(p, dim=-1) @ grid - grid for p in (products, products.transpose(1, 2))]
    return torch.cat(both).transpose(1, 2).unflatten(2, (height, width))


def local_matching(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Expected displacement over the cells within ``radius``, (B, C, h, w) twice -> (B, 2, h, w)."""
    height, width = first.shape[-2:]
    products = local_products(first, second, radius) / math.sqrt(first.shape[1])
    step = torch.arange(-radius, radius + 1, device=first.device)
    y, x = (torch.arange(n, device=first.device)[:, None] + step for n in (height, width))
    inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[None, :, None, :]
    weight = torch.softmax(products.masked_fill(~inside.flatten(2), -torch.inf), dim=-1)
    dy, dx = torch.meshgrid(step, step, indexing="ij")
    displacement = torch.stack((dx, dy)).flatten(1).to(first.dtype)
    return (weight @ displacement.T).permute(0, 3, 1, 2)


def local_products(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Dot products of each cell of ``first`` with the cells around it in ``second``, 0 outside the picture.

    For each vertical displacement whole rows are multiplied as matrices, and the band of the result in which
    columns are at most ``radius`` apart is kept: no copy of the features per displacement.

    Returns:
        (B, h, w, (2 radius + 1)^2), displacements row by row.
    """
    batch, _, height, width = first.shape
    span, wide = 2 * radius + 1, width + 2 * radius
    rows = first.permute(0, 2, 3, 1).contiguous()  # (B, h, w, C)
    around = F.pad(second, (radius,) * 4).permute(0, 2, 1, 3).contiguous()  # (B, h + 2r, C, w + 2r)
    bands = []
    for dy in range(span):
        products = rows @ around[:, dy : dy + height]  # (B, h, w, w + 2r)
        steps = (height * width * wide, width * wide, wide + 1, 1)
        bands.append(products.as_strided((batch, height, width, span), steps))
    return torch.cat(bands, dim=-1)
