"""Flow store -> training batches, made ahead of need in threads of their own."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog import Row
from pipeline.kinematics import valid_range
from pipeline.store import FlowStore, Window
from ta2net.params import Params
from ta2net.training.augmentation import ColourJitter, Mixup, mirrored, swapped
from ta2net.training.batch import Batch, collated
from ta2net.training.targets import hard_labels, offset_labels, reversed_hits, soft_labels

BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Clip:
    """Which frames of which row a clip is made of: ``[start, stop)``, mirrored or not, backwards or not."""

    row: Row
    start: int
    stop: int
    flipped: bool
    backwards: bool


class ClipPlan:
    """Chooses the clips of every step from (seed, step) alone.

    Nothing is carried from step to step, so a run that stops and resumes draws exactly what an
    uninterrupted one would. Every row is drawn once per epoch, in a new order.
    """

    def __init__(self, rows: tuple[Row, ...], params: Params) -> None:
        self.rows, self.params = rows, params

    def epoch(self, step: int) -> int:
        """How many times every row has been drawn when ``step`` begins."""
        return step * self.params.clips.batch // len(self.rows)

    def clips(self, step: int) -> list[Clip]:
        """The clips of one step."""
        batch, seed = self.params.clips.batch, self.params.train.seed
        rng = np.random.default_rng((seed, 1, step))
        chosen = []
        for draw in range(step * batch, (step + 1) * batch):
            epoch, place = divmod(draw, len(self.rows))
            order = np.random.default_rng((seed, 0, epoch)).permutation(len(self.rows))
            chosen.append(self._clip(self.rows[order[place]], rng))
        return chosen

    def jitters(self, step: int) -> list[ColourJitter] | None:
        """The change of colour of each clip of one step; None when ``clips.jitter`` is 0."""
        clips = self.params.clips
        if clips.jitter == 0:
            return None
        # numbers of their own: the clips stay those of a run without the extra
        rng = np.random.default_rng((self.params.train.seed, 2, step))
        return [ColourJitter.drawn(rng, clips.jitter) for _ in range(clips.batch)]

    def mixup(self, step: int) -> Mixup | None:
        """How the clips of one step are blended; None when ``clips.mixup`` is 0."""
        clips = self.params.clips
        if clips.mixup == 0:
            return None
        rng = np.random.default_rng((self.params.train.seed, 3, step))
        return Mixup.drawn(rng, clips.batch, clips.mixup)

    def _clip(self, row: Row, rng: np.random.Generator) -> Clip:
        """A window that holds at least one hit of the row, if the row has any."""
        length = self.params.clips.frames
        first, end = valid_range(row.n_frames, self.params.kinematics.edges)
        latest = max(first, end - length)
        low, high = first, latest
        hits = [hit for hit in row.hits if first <= hit < end]
        if hits:
            hit = hits[rng.integers(len(hits))]
            low, high = max(first, hit - length + 1), min(hit, latest)
            low = min(low, high)
        start = int(rng.integers(low, high + 1))
        flipped, backwards = rng.random(2) < 0.5
        clips = self.params.clips
        return Clip(
            row,
            start,
            min(start + length, end),
            clips.flip and bool(flipped),
            clips.reverse and bool(backwards),
        )


class RowCache:
    """Decoded rows, the least recently used forgotten first when they exceed a number of bytes."""

    def __init__(self, store: FlowStore, limit_bytes: int) -> None:
        self.store, self.limit_bytes = store, limit_bytes
        self._rows: OrderedDict[str, Window] = OrderedDict()
        self.held_bytes = 0
        self._lock = Lock()

    def read(self, row: Row, start: int, stop: int) -> Window:
        """Frames ``[start, stop)`` of a row, from memory if the whole row is or fits there."""
        with self._lock:
            whole = self._rows.get(row.row_id)
            if whole is not None:
                self._rows.move_to_end(row.row_id)
        if whole is None:
            if self.limit_bytes == 0:
                return self.store.read(row.row_id, start, stop)
            whole = self.store.read(row.row_id, 0, row.n_frames)
            self._keep(row.row_id, whole)
        return Window(*(getattr(whole, f.name)[start:stop] for f in fields(whole)))

    def _keep(self, row_id: str, window: Window) -> None:
        size = sum(getattr(window, f.name).nbytes for f in fields(window))
        with self._lock:
            if row_id in self._rows or size > self.limit_bytes:
                return
            self._rows[row_id] = window
            self.held_bytes += size
            while self.held_bytes > self.limit_bytes:
                _, oldest = self._rows.popitem(last=False)
                self.held_bytes -= sum(getattr(oldest, f.name).nbytes for f in fields(oldest))


class ClipLoader:
    """Iterates over the batches from ``first_step`` on, a few of them made ahead in threads."""

    def __init__(self, rows: tuple[Row, ...], store: FlowStore, params: Params) -> None:
        self.plan = ClipPlan(rows, params)
        self.cache = RowCache(store, params.clips.cache_bytes)
        self.params = params

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        clips = [self._load(clip) for clip in self.plan.clips(step)]
        jitters = self.plan.jitters(step)
        if jitters is not None:
            for clip, jitter in zip(clips, jitters, strict=True):
                clip["frames"] = jitter(clip["frames"])
        batch, mixup = collated(clips), self.plan.mixup(step)
        return batch if mixup is None else mixup(batch)

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """The batches of steps ``[first_step, last_step)``."""
        with ThreadPoolExecutor(self.params.clips.loader_threads, thread_name_prefix="clips") as pool:
            ahead: deque[Future[Batch]] = deque()
            for step in range(first_step, last_step):
                ahead.append(pool.submit(self.batch, step))
                if len(ahead) > BATCHES_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _load(self, clip: Clip) -> dict[str, NDArray[np.generic]]:
        """The fields of ``Batch`` for one clip, without the first axis."""
        length = self.params.clips.frames
        window = self.cache.read(clip.row, clip.start, clip.stop)
        frames, velocity, inflection = window.frames, window.velocity, window.inflection
        if clip.flipped:
            frames, velocity, inflection = frames[..., ::-1], mirrored(velocity), mirrored(inflection)
        if clip.backwards:
            frames, velocity, inflection = frames[::-1], swapped(velocity), swapped(inflection)
        pictures = {"frames": frames, "velocity": velocity, "inflection": inflection}
        return {
            **{name: padded(value, length, repeat=True) for name, value in pictures.items()},
            **{name: padded(value, length, repeat=False) for name, value in self._labels(clip).items()},
        }

    def _labels(self, clip: Clip) -> dict[str, NDArray[np.generic]]:
        """Labels and masks of the frames of one clip, in the order in which they are shown."""
        row, loss = clip.row, self.params.loss
        hits, span = row.hits, slice(clip.start, clip.stop)
        known = np.arange(row.n_frames) < row.annotated_until
        if clip.backwards:
            hits = reversed_hits(hits, row.n_frames)
            span = slice(row.n_frames - clip.stop, row.n_frames - clip.start)
            known = known[::-1]
        return {
            "soft": soft_labels(hits, row.n_frames, loss.sigma_frames, loss.cut_frames)[span],
            "hard": hard_labels(hits, row.n_frames, loss.dilation_frames)[span],
            "offset": offset_labels(hits, row.n_frames)[span],
            "valid": np.ones(clip.stop - clip.start, bool),
            "known": known[span],
        }


def padded(array: NDArray[np.generic], length: int, *, repeat: bool) -> NDArray[np.generic]:
    """``array`` made ``length`` long: by its last entry, or by zeros (labels and masks)."""
    missing = length - len(array)
    if missing <= 0:
        return array
    tail = (
        np.repeat(array[-1:], missing, axis=0)
        if repeat
        else np.zeros((missing, *array.shape[1:]), array.dtype)
    )
    return np.concatenate((array, tail))
