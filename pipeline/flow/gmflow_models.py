"""GMFlow by ``pipeline.flow.gmflow``: ptlflow's weights and layers in a faster forward than its own."""

from __future__ import annotations

from pipeline.flow import ptlflow_models
from pipeline.flow.gmflow import Gmflow
from pipeline.flow.networks import Device, OfFrames, Weights

REVISION = 2
"""Part of the identity: to be raised when ``flow/gmflow`` changes what it computes."""


def library(model: str) -> str:
    """What computes the flow of ``model``, for its identity."""
    return f"{ptlflow_models.library(model)}, one pass {REVISION}"


def find_weights(model: str, checkpoint: str | None) -> Weights:
    """Those of ptlflow's model of that name."""
    return ptlflow_models.find_weights(model, checkpoint)


def build(model: str, weights: Weights, device: Device) -> OfFrames:
    """The network as a function; raises ``WeightsError`` for a file of another model."""
    return Gmflow(ptlflow_models.trained_network(model, weights, device))
