"""What all flow networks share: finding, reading and fitting weights, devices, and batches of pairs."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.device import autocast
from pipeline.errors import UserError, WeightsError
from pipeline.files.atomic import sha256_of

Device = torch.device
BothWays = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""First and second images (B, 3, h, w), RGB in 0..1 -> forward and backward flow (B, 2, h, w)."""
OfFrames = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Images (k+1, 3, h, w), RGB in 0..1, and how many pairs to work on at a time -> both flows (k, 2, h, w)."""

WEIGHT_SUFFIXES = {".ckpt", ".pth", ".pt", ".tar", ".bin"}
MAX_KEYS_SHOWN = 5


@dataclass(frozen=True)
class Weights:
    """A file of weights: its checkpoint name (or file name), where it lies, and its bytes' SHA-256."""

    name: str
    path: Path
    sha256: str


def find_weights(model: str, checkpoint: str | None, urls: Mapping[str, str], default: str | None) -> Weights:
    """The weight file that ``flow.checkpoint`` asks for; a named one is downloaded once and kept.

    Args:
        checkpoint: a file, one of the names in ``urls``, or None for ``default``.
        urls: checkpoint name -> address.
        default: the name None stands for; None where the model has no published weights.

    Raises:
        UserError: no such checkpoint name.
        WeightsError: the file is missing, or cannot be downloaded.
    """
    if checkpoint is not None and checkpoint not in urls:
        file = Path(checkpoint)
        if file.is_file():
            return Weights(file.name, file, sha256_of(file))
        if file.suffix in WEIGHT_SUFFIXES or len(file.parts) > 1:
            raise WeightsError(f"flow.checkpoint: there is no file {file}")
        known = f"it has {', '.join(urls)}" if urls else "it has none"
        raise UserError(
            f"flow.checkpoint: {model} has no checkpoint {checkpoint!r}; {known}, or give a file's path"
        )
    name = checkpoint if checkpoint is not None else default
    if name is None:
        raise WeightsError(f"no weights of {model} are published; give your own as flow.checkpoint: FILE")
    path = _downloaded(model, name, urls[name])
    return Weights(name, path, sha256_of(path))


def _downloaded(model: str, name: str, url: str) -> Path:
    """The file of ``url`` in PyTorch's own download cache, where ptlflow and torchvision look, too."""
    file_name = PurePosixPath(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if path.is_file():
        return path
    # published files carry the start of their SHA-256 in their name
    match = torch.hub.HASH_REGEX.search(file_name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), match.group(1) if match else None, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights of {model} ({name}) are not on this machine and cannot be downloaded ({error}).\n"
            f"Fetch {url}\nand put it at {path},\nor give your own file as flow.checkpoint: FILE"
        ) from error
    return path


def read_weights(weights: Weights) -> dict[str, Any]:
    """Read a weight file without running anything in it (``weights_only``).

    Returns:
        the dictionary in the file: a Lightning checkpoint (with ``state_dict``) or a bare state dictionary.

    Raises:
        WeightsError: not a PyTorch weight file, or one that holds more than weights.
    """
    try:
        document = torch.load(weights.path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{weights.path}: cannot be read as model weights ({reason})") from error
    if not isinstance(document, dict):
        raise WeightsError(f"{weights.path}: holds a {type(document).__name__}, not a model's weights")
    return document


def fit_weights(network: nn.Module, document: Mapping[str, Any], model: str, weights: Weights) -> None:
    """Load the state dictionary in ``document`` into ``network``; every tensor must find its place.

    Raises:
        WeightsError: naming the first tensors that are missing, unexpected or of another shape.
    """
    state = document.get("state_dict", document)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{weights.path}: holds no state dictionary (names -> tensors)")
    wanted = network.state_dict()
    wrong = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [k for k in wanted if k in state and wanted[k].shape != state[k].shape],
    }
    if any(wrong.values()):
        lines = [f"  {len(keys)} {kind}: {_first_few(keys)}" for kind, keys in wrong.items() if keys]
        raise WeightsError("\n".join([f"{weights.path}: these are not the weights of {model}:", *lines]))
    network.load_state_dict(state, strict=True)


def _first_few(keys: list[str]) -> str:
    return ", ".join(keys[:MAX_KEYS_SHOWN]) + (", ..." if len(keys) > MAX_KEYS_SHOWN else "")


def pairwise(both_ways: BothWays) -> OfFrames:
    """A network that takes pairs as one that takes a run of frames."""

    def of_frames(images: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        pairs = len(images) - 1
        spans = [(start, min(start + batch, pairs)) for start in range(0, pairs, batch)]
        flows = [both_ways(images[start:stop], images[start + 1 : stop + 1]) for start, stop in spans]
        return torch.cat([f.float() for f, _ in flows]), torch.cat([b.float() for _, b in flows])

    return of_frames


@dataclass(frozen=True)
class NetworkEstimator:
    """A ``FlowEstimator`` around a network, which sees at most ``batch`` pairs at a time."""

    name: str
    identity: dict[str, Any]
    device: Device
    precision: str
    batch: int
    of_frames: OfFrames

    def estimate(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``FlowEstimator.estimate``."""
        with torch.inference_mode(), autocast(self.device, self.precision):
            images = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float() / 255.0
            flows = self.of_frames(images, self.batch)
            return torch.stack(flows, dim=1).float().cpu().numpy()
