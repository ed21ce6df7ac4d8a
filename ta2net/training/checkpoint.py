"""What survives a crash: one safetensors file per checkpoint, its JSON document in the file's header.

One file, written beside and renamed, is the simplest thing that is never half there. Reading it runs no
code: safetensors holds numbers only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.atomic import written_beside
from pipeline.errors import UserError
from pipeline.params import parse_params
from ta2net.model.ta2net import TA2Net
from ta2net.params import Params

FORMAT = 1
HEADER_KEY = "ta2net"
BEST = "best.safetensors"


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or made by another version or another model."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors and the document of one file."""

    path: Path
    tensors: dict[str, Tensor]
    document: dict[str, Any]


def write(path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Write a checkpoint in one atomic step."""
    header = {HEADER_KEY: json.dumps({"format": FORMAT, **document}, allow_nan=False)}
    # tied or strided tensors would be refused by safetensors
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with written_beside(path) as temporary:
        # save_file would make the file readable by its owner only, whatever the umask says
        temporary.write_bytes(save(plain, metadata=header))


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: the file is missing, is no checkpoint of ours, or has a newer format.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(
            f"{file}: no checkpoint here; train one with ta2net-train, or give another path"
        )
    try:
        with safe_open(file, framework="pt") as handle:
            header = json.loads((handle.metadata() or {})[HEADER_KEY])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{file}: not a checkpoint of TA2Net, or a damaged one ({error})") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{file}: checkpoint format {header.get('format')!r}, this version reads format {FORMAT}"
        )
    return Checkpoint(file, tensors, header)


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
        operating_points: by sensitivity, as ``ta2net.hits.threshold.sensitivity_points`` chooses them.
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
        CheckpointError: see ``read`` and ``load_module``.
    """
    checkpoint = read(path)
    params = parse_params(checkpoint.document.get("params"), Params, f"{path} (params of the checkpoint)")
    # its own weights are about to be loaded: the pretrained ones need not be looked for again
    shape = params.model.model_copy(update={"pretrained": "none"})
    model = TA2Net(shape, params.clips.frames)
    load_module(model, checkpoint)
    return model.to(device).eval(), params, checkpoint.document


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by ``<parameter number>.<name>``; every entry is a tensor for Adam and AdamW."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, entry in state.items() for name, value in entry.items()}


def load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``; learning rates are not state, the schedule sets them."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
