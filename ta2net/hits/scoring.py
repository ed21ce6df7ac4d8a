"""A row of the flow store (or any source of kinematics) -> one probability per frame, in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.device import autocast
from pipeline.kinematics import valid_range
from pipeline.store import Window
from ta2net.model.ta2net import TA2Net
from ta2net.params import Params

Read = Callable[[int, int], Window]
"""Gives the frames ``[start, stop)`` of one video."""


@dataclass(frozen=True)
class Scores:
    """What the network says of one video.

    Attributes:
        probability: float64 (n,), NaN for frames the network was not shown (``kinematics.edges: trim``).
        localization: float32 (n, h, w) in (0, 1); NaN likewise.
        offset: float64 (n,), signed distance to the nearest hit in frames, NaN likewise; None for a network
            without an offset head.
    """

    probability: NDArray[np.float64]
    localization: NDArray[np.float32]
    offset: NDArray[np.float64] | None = None


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin so that every frame of ``[0, length)`` lies in one and none is empty.

    Example:
        >>> window_starts(150, 64, 32)
        [0, 32, 64, 96]
    """
    starts = [0]
    while starts[-1] + window < length:
        starts.append(starts[-1] + stride)
    return starts


class Scorer:
    """Scores videos of any length with a trained network, a batch of windows at a time.

    A frame that several windows show gets the mean of what they say; with ``infer.flip_average`` every window
    is also shown mirrored, and counts twice.
    """

    def __init__(self, model: TA2Net, params: Params, device: torch.device) -> None:
        self.model, self.params, self.device = model, params, device

    @torch.inference_mode()
    def __call__(self, read: Read, n_frames: int, steps_per_px: float) -> Scores:
        """Score one video of ``n_frames`` frames; stored fields are px times ``steps_per_px``."""
        self.model.eval()
        sums: dict[str, NDArray[np.floating]] = {}
        support = np.zeros(n_frames)
        for spans, frames, velocity, inflection, valid in self._batches(read, n_frames):
            said = self._said(
                frames.to(self.device),
                velocity.to(self.device).float() / steps_per_px,
                inflection.to(self.device).float() / steps_per_px,
                valid.to(self.device),
            )
            for name, values in said.items():
                total = sums.setdefault(name, np.zeros((n_frames, *values.shape[2:]), values.dtype))
                for value, (start, stop) in zip(values, spans, strict=True):
                    total[start:stop] += value[: stop - start]
            for start, stop in spans:
                support[start:stop] += 1
        if not sums:
            raise ValueError("a video without frames cannot be scored")
        with np.errstate(invalid="ignore"):
            offset = sums["offset"] / support if "offset" in sums else None
            maps = (sums["localization"] / support[:, None, None]).astype(np.float32)
            return Scores(sums["probability"] / support, maps, offset)

    def _said(
        self, frames: Tensor, velocity: Tensor, inflection: Tensor, valid: Tensor
    ) -> dict[str, NDArray[np.floating]]:
        """Probability (B, T), localisation (B, T, h, w) and, if the network has it, offset (B, T)."""
        said = self._forward(frames, velocity, inflection, valid)
        if self.params.infer.flip_average:
            fields = mirrored_field(velocity), mirrored_field(inflection)
            other = self._forward(frames.flip(-1), *fields, valid)
            other["localization"] = other["localization"].flip(-1)
            said = {name: (value + other[name]) / 2 for name, value in said.items()}
        return {name: value.cpu().numpy() for name, value in said.items()}

    def _forward(
        self, frames: Tensor, velocity: Tensor, inflection: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """One pass through the network, branches averaged."""
        with autocast(self.device, self.params.train.precision):
            output = self.model(frames, velocity, inflection, valid)
        said = {"probability": output.probability.double(), "localization": output.localization.float()}
        if output.offsets:
            said["offset"] = torch.stack([offset.double() for offset in output.offsets]).mean(dim=0)
        return said

    def _batches(
        self, read: Read, n_frames: int
    ) -> Iterator[tuple[list[tuple[int, int]], Tensor, Tensor, Tensor, Tensor]]:
        """Windows in batches: their spans, frames, velocity, inflection and which frames are real."""
        window, size = self.params.clips.frames, self.params.infer.batch
        first, end = valid_range(n_frames, self.params.kinematics.edges)
        starts = window_starts(end - first, window, self.params.infer.stride)
        spans = [(first + s, min(first + s + window, end)) for s in starts]
        for begin in range(0, len(spans), size):
            group = spans[begin : begin + size]
            shown = [read(start, stop) for start, stop in group]
            valid = torch.stack([torch.arange(window) < stop - start for start, stop in group])
            yield (
                group,
                _stacked([x.frames for x in shown], window),
                _stacked([x.velocity for x in shown], window),
                _stacked([x.inflection for x in shown], window),
                valid,
            )


def mirrored_field(field: Tensor) -> Tensor:
    """A field (..., 2, H, W) of a picture mirrored left to right: u changes its sign."""
    return field.flip(-1) * field.new_tensor([-1, 1])[:, None, None]


def _stacked(arrays: list[NDArray[np.generic]], length: int) -> Tensor:
    """Arrays of up to ``length`` frames as one tensor, short ones padded by their last frame."""
    whole = [np.pad(a, ((0, length - len(a)), *((0, 0),) * (a.ndim - 1)), mode="edge") for a in arrays]
    return torch.from_numpy(np.stack(whole))
