"""Flow store -> training batches on the device, made ahead of need in threads of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.catalog import Row
from pipeline.spans import mask_of
from pipeline.store import FlowStore
from ta2net.clips.augmentation import ColourJitter, swapped
from ta2net.clips.cache import Piece, cache_for
from ta2net.clips.memory import memory_of
from ta2net.clips.rebuilding import frames_needed, rebuild_inflection
from ta2net.clips.sampler import Clip, ClipPlan
from ta2net.clips.targets import hard_labels, offset_labels, reversed_labels, soft_labels
from ta2net.methods.batch import Batch, mirrored
from ta2net.methods.method import INPUTS, method_of
from ta2net.params import Params

BATCHES_AHEAD = 3

CPU = torch.device("cpu")


class ClipLoader:
    """Iterates over the batches from ``first_step`` on, a few of them made ahead in threads."""

    def __init__(
        self, rows: tuple[Row, ...], store: FlowStore, params: Params, device: torch.device = CPU
    ) -> None:
        """Args: ``device`` is where batches are made, and where all rows are kept if they fit."""
        self.plan = ClipPlan(rows, params)
        self.params = params
        self.reads = method_of(params.method).reads(params.method)
        self.memory = memory_of(device)
        self.cache = cache_for(rows, store, params.clips, self.memory)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        batch, mixup = self._made(self.plan.clips(step), self.plan.jitters(step)), self.plan.mixup(step)
        return batch if mixup is None else mixup(batch)

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """The batches of steps ``[first_step, last_step)``."""
        # A thread that has not computed yet takes the number of threads that any thread has set last. The
        # network's is asked for its own before the pool sets one: else it would train on one core.
        torch.get_num_threads()
        with ThreadPoolExecutor(
            self.params.clips.loader_threads,
            thread_name_prefix="clips",
            # the cores are the network's; this is a thread's own setting
            initializer=torch.set_num_threads,
            initargs=(1,),
        ) as pool:
            ahead: deque[Future[Callable[[], Batch]]] = deque()
            for step in range(first_step, last_step):
                ahead.append(pool.submit(self._finished, step))
                if len(ahead) > BATCHES_AHEAD:
                    yield ahead.popleft().result()()
            while ahead:
                yield ahead.popleft().result()()

    def _finished(self, step: int) -> Callable[[], Batch]:
        """The batch of one step for another thread to take."""
        with self.memory.making():
            return self.memory.finished(self.batch(step))

    def _made(self, clips: Sequence[Clip], jitters: Sequence[ColourJitter] | None) -> Batch:
        """The clips as one batch, each with its change of colour."""
        length = self.params.clips.frames
        pictures: dict[str, Tensor] = {}
        for place, clip in enumerate(clips):
            piece, low = self._oriented(clip)
            if not pictures:
                like = {"frames": piece.frames, "velocity": piece.velocity, "inflection": piece.velocity}
                pictures = {
                    name: like[name].new_empty((len(clips), length, *like[name].shape[1:]))
                    for name in INPUTS
                    if name in self.reads
                }
            self._show(clip, piece, low, {name: values[place] for name, values in pictures.items()})
        if jitters is not None and "frames" in pictures:
            for frames, jitter in zip(pictures["frames"], jitters, strict=True):
                frames.copy_(jitter(frames))
        labels = [self._labels(clip) for clip in clips]
        values: dict[str, Any] = {
            **{name: pictures.get(name) for name in INPUTS},
            **{
                name: self.memory.uploaded(torch.from_numpy(np.stack([clip[name] for clip in labels])))
                for name in labels[0]
            },
        }
        return Batch(**values)

    def _oriented(self, clip: Clip) -> tuple[Piece, int]:
        """All that a clip is made of, mirrored and reversed as it is shown, and its first frame's number."""
        n = clip.row.n_frames
        low, high = frames_needed(clip.start, clip.stop, n)
        piece = self.cache.read(clip.row, low, high)
        frames, velocity = self.memory.uploaded(piece.frames), self.memory.uploaded(piece.velocity)
        if clip.flipped:
            frames, velocity = frames.flip(-1), mirrored(velocity)
        if clip.backwards:
            frames, velocity, low = frames.flip(0), swapped(velocity), n - high
        return Piece(frames, velocity, piece.small), low

    def _show(self, clip: Clip, piece: Piece, low: int, out: dict[str, Tensor]) -> None:
        """Fill a clip's T frames of the batch; a short one goes on with its last frame."""
        n, length = clip.row.n_frames, clip.stop - clip.start
        start = n - clip.stop if clip.backwards else clip.start
        shown = piece.part(start - low, start - low + length)
        for name in ("frames", "velocity"):
            if name in out:
                out[name][:length] = getattr(shown, name)
        if "inflection" in out:
            # the change of a field played backwards or mirrored is the change of the field, so turned
            rebuild_inflection(piece.velocity, low, start, n, out["inflection"][:length], small=piece.small)
        for values in out.values():
            values[length:] = values[length - 1]

    def _labels(self, clip: Clip) -> dict[str, NDArray[np.generic]]:
        """Labels and masks of the T frames of one clip, in the order in which they are shown."""
        row, targets = clip.row, self.params.targets
        frames, span = row.labels, slice(clip.start, clip.stop)
        known = mask_of(row.annotated, row.n_frames)
        if clip.backwards:
            frames = reversed_labels(frames, row.n_frames)
            span = slice(row.n_frames - clip.stop, row.n_frames - clip.start)
            known = known[::-1]
        offset = offset_labels(frames, row.n_frames)
        labels = {
            "soft": soft_labels(frames, row.n_frames, targets.sigma_frames, targets.cut_frames)[span],
            "hard": hard_labels(frames, row.n_frames, targets.dilation_frames)[span],
            "offset": np.where(np.abs(offset) <= targets.cut_frames, offset, np.inf).astype(np.float32)[span],
            "events": (offset == 0)[span],
            "valid": np.ones(clip.stop - clip.start, bool),
            "known": known[span],
        }
        missing = self.params.clips.frames - (clip.stop - clip.start)
        return {name: np.pad(values, (0, missing)) for name, values in labels.items()}
