"""What survives a crash: one safetensors file per checkpoint, its JSON document in the file's header.

One file, written beside and renamed, is the simplest thing that is never half there. Reading it runs no
code: safetensors holds numbers only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.files.atomic import written_beside
from ta2net.fast import accelerate
from ta2net.methods.method import ClipShape, NetworkMethod, method_of
from ta2net.methods.rules import RULES_REVISION
from ta2net.params import Params, modernized, parse

FORMAT = 2
"""1: of version 0.1, which had one method; read as 2."""
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
    if header.get("format") not in (1, FORMAT):
        raise CheckpointError(
            f"{file}: checkpoint format {header.get('format')!r}, this version reads formats 1 and {FORMAT}"
        )
    if "params" in header:
        header["params"] = modernized(header["params"])
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


@dataclass(frozen=True)
class Trained:
    """A method made ready to score videos: what a checkpoint holds.

    Attributes:
        network: on its device, in evaluation mode; None for a rule.
        params: those it was trained with.
        document: of the checkpoint: thresholds, validation, provenance.
    """

    path: Path
    network: nn.Module | None
    params: Params
    document: dict[str, Any]

    @property
    def thresholds(self) -> dict[str, float]:
        """By name; ``peaks`` is that of hits."""
        return dict(self.document["thresholds"])


def write_trained(
    path: Path,
    network: nn.Module | None,
    params: Params,
    thresholds: Mapping[str, float],
    validation: Mapping[str, float],
    provenance: Mapping[str, Any],
    *,
    operating_points: Mapping[str, Mapping[str, float]] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a method with all that is needed to use it (params, thresholds) and to know where it is from.

    Args:
        network: None for a rule.
        operating_points: by sensitivity, as ``ta2net.evaluation.threshold.sensitivity_points`` chooses them.
        data: what it was trained and validated on.
    """
    document = {
        "params": params.model_dump(mode="json"),
        "thresholds": dict(thresholds),
        "rules": RULES_REVISION,
        "validation": dict(validation),
        "provenance": dict(provenance),
        "operating_points": operating_points or {},
        "data": data or {},
    }
    state = {} if network is None else network.state_dict()
    write(path, with_prefix(state.items(), "model"), document)


def load_trained(path: str | Path, device: torch.device) -> Trained:
    """The method of a checkpoint.

    Raises:
        CheckpointError: see ``read`` and ``load_module``; or it holds no method that could be used.
        ParamsError: its params are not those of this version, or name a method that is not there.
    """
    checkpoint = read(path)
    _check_thresholds(checkpoint)
    if not isinstance(checkpoint.document.get("params"), dict):
        raise CheckpointError(f"{path}: a checkpoint without params; give best.safetensors of a run")
    params = parse(checkpoint.document["params"], f"{path} (params of the checkpoint)")
    method = method_of(params.method)
    if not isinstance(method, NetworkMethod):
        return Trained(checkpoint.path, None, params, checkpoint.document)
    # its own weights are about to be loaded: the pretrained ones need not be looked for again
    bare, clip = method.without_weights(params.method), clip_shape(params)
    _check_shape(lambda: method.build(bare, clip), checkpoint)
    network = method.build(bare, clip)
    load_module(network, checkpoint)
    network = network.to(device).eval()
    return Trained(checkpoint.path, accelerate(network, device), params, checkpoint.document)


def clip_shape(params: Params) -> ClipShape:
    """What a network of these params is shown."""
    return ClipShape(params.clips.frames, *params.store.size)


def _check_thresholds(checkpoint: Checkpoint) -> None:
    """That of hits must be there; those of the rules only an evaluation needs."""
    found = checkpoint.document.get("thresholds")
    usable = (
        isinstance(found, dict)
        and "peaks" in found
        and all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
    )
    if not usable:
        raise CheckpointError(
            f"{checkpoint.path}: its thresholds are {str(found)[:80]}, expected numbers, with one for "
            "peaks; give best.safetensors of a run"
        )


def _check_shape(build: Callable[[], nn.Module], checkpoint: Checkpoint) -> None:
    """Compare the network that the params describe with the weights, before it takes any memory."""
    try:
        with torch.device("meta"):
            model = build()
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
