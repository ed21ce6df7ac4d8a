"""How ptlflow's own models are called, to hold ours against."""

from __future__ import annotations

import torch


def one_direction_a_call(network, images: torch.Tensor) -> torch.Tensor:
    """ptlflow's own forward, a pair and a direction at a time: (k, 2, 2, h, w)."""
    bgr = images.flip(1)
    pairs = [(a, b) for i in range(len(bgr) - 1) for a, b in ((i, i + 1), (i + 1, i))]
    flows = [network({"images": torch.stack((bgr[a], bgr[b]))[None]})["flows"][0, 0] for a, b in pairs]
    return torch.stack(flows).unflatten(0, (-1, 2))
