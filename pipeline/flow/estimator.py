"""The one face of all optical-flow estimators, and the way from ``flow.model`` to one of them."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from pipeline.flow.dis import Dis, dis_identity
from pipeline.flow.resampling import resize_frames
from pipeline.params import FlowParams

if TYPE_CHECKING:
    from pipeline.flow.networks import Device, OfFrames, Weights

TORCHVISION_MODELS = ("raft_small", "raft_large")
STILL_LIMIT_PX = 0.25
"""Mean flow of a still texture. GMFlow reads 0.02 px at 256x320, 0.06 at 160x224, but 0.45 at 128x160."""
GMFLOW_MODELS = ("gmflow", "gmflow_refine")
PTLFLOW_PREFIX = "ptlflow/"
"""``ptlflow/raft_small`` is ptlflow's model of a name that torchvision has, too; ``ptlflow/gmflow`` its own
forward, pair by pair, where ``gmflow`` is ours."""


class FlowEstimator(Protocol):
    """Estimates dense optical flow between consecutive frames. One instance serves one thread."""

    @property
    def name(self) -> str:
        """The model's name, as in ``flow.model``."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """All that the flow depends on, as a JSON object: model, weights' SHA-256, library version, size."""
        ...

    def estimate(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Flow of the k consecutive pairs of (k+1, h, w, 3) uint8 RGB frames.

        Returns:
            (k, 2, 2, h, w) in px per frame: ``[i, 0]`` from frame i to i+1 in frame i's pixels (forward),
            ``[i, 1]`` from frame i+1 to i in frame i+1's pixels (backward); then (u to the right, v down).
        """
        ...


class _Family(Protocol):
    """Several networks: the modules ``torchvision_models``, ``gmflow_models`` and ``ptlflow_models``."""

    def library(self, model: str) -> str: ...

    def find_weights(self, model: str, checkpoint: str | None) -> Weights: ...

    def build(self, model: str, weights: Weights, device: Device) -> OfFrames: ...


def make_estimator(params: FlowParams) -> FlowEstimator:
    """Build the estimator that ``params`` names, with its weights on its device.

    Raises:
        UserError: no such model or checkpoint name, or no such device.
        WeightsError: the weights are missing, unreadable or belong to another model.
    """
    if params.model == "dis":
        return Dis(dis_identity(params))
    from pipeline.device import chosen_device  # PyTorch: not needed, so not loaded, for DIS
    from pipeline.flow import networks

    family, model = _family(params.model)
    weights = family.find_weights(model, params.checkpoint)
    identity = _network_identity(params, family, weights)
    device = chosen_device(params.device)
    of_frames = family.build(model, weights, device)
    return networks.NetworkEstimator(
        params.model, identity, device, params.precision, params.batch, of_frames
    )


def flow_identity(params: FlowParams) -> dict[str, Any]:
    """The ``identity`` that ``make_estimator(params)`` would have, without building the network.

    Weights that are not on this machine yet are downloaded; errors as in ``make_estimator``.
    """
    if params.model == "dis":
        return dis_identity(params)
    family, model = _family(params.model)
    return _network_identity(params, family, family.find_weights(model, params.checkpoint))


def check_estimator(estimator: FlowEstimator, size: tuple[int, int]) -> None:
    """Try a still picture of ``size`` = (height, width), twice, so that trouble shows before the real work.

    GMFlow, for one, takes small pictures without complaint and sees motion everywhere in them.

    Raises:
        UserError: the estimator cannot work at this size, not on two frames at a time, or sees a still
            picture move.
    """
    height, width = size
    texture = np.random.default_rng(0).integers(
        0, 256, (1, max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8
    )
    frames = resize_frames(texture, size).repeat(2, axis=0)
    try:
        flow = estimator.estimate(frames)
    except UserError:
        raise
    except Exception as error:  # it is not specified what third-party models raise at a size they cannot take
        raise UserError(
            f"flow.model {estimator.name} cannot estimate flow at flow.size {list(size)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if flow.shape != (1, 2, 2, *size):
        raise UserError(f"flow.model {estimator.name}: expected flow (1, 2, 2, {size}), got {flow.shape}")
    motion_px = float(np.abs(flow).mean())
    if not motion_px <= STILL_LIMIT_PX:
        raise UserError(
            f"flow.model {estimator.name} sees a still picture move by {motion_px:.2f} px on average at "
            f"flow.size {list(size)}: the size is too small for it (try [192, 256]), or the weights are wrong"
        )


def _family(name: str) -> tuple[_Family, str]:
    """The library that has the model, and the model's name there."""
    if name in TORCHVISION_MODELS:
        return cast(_Family, import_module("pipeline.flow.torchvision_models")), name
    if name in GMFLOW_MODELS:
        return cast(_Family, import_module("pipeline.flow.gmflow_models")), name
    ptlflow_models = import_module("pipeline.flow.ptlflow_models")
    model, models = name.removeprefix(PTLFLOW_PREFIX), ptlflow_models.names()
    if model in models:
        return cast(_Family, ptlflow_models), model
    known = ["dis", *TORCHVISION_MODELS, *models]
    near = list(dict.fromkeys(difflib.get_close_matches(model, known, n=4, cutoff=0.5)))
    hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise UserError(f"flow.model: no optical-flow model is called {name!r}; {hint}")


def _network_identity(params: FlowParams, family: _Family, weights: Weights) -> dict[str, Any]:
    return {
        "model": params.model,
        "checkpoint": weights.name,
        "weights_sha256": weights.sha256,
        "library": family.library(params.model.removeprefix(PTLFLOW_PREFIX)),
        "precision": params.precision,
        "size": list(params.size),
    }
