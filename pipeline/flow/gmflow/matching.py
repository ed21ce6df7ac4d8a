"""Matching of GMFlow's features: an expected displacement over all cells, or over those around each cell."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


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
    products = (first.flatten(2).transpose(1, 2) / math.sqrt(first.shape[1])) @ second.flatten(2)
    x = torch.arange(width, device=first.device, dtype=first.dtype).repeat(height)
    y = torch.arange(height, device=first.device, dtype=first.dtype).repeat_interleave(width)
    grid = torch.stack((x, y))
    # a product with two columns takes six times as long
    forward = F.linear(torch.softmax(products, dim=2), grid).transpose(1, 2)
    backward = grid @ torch.softmax(products, dim=1)
    return (torch.cat((forward, backward)) - grid).unflatten(2, (height, width))


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


def propagated(attention: Any, features: Tensor, flow: Tensor, reach: int) -> Tensor:
    """Flow (B, 2, h, w) spread by the likeness of features (B, C, h, w): everywhere, or ``reach`` cells far.

    Args:
        attention: ptlflow's ``FeatureFlowAttention``; its key is made of the query: so it was trained.
        reach: at most 0: everywhere.
    """
    height, width = flow.shape[-2:]
    cells = features.permute(0, 2, 3, 1)
    query = attention.q_proj(cells)
    key = attention.k_proj(query if reach <= 0 else cells)
    query = query / math.sqrt(query.shape[-1])
    if reach <= 0:
        weight = torch.softmax(key.flatten(1, 2) @ query.flatten(1, 2).transpose(1, 2), dim=1)
        return (flow.flatten(2) @ weight).unflatten(2, (height, width))
    weight = torch.softmax(local_products(query.permute(0, 3, 1, 2), key.permute(0, 3, 1, 2), reach), dim=-1)
    around = F.unfold(flow, 2 * reach + 1, padding=reach).unflatten(2, (height, width)).unflatten(1, (2, -1))
    return torch.einsum("byxo,bcoyx->bcyx", weight, around)


def upsampled(flow: Tensor, mask: Tensor, factor: int) -> Tensor:
    """Convex upsampling: each fine cell is a mean of the 3x3 coarse ones around it.

    Args:
        flow: (B, 2, h, w) in coarse cells.
        mask: (B, 9 factor^2, h, w), the logarithms of the means' weights, neighbours first.

    Returns:
        (B, 2, factor h, factor w) in fine cells.
    """
    batch, _, height, width = flow.shape
    weight = torch.softmax(mask.permute(0, 2, 3, 1).unflatten(3, (9, factor**2)), dim=3)
    around = F.unfold(factor * flow, 3, padding=1).unflatten(1, (2, 9)).unflatten(3, (height, width))
    fine = around.permute(0, 3, 4, 1, 2) @ weight  # (B, h, w, 2, factor^2)
    fine = fine.unflatten(4, (factor, factor)).permute(0, 3, 1, 4, 2, 5)
    return fine.reshape(batch, 2, factor * height, factor * width)
