"""RAFT (Teed and Deng, 2020) as torchvision has it."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor
from torch.nn import functional
from torchvision.models import optical_flow

from pipeline.flow.networks import Device, OfFrames, Weights, fit_weights, pairwise, read_weights
from pipeline.flow.networks import find_weights as find_by_url

LIBRARY = f"torchvision {torchvision.__version__}"
MODELS = {
    "raft_small": (optical_flow.raft_small, optical_flow.Raft_Small_Weights),
    "raft_large": (optical_flow.raft_large, optical_flow.Raft_Large_Weights),
}
STRIDE = 8


def library(model: str) -> str:  # noqa: ARG001 - one face with ptlflow's
    """What computes the flow of ``model``, for its identity."""
    return LIBRARY


def find_weights(model: str, checkpoint: str | None) -> Weights:
    """See ``networks.find_weights``; the names are torchvision's (``C_T_V2``, ...)."""
    published = MODELS[model][1]
    urls = {name: entry.value.url for name, entry in published.__members__.items()}
    return find_by_url(model, checkpoint, urls, published["DEFAULT"].name)


def build(model: str, weights: Weights, device: Device) -> OfFrames:
    """The network as a function; raises ``WeightsError`` for a file of another model."""
    # progress=False silences a download bar; weights=None starts no download
    network = MODELS[model][0](weights=None, progress=False)
    fit_weights(network, read_weights(weights), model, weights)
    network = network.eval().to(device)

    def both_ways(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        height, width = first.shape[-2:]
        # the network wants RGB in -1..1 and sides that are multiples of its stride
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        ahead, behind = (functional.pad(x * 2.0 - 1.0, padding, mode="replicate") for x in (first, second))
        flows = network(torch.cat([ahead, behind]), torch.cat([behind, ahead]))[-1]
        forward, backward = flows[..., :height, :width].chunk(2)
        return forward, backward

    return pairwise(both_ways)
