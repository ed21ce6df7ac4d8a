"""What survives a crash: one safetensors file per checkpoint, its JSON document in the file's header.

One file, written beside and renamed, is the simplest thing that is never half there. Reading it runs no
code: safetensors holds numbers only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.errors import UserError
from pipeline.files.atomic import written_beside
from pipeline.params import parse_params
from ta2net.evaluation.metrics_json import Thresholds
from ta2net.methods.ta2net.network import TA2Net
from ta2net.params import ModelParams, Params

FORMAT = 1
HEADER_KEY = "ta2net"
DIGEST_KEY = "ta2net_sha256"
BEST = "best.safetensors"


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or made by another version or another model."""


class DamagedError(CheckpointError):
    """A file that is no whole checkpoint of ours: cut off, changed since, or another thing altogether."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors and the document of one file."""

    path: Path
    tensors: dict[str, Tensor]
    document: dict[str, Any]


def write(path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Write a checkpoint in one atomic step."""
    # tied or strided tensors would be refused by safetensors
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps({"format": FORMAT, **document}, allow_nan=False)
    header = {HEADER_KEY: text, DIGEST_KEY: digest_of(text, plain)}
    with written_beside(path) as temporary:
        # save_file would make the file readable by its owner only, whatever the umask says
        temporary.write_bytes(save(plain, metadata=header))


def digest_of(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over a checkpoint's document and all its numbers, as hexadecimal text.

    safetensors notices a file that is cut off, but no number that has changed on the disk.
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DamagedError: the file is no checkpoint of ours, or is not as it was written.
        CheckpointError: the file is missing or has a newer format.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(
            f"{file}: no checkpoint here; train one with ta2net-train, or give another path"
        )
    try:
        with safe_open(file, framework="pt") as handle:
            metadata = handle.metadata() or {}
            header = json.loads(metadata[HEADER_KEY])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise DamagedError(f"{file}: not a checkpoint of TA2Net, or a damaged one ({error})") from error
    if not isinstance(header, dict):
        raise DamagedError(f"{file}: not a checkpoint of TA2Net, or a damaged one (no document)")
    digest = metadata.get(DIGEST_KEY)  # earlier versions wrote none
    if digest is not None and digest != digest_of(metadata[HEADER_KEY], tensors):
        raise DamagedError(f"{file}: damaged: its numbers are not those that were written; train again")
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{file}: checkpoint format {header.get('format')!r}, this version reads format {FORMAT}"
        )
    return Checkpoint(file, tensors, header)


def is_whole(path: Path) -> bool:
    """Whether a readable checkpoint of this format is there."""
    try:
        read(path)
    except CheckpointError:
        return False
    return True


def with_prefix(tensors: Iterable[tuple[str, Tensor]], prefix: str) -> dict[str, Tensor]:
    """``{"prefix.name": tensor}``."""
    return {f"{prefix}.{name}": value for name, value in tensors}


def without_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The inverse of ``with_prefix``: the tensors of one owner."""
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }


def load_module(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into ``module``; all of them must fit.

    Raises:
        CheckpointError: names or shapes differ.
    """
    try:
        module.load_state_dict(without_prefix(checkpoint.tensors, "model"), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.path}: the weights do not fit the model: {error}") from error


def write_model(
    path: Path,
    model: TA2Net,
    params: Params,
    thresholds: dict[str, float],
    validation: dict[str, float],
    provenance: dict[str, Any],
    *,
    operating_points: Mapping[str, Mapping[str, float]] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a network with all that is needed to use it (params, thresholds) and to know where it is from.

    Args:
        operating_points: by sensitivity, as ``ta2net.evaluation.threshold.sensitivity_points`` chooses them.
        data: what it was trained and validated on.
    """
    document = {
        "params": params.model_dump(mode="json"),
        "thresholds": thresholds,
        "validation": validation,
        "provenance": provenance,
        "operating_points": operating_points or {},
        "data": data or {},
    }
    write(path, with_prefix(model.state_dict().items(), "model"), document)


def load_model(path: str | Path, device: torch.device) -> tuple[TA2Net, Params, dict[str, Any]]:
    """The network of a checkpoint, the params it was trained with, and the checkpoint's document.

    Raises:
        CheckpointError: see ``read`` and ``load_module``; or it holds no network that could be used.
        ParamsError: its params are not those of this version.
    """
    checkpoint = read(path)
    _check_thresholds(checkpoint)
    if not isinstance(checkpoint.document.get("params"), dict):
        raise CheckpointError(f"{path}: a checkpoint without params; give best.safetensors of a run")
    params = parse_params(checkpoint.document["params"], Params, f"{path} (params of the checkpoint)")
    # its own weights are about to be loaded: the pretrained ones need not be looked for again
    shape = params.model.model_copy(update={"pretrained": "none"})
    _check_shape(shape, params.clips.frames, checkpoint)
    model = TA2Net(shape, params.clips.frames)
    load_module(model, checkpoint)
    return model.to(device).eval(), params, checkpoint.document


def _check_thresholds(checkpoint: Checkpoint) -> None:
    """Those of hits must be there; those of the rules only an evaluation needs."""
    found = checkpoint.document.get("thresholds")
    known = Thresholds.__annotations__.keys()
    usable = (
        isinstance(found, dict)
        and "peaks" in found
        and found.keys() <= known
        and all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
    )
    if not usable:
        raise CheckpointError(
            f"{checkpoint.path}: its thresholds are {str(found)[:80]}, expected numbers for peaks and others "
            f"of {', '.join(known)}; give best.safetensors of a run"
        )


def _check_shape(params: ModelParams, frames: int, checkpoint: Checkpoint) -> None:
    """Compare the network that the params describe with the weights, before it takes any memory."""
    try:
        with torch.device("meta"):
            model = TA2Net(params, frames)
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{checkpoint.path}: its params describe no network ({error})") from error
    fitting = {name: value.shape for name, value in model.state_dict().items()}
    held = {name: value.shape for name, value in without_prefix(checkpoint.tensors, "model").items()}
    differing = sorted(name for name in fitting.keys() | held.keys() if fitting.get(name) != held.get(name))
    if differing:
        raise CheckpointError(
            f"{checkpoint.path}: the weights do not fit the model that its params describe: "
            f"{', '.join(differing[:5])}"
        )


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by ``<parameter number>.<name>``; every entry is a tensor for Adam and AdamW."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, entry in state.items() for name, value in entry.items()}


def load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``; learning rates are not state, the schedule sets them."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # fused optimisers go through memory: in another order, averages would meet others' gradients
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
