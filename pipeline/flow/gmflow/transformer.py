"""GMFlow's transformer, with ptlflow's weights and half of its projections.

An attention here has one head and no biases, so its four projections are two: ``q k^T = S (Wq^T Wk) S^T`` and
``merge(attention v) = attention S (Wm Wv)^T``. Both attentions of a block start from the same features: what
they need of them is one product. And features stay in the order of the windows instead of being cut into
windows and put together again for every attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MASKED = -100.0
"""What is added to a score between windows' parts that are no neighbours in the picture, as in Swin."""


@dataclass(frozen=True)
class Windows:
    """How one block's attention cuts the picture.

    Attributes:
        order: (h * w), the places, row by row, in the order of the windows.
        mask: (windows, n, n) to be added to the scores of a window's n places; None: nothing is masked.
        count: windows in a picture.
    """

    order: Tensor
    mask: Tensor | None
    count: int


@dataclass(frozen=True)
class _Attention:
    """An attention's weights, each (C, C), and the norm after it."""

    scores: Tensor
    values: Tensor
    norm: Any

    @classmethod
    def of(cls, layer: Any) -> _Attention:
        scale = layer.q_proj.weight.shape[0] ** -0.5
        return cls(
            scale * layer.k_proj.weight.T @ layer.q_proj.weight,
            layer.merge.weight @ layer.v_proj.weight,
            layer.norm1,
        )


class Transformer:
    """ptlflow's ``FeatureTransformer`` as a function of two pictures' features."""

    def __init__(self, transformer: Any) -> None:
        self._blocks = [_Block(block) for block in transformer.layers]

    def __call__(self, first: Tensor, second: Tensor, splits: int) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) twice -> the same, each knowing of the other; windows are ``splits`` by ``splits``."""
        height, width = first.shape[-2:]
        device = first.device
        cuts = [windows(height, width, splits, shifted, device) for shifted in (False, True)]
        pictures = torch.cat((first, second)).flatten(2).transpose(1, 2)
        order = torch.arange(height * width, device=device)
        for i, block in enumerate(self._blocks):
            cut = cuts[i % 2]
            pictures = pictures.index_select(1, _moves(order, cut.order))
            order = cut.order
            pictures = block(pictures, cut)
        pictures = (
            pictures.index_select(1, torch.argsort(order)).transpose(1, 2).unflatten(2, (height, width))
        )
        one, other = pictures.chunk(2)
        return one, other


class _Block:
    """An attention of each picture to itself, one to the other picture, and two linear layers."""

    def __init__(self, block: Any) -> None:
        cross = block.cross_attn_ffn
        self._self, self._cross = _Attention.of(block.self_attn), _Attention.of(cross)
        # of the features as they come in: scores and values of the self-attention, values of the other
        self._first_weights = torch.cat((self._self.scores, self._self.values, self._cross.values))
        self._mlp, self._last_norm = cross.mlp, cross.norm2

    def __call__(self, pictures: Tensor, cut: Windows) -> Tensor:
        """(2B, h * w, C) in the order of the windows; all first pictures, then all second ones."""
        query, values, cross_values = F.linear(pictures, self._first_weights).chunk(3, dim=-1)
        seen = pictures + self._self.norm(attended(query, pictures, values, cut))
        query = F.linear(seen, self._cross.scores)
        other, other_values = (torch.cat(x.chunk(2)[::-1]) for x in (pictures, cross_values))
        message = self._cross.norm(attended(query, other, other_values, cut))
        result: Tensor = seen + self._last_norm(self._mlp(torch.cat((seen, message), dim=-1)))
        return result


def attended(query: Tensor, key: Tensor, value: Tensor, cut: Windows) -> Tensor:
    """Attention within windows: (B, h * w, C) three times, in the order of the windows -> the same."""
    query, key, value = (x.unflatten(1, (cut.count, -1)) for x in (query, key, value))
    scores = query @ key.transpose(-1, -2)
    if cut.mask is not None:
        scores += cut.mask.to(scores.dtype)
    return (torch.softmax(scores, dim=-1) @ value).flatten(1, 2)


@cache  # made on the host, which would wait for a GPU every time
def windows(height: int, width: int, splits: int, shifted: bool, device: torch.device) -> Windows:
    """``splits`` by ``splits`` windows; ``shifted``: by half a window up and left, round the edges."""
    places = torch.arange(height * width, device=device).view(height, width)
    if splits == 1:
        return Windows(places.flatten(), None, 1)
    tall, wide = height // splits, width // splits
    if not shifted:
        return Windows(_cut(places, splits).flatten(), None, splits**2)
    up, left = tall // 2, wide // 2
    order = _cut(places.roll((-up, -left), (0, 1)), splits)
    # which of the three bands of rows and columns a place is in, once rolled; the last came round the edge
    row, column = (
        (torch.arange(n, device=device)[:, None] >= torch.tensor((n - size, n - half), device=device)).sum(1)
        for n, size, half in ((height, tall, up), (width, wide, left))
    )
    region = _cut(3 * row[:, None] + column, splits)
    mask = torch.where(region[:, None] == region[:, :, None], 0.0, MASKED)
    return Windows(order.flatten(), mask, splits**2)


def _cut(picture: Tensor, splits: int) -> Tensor:
    """(h, w) -> (splits^2, places of a window)."""
    height, width = picture.shape
    cut = picture.view(splits, height // splits, splits, width // splits).transpose(1, 2)
    return cut.reshape(splits**2, -1)


def _moves(before: Tensor, after: Tensor) -> Tensor:
    """Where in the order ``before`` each place of the order ``after`` is."""
    return torch.argsort(before)[after]
