"""A row of the flow store, or kinematics as they come -> one probability per frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.device import autocast
from pipeline.kinematics import edge_frames, valid_range
from ta2net.methods.batch import as_read, mirrored
from ta2net.methods.method import LooksOnce, NetworkMethod, Rule, method_of
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


Edges = Literal["trim", "hold"]

Read = Callable[[int, int], Shown]
"""Gives the frames ``[start, stop)`` of one video."""


@dataclass(frozen=True)
class Scores:
    """What a method says of one video.

    Attributes:
        probability: float64 (n,), NaN for frames the method was not shown (``kinematics.edges: trim``).
        localization: float32 (n, h, w) in (0, 1), NaN likewise; None: the method does not say where.
        offset: float64 (n,), signed distance to the nearest hit in frames, NaN likewise; None likewise.
    """

    probability: NDArray[np.float64]
    localization: NDArray[np.float32] | None = None
    offset: NDArray[np.float64] | None = None


class Scorer(Protocol):
    """Scores videos of any length with one method."""

    def __call__(self, read: Read, n_frames: int, steps_per_px: float) -> Scores:
        """Score one video of ``n_frames`` frames; stored fields are px times ``steps_per_px``.

        Raises:
            ValueError: the video has no frame that the method can be shown.
        """
        ...

    def of_stream(self, chunks: Iterable[Shown], steps_per_px: float) -> Scores:
        """Score a video whose frames come in order, in chunks of any size; memory does not grow with pixels.

        Raises:
            ValueError: as above.
        """
        ...


def make_scorer(network: nn.Module | None, params: Params, device: torch.device) -> Scorer:
    """The scorer of ``params.method``; ``network`` is its network, None for a rule."""
    method = method_of(params.method)
    if isinstance(method, Rule):
        return RuleScorer(method, params)
    return WindowScorer(cast(NetworkMethod, method), cast(nn.Module, network), params, device)


class RuleScorer:
    """Scores with a rule: frames are measured piece by piece, and the curve is of the whole video."""

    def __init__(self, rule: Rule, params: Params) -> None:
        self.rule, self.params = rule, params

    def __call__(self, read: Read, n_frames: int, steps_per_px: float) -> Scores:
        """See ``Scorer``."""
        size = self.params.clips.frames
        pieces = (read(start, min(start + size, n_frames)) for start in range(0, n_frames, size))
        return self.of_stream(pieces, steps_per_px)

    def of_stream(self, chunks: Iterable[Shown], steps_per_px: float) -> Scores:
        """See ``Scorer``."""
        measured = [self.rule.measure(chunk, steps_per_px) for chunk in chunks]
        if not measured:
            raise ValueError("a video without frames cannot be scored")
        return Scores(shown_part(self.rule.curve(np.concatenate(measured)), self.params.kinematics.edges))


def shown_part(curve: NDArray[np.float64], edges: Edges) -> NDArray[np.float64]:
    """A curve (n,) with NaN at the frames that a network is not shown, so that all are judged alike."""
    first, end = valid_range(len(curve), edges)
    kept = np.full(len(curve), np.nan)
    kept[first:end] = curve[first:end]
    return kept


class WindowScorer:
    """Scores with a trained network, in windows of ``clips.frames`` frames, one every ``infer.stride``
    frames.

    A frame that several windows show gets the mean of what they say. With ``infer.flip_average`` everything
    is also shown mirrored, and counts twice. A network that ``LooksOnce`` looks at every frame once, and its
    windows are judged from what was seen; any other goes through each window.
    """

    def __init__(
        self, method: NetworkMethod, network: nn.Module, params: Params, device: torch.device
    ) -> None:
        self.method, self.network, self.params, self.device = method, network, params, device
        self.reads = sorted(method.reads(params.method))

    def __call__(self, read: Read, n_frames: int, steps_per_px: float) -> Scores:
        """See ``Scorer``."""
        first, end = valid_range(n_frames, self.params.kinematics.edges)
        size = self.params.clips.frames
        pieces = (read(start, min(start + size, end)) for start in range(first, end, size))
        return self._scored(pieces, steps_per_px, first)

    def of_stream(self, chunks: Iterable[Shown], steps_per_px: float) -> Scores:
        """See ``Scorer``."""
        edge = edge_frames(self.params.kinematics.edges)
        return self._scored(_inner(chunks, edge), steps_per_px, edge)

    @torch.inference_mode()
    def _scored(self, pieces: Iterable[Shown], steps_per_px: float, edge: int) -> Scores:
        """Scores of the frames in ``pieces``, with ``edge`` frames that have none put before and after."""
        self.network.eval()
        said = _Said()
        looked = (self._look(piece, steps_per_px) for piece in pieces)
        for starts, seen, valid in self._windows(looked):
            for name, values in self._judge(seen, valid).items():
                for place, start in enumerate(starts):
                    said.add(name, start, values[place, valid[place]])
        means = {
            name: np.pad(
                said.mean(name), ((edge, edge), *((0, 0),) * (said.ndim(name) - 1)), constant_values=np.nan
            )
            for name in said.names
        }
        if not means:
            raise ValueError("a video without frames cannot be scored")
        maps = means.get("localization")
        return Scores(
            means["probability"], None if maps is None else maps.astype(np.float32), means.get("offset")
        )

    def _look(self, shown: Shown, steps_per_px: float) -> tuple[Tensor, ...]:
        """What windows are judged from, of k frames: each (views, k, ...)."""
        # a copy: arrays of a video played or mirrored otherwise may run backwards
        inputs = {
            name: as_read(
                name,
                torch.from_numpy(np.ascontiguousarray(getattr(shown, name))).to(self.device),
                steps_per_px,
            )
            for name in self.reads
        }
        views = [inputs]
        if self.params.infer.flip_average:
            views.append(
                {name: x.flip(-1) if name == "frames" else mirrored(x) for name, x in inputs.items()}
            )
        if isinstance(self.network, LooksOnce):
            with autocast(self.device, self.params.train.precision):
                seen = [self.network.look(**view) for view in views]
        else:
            seen = [tuple(view.values()) for view in views]
        return tuple(torch.stack(parts) for parts in zip(*seen, strict=True))

    def _windows(
        self, looked: Iterable[tuple[Tensor, ...]]
    ) -> Iterator[tuple[list[int], tuple[Tensor, ...], NDArray[np.bool_]]]:
        """Batches of windows: where they start, what was seen in them, and which of their frames are real.

        Only what coming windows need is held.
        """
        length, stride = self.params.clips.frames, self.params.infer.stride
        held: tuple[Tensor, ...] = ()
        start, first = 0, 0  # of the next window, of what is held
        for piece in looked:
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
    ) -> Iterator[tuple[list[int], tuple[Tensor, ...], NDArray[np.bool_]]]:
        length, size = self.params.clips.frames, self.params.infer.batch
        for begin in range(0, len(starts), size):
            group = starts[begin : begin + size]
            parts = [[x[:, s - first : s - first + length] for s in group] for x in held]
            real = np.array([part.shape[1] for part in parts[0]])
            valid = np.arange(length) < real[:, None]
            # only the last window of a video is short; what its padding holds changes nothing
            seen = tuple(torch.stack([_padded(x, length) for x in windows], dim=1) for windows in parts)
            yield group, seen, valid

    def _judge(self, seen: tuple[Tensor, ...], valid: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        """What is said of windows, (B, T, ...): the mean over their views, ``seen`` being (views, B, T,
        ...)."""
        views, batch = seen[0].shape[:2]
        real = torch.from_numpy(valid).to(self.device).repeat(views, 1)
        flat = tuple(x.flatten(0, 1) for x in seen)
        with autocast(self.device, self.params.train.precision):
            if isinstance(self.network, LooksOnce):
                output = self.network.judge(*flat, valid=real)
            else:
                output = self.network(**dict(zip(self.reads, flat, strict=True)), valid=real)
            said = self.method.scores(output)
        means = {}
        for name in ("probability", "localization", "offset"):
            values: Tensor | None = getattr(said, name)
            if values is None:
                continue
            of_views = values.double().unflatten(0, (views, batch))
            if name == "localization":
                of_views = torch.stack([x.flip(-1) if view else x for view, x in enumerate(of_views)])
            means[name] = of_views.mean(dim=0).cpu().numpy()
        return means


class _Said:
    """What windows say of each frame of a video, and the mean over those that show it."""

    def __init__(self) -> None:
        self._total: dict[str, NDArray[np.float64]] = {}
        self._support: dict[str, NDArray[np.float64]] = {}

    @property
    def names(self) -> list[str]:
        return list(self._total)

    def ndim(self, name: str) -> int:
        return self._total[name].ndim

    def add(self, name: str, start: int, values: NDArray[np.float64]) -> None:
        """``values`` (k, ...) of the frames from ``start`` on."""
        stop = start + len(values)
        total = self._total.setdefault(name, np.zeros((0, *values.shape[1:])))
        if stop > len(total):  # doubled, so that a long video is not copied for every window
            room = max(stop, 2 * len(total)) - len(total)
            total = np.concatenate((total, np.zeros((room, *values.shape[1:]))))
            support = np.concatenate((self._support.get(name, np.zeros(0)), np.zeros(room)))
            self._total[name], self._support[name] = total, support
        total[start:stop] += values
        self._support[name][start:stop] += 1

    def mean(self, name: str) -> NDArray[np.float64]:
        """(n, ...)."""
        length = int(np.count_nonzero(self._support[name]))
        total, support = self._total[name][:length], self._support[name][:length]
        mean: NDArray[np.float64] = total / support.reshape(-1, *(1 for _ in range(total.ndim - 1)))
        return mean


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


def _mirrored(name: str, values: Tensor) -> Tensor:
    return values.flip(-1) if name == "frames" else mirrored(values)


def _padded(features: Tensor, length: int) -> Tensor:
    """(views, k, ...) -> (views, length, ...), zeros at the end."""
    missing = length - features.shape[1]
    if not missing:
        return features
    return torch.cat((features, features.new_zeros(len(features), missing, *features.shape[2:])), dim=1)
