"""The optical-flow networks of ptlflow (https://github.com/hmorimitsu/ptlflow), by its names."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import UserError, WeightsError
from pipeline.flow.networks import Device, OfFrames, Weights, fit_weights, pairwise, read_weights
from pipeline.flow.networks import find_weights as find_by_url

LIBRARY = f"ptlflow {version('ptlflow')}"
DEFAULT_CHECKPOINT = "things"
"""FlyingThings3D: the usual general-purpose training; a model without it uses its first checkpoint."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ptlflow and the packages it imports print, warn and log about optional parts to itself."""
    handlers = logging.root.handlers[:]
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        # a module-level logging.warning() installs a root handler bound to the redirected stream
        logging.root.handlers[:] = handlers


def _ptlflow() -> ModuleType:
    """Import ptlflow on first use: it takes seconds and imports some ninety models."""
    with _quiet():
        module = importlib.import_module("ptlflow")
        importlib.import_module("loguru").logger.disable("ptlflow")
    return module


def names() -> list[str]:
    """All of ptlflow's model names."""
    return list(_ptlflow().get_model_names())


def library(model: str) -> str:  # noqa: ARG001 - the same for all
    """What computes the flow of ``model``, for its identity."""
    return LIBRARY


def find_weights(model: str, checkpoint: str | None) -> Weights:
    """See ``networks.find_weights``; the names are ptlflow's (``things``, ``sintel``, ...)."""
    reference = _ptlflow().get_model_reference(model)
    urls: dict[str, str] = dict(getattr(reference, "pretrained_checkpoints", None) or {})
    default = DEFAULT_CHECKPOINT if DEFAULT_CHECKPOINT in urls else next(iter(urls), None)
    return find_by_url(model, checkpoint, urls, default)


def new_network(model: str) -> Any:
    """ptlflow's network with random weights.

    Raises:
        WeightsError: a part of it is fetched while it is built, and cannot be.
    """
    ptlflow = _ptlflow()
    try:
        with _quiet():
            return ptlflow.get_model(model)
    except OSError as error:  # some models fetch their backbone from a model hub while they are built
        raise WeightsError(f"{model}: a part of it cannot be downloaded ({error})") from error


def trained_network(model: str, weights: Weights, device: Device) -> Any:
    """ptlflow's network with its weights; raises ``WeightsError`` for a file of another model."""
    network = new_network(model)
    document = read_weights(weights)
    fit_weights(network, document, model, weights)
    _restore_settings(network, document)
    return network.eval().to(device)


def build(model: str, weights: Weights, device: Device) -> OfFrames:
    """ptlflow's own forward as a function of frames; errors as in ``trained_network``."""
    network = trained_network(model, weights, device)

    def both_ways(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        # ptlflow takes BGR in 0..1 and pads to the model's stride itself
        first, second = first.flip(1), second.flip(1)
        pairs = torch.stack([first, second], dim=1)
        flows = network({"images": torch.cat([pairs, pairs.flip(1)])})["flows"]
        expected = (2 * len(first), 1, 2, *first.shape[-2:])
        if tuple(flows.shape) != expected:
            raise UserError(f"flow.model {model} does not give one flow field per pair of frames")
        forward, backward = flows[:, 0].chunk(2)
        return forward, backward

    return pairwise(both_ways)


def _restore_settings(network: Any, document: dict[str, Any]) -> None:
    """Training settings that ptlflow keeps beside the weights and some models use when they run."""
    settings = document.get("hyper_parameters", {})
    for name in ("train_size", "train_avg_length"):
        if name in settings:
            setattr(network, name, settings[name])
    for name, value in settings.get("extra_params", {}).items():
        network.add_extra_param(name, value)
