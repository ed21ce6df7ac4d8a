"""A row of the flow store, or kinematics as they come -> one probability per frame, in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.device import autocast
from pipeline.kinematics import edge_frames, valid_range
from ta2net.methods.ta2net.network import TA2Net, hit_probability
from ta2net.params import Params


class Shown(Protocol):
    """Consecutive frames of a video: a window of the flow store, or a chunk fresh from the estimator."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """RGB, (k, 3, H, W)."""
        ...

    @property
    def velocity(self) -> NDArray[np.generic]:
        """Coded, (k, 2, 2, H, W)."""
        ...

    @property
    def inflection(self) -> NDArray[np.generic]:
        """Coded, (k, 2, 2, H, W)."""
        ...


Read = Callable[[int, int], Shown]
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


class Scorer:
    """Scores videos of any length with a trained network.

    Every frame is looked at once; windows of ``clips.frames`` frames are judged every ``infer.stride`` frames
    from what was seen, and a frame that several windows show gets the mean of what they say. With
    ``infer.flip_average`` everything is also shown mirrored, and counts twice.
    """

    def __init__(self, model: TA2Net, params: Params, device: torch.device) -> None:
        self.model, self.params, self.device = model, params, device

    def __call__(self, read: Read, n_frames: int, steps_per_px: float) -> Scores:
        """Score one video of ``n_frames`` frames; stored fields are px times ``steps_per_px``.

        Raises:
            ValueError: the video has no frame that the network can be shown.
        """
        first, end = valid_range(n_frames, self.params.kinematics.edges)
        size = self.params.clips.frames
        pieces = (read(start, min(start + size, end)) for start in range(first, end, size))
        return self._scored(pieces, steps_per_px, first)

    def of_stream(self, chunks: Iterable[Shown], steps_per_px: float) -> Scores:
        """Score a video whose frames come in order, in chunks of any size; memory does not grow with pixels.

        Raises:
            ValueError: as above.
        """
        edge = edge_frames(self.params.kinematics.edges)
        return self._scored(_inner(chunks, edge), steps_per_px, edge)

    @torch.inference_mode()
    def _scored(self, pieces: Iterable[Shown], steps_per_px: float, edge: int) -> Scores:
        """Scores of the frames in ``pieces``, with ``edge`` frames that have none put before and after."""
        self.model.eval()
        maps: list[NDArray[np.float32]] = []
        said: list[tuple[int, dict[str, NDArray[np.float64]]]] = []
        looked = (self._look(piece, steps_per_px) for piece in pieces)
        for starts, aggregated, localization, valid in self._windows(looked, maps):
            values = self._judge(aggregated, localization, valid)
            for place, start in enumerate(starts):
                said.append((start, {name: value[place, valid[place]] for name, value in values.items()}))
        if not said:
            raise ValueError("a video without frames cannot be scored")
        length = sum(len(piece) for piece in maps)
        edges = ((edge, edge), (0, 0), (0, 0))
        localization_maps = np.pad(np.concatenate(maps), edges, constant_values=np.nan)
        means = {name: np.pad(_mean(said, name, length), edge, constant_values=np.nan) for name in said[0][1]}
        return Scores(means["probability"], localization_maps, means.get("offset"))

    def _look(self, shown: Shown, steps_per_px: float) -> tuple[Tensor, Tensor]:
        """What the network sees in each of k frames: (views, k, channels of F, h, w), (views, k, 1, h, w)."""
        # a copy: arrays of a video played or mirrored otherwise may run backwards
        frames, *fields = (
            torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
            for x in (shown.frames, shown.velocity, shown.inflection)
        )
        fields = [field.float() / steps_per_px for field in fields]
        views = [(frames, *fields)]
        if self.params.infer.flip_average:
            views.append((frames.flip(-1), *(mirrored_field(field) for field in fields)))
        with autocast(self.device, self.params.train.precision):
            seen = [self.model.look(*view) for view in views]
        aggregated, localization = (torch.stack(parts) for parts in zip(*seen, strict=True))
        return aggregated, localization

    def _windows(
        self, looked: Iterable[tuple[Tensor, Tensor]], maps: list[NDArray[np.float32]]
    ) -> Iterator[tuple[list[int], Tensor, Tensor, NDArray[np.bool_]]]:
        """Batches of windows: where they start, what was seen in them, and which of their frames are real.

        Every frame's localisation map is left in ``maps``. Only what coming windows need is held.
        """
        length, stride = self.params.clips.frames, self.params.infer.stride
        held: tuple[Tensor, ...] = ()
        start, first = 0, 0  # of the next window, of what is held
        for piece in looked:
            maps.append(_upright(piece[1]))
            held = tuple(torch.cat(pair, dim=1) for pair in zip(held, piece, strict=True)) if held else piece
            ready = []
            while start + length <= first + held[0].shape[1]:
                ready.append(start)
                start += stride
            yield from self._batched(ready, held, first)
            if start > first:
                held, first = tuple(x[:, start - first :] for x in held), start
        end = first + held[0].shape[1] if held else 0
        if end and (start == 0 or start - stride + length < end):
            yield from self._batched([start], held, first)

    def _batched(
        self, starts: list[int], held: tuple[Tensor, ...], first: int
    ) -> Iterator[tuple[list[int], Tensor, Tensor, NDArray[np.bool_]]]:
        length, size = self.params.clips.frames, self.params.infer.batch
        for begin in range(0, len(starts), size):
            group = starts[begin : begin + size]
            parts = [[x[:, s - first : s - first + length] for s in group] for x in held]
            real = np.array([part.shape[1] for part in parts[0]])
            valid = np.arange(length) < real[:, None]
            # only the last window of a video is short; what its padding holds changes nothing
            aggregated, localization = (
                torch.stack([_padded(part, length) for part in windows], dim=1) for windows in parts
            )
            yield group, aggregated, localization, valid

    def _judge(
        self, aggregated: Tensor, localization: Tensor, valid: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float64]]:
        """Probability (B, T) and, if the network has it, offset; the mean over views (views, B, T, ...)."""
        views, batch = aggregated.shape[:2]
        real = torch.from_numpy(valid).to(self.device).repeat(views, 1)
        with autocast(self.device, self.params.train.precision):
            logits, offsets = self.model.judge(aggregated.flatten(0, 1), localization.flatten(0, 1), real)
        said = {"probability": hit_probability(logits).double()}
        if offsets:
            said["offset"] = torch.stack([offset.double() for offset in offsets]).mean(dim=0)
        return {n: x.unflatten(0, (views, batch)).mean(dim=0).cpu().numpy() for n, x in said.items()}


@dataclass(frozen=True)
class _Piece:
    frames: NDArray[np.uint8]
    velocity: NDArray[np.generic]
    inflection: NDArray[np.generic]


def _inner(chunks: Iterable[Shown], edge: int) -> Iterator[Shown]:
    """The frames of a video less the first and the last ``edge``, as they come."""
    held: Shown | None = None
    before = edge
    for chunk in chunks:
        piece = chunk if held is None else _joined(held, chunk)
        skipped = min(before, len(piece.frames))
        before -= skipped
        stop = max(skipped, len(piece.frames) - edge)
        if stop > skipped:
            yield _cut(piece, skipped, stop)
        held = _cut(piece, stop, len(piece.frames))


def _cut(shown: Shown, start: int, stop: int) -> Shown:
    return _Piece(shown.frames[start:stop], shown.velocity[start:stop], shown.inflection[start:stop])


def _joined(first: Shown, second: Shown) -> Shown:
    return _Piece(
        np.concatenate((first.frames, second.frames)),
        np.concatenate((first.velocity, second.velocity)),
        np.concatenate((first.inflection, second.inflection)),
    )


def _upright(localization: Tensor) -> NDArray[np.float32]:
    """Maps (views, k, 1, h, w), the second view mirrored -> their mean (k, h, w)."""
    maps = localization.float().squeeze(2)
    upright = [view.flip(-1) if number else view for number, view in enumerate(maps)]
    mean: NDArray[np.float32] = torch.stack(upright).mean(dim=0).cpu().numpy()
    return mean


def _mean(
    said: list[tuple[int, dict[str, NDArray[np.float64]]]], name: str, length: int
) -> NDArray[np.float64]:
    """What windows say of each of ``length`` frames: the mean over those that show it."""
    total, support = np.zeros(length), np.zeros(length)
    for start, values in said:
        span = slice(start, start + len(values[name]))
        total[span] += values[name]
        support[span] += 1
    return total / support


def mirrored_field(field: Tensor) -> Tensor:
    """A field (..., 2, H, W) of a picture mirrored left to right: u changes its sign."""
    return field.flip(-1) * field.new_tensor([-1, 1])[:, None, None]


def _padded(features: Tensor, length: int) -> Tensor:
    """(views, k, ...) -> (views, length, ...), zeros at the end."""
    missing = length - features.shape[1]
    if not missing:
        return features
    return torch.cat((features, features.new_zeros(len(features), missing, *features.shape[2:])), dim=1)
