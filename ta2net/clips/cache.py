"""Rows of the flow store as tensors: read once, and kept in memory up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from pipeline.catalog import Row
from pipeline.store import FlowStore
from ta2net.clips.memory import HostMemory, Memory
from ta2net.clips.rebuilding import is_small
from ta2net.params import ClipsParams


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of a row, as stored; their inflection is rebuilt from the velocity.

    Attributes:
        frames: uint8 (k, 3, H, W).
        velocity: (k, 2, 2, H, W).
        small: ``is_small`` of the velocity.
    """

    frames: Tensor
    velocity: Tensor
    small: bool

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.frames.nbytes + self.velocity.nbytes

    def part(self, start: int, stop: int) -> Piece:
        """Frames [start, stop) of the piece, without a copy."""
        return Piece(self.frames[start:stop], self.velocity[start:stop], self.small)


class RowCache:
    """Reads rows; the first ones are kept whole, up to a number of bytes.

    Every row is drawn once per epoch, so keeping the first saves as much reading as any other choice, and of
    rows that find no room no more is read than the frames asked for.

    Attributes:
        held_bytes: of the rows kept.
    """

    def __init__(self, store: FlowStore, limit_bytes: int, memory: Memory | None = None) -> None:
        """Args: ``memory`` is where rows are kept; by default the host's."""
        self.store, self.limit_bytes = store, limit_bytes
        self.held_bytes = 0
        self._memory = memory or HostMemory()
        self._rows: dict[str, Piece] = {}
        self._frame_bytes: int | None = None
        self._lock = Lock()

    def read(self, row: Row, start: int, stop: int) -> Piece:
        """Frames [start, stop) of a row.

        Raises:
            StoreError: the store does not hold the row, or it is damaged.
        """
        kept = self._rows.get(row.row_id)
        if kept is not None:
            return kept.part(start, stop)
        if self._frame_bytes is None:
            self._frame_bytes = frame_bytes(self.store, row.row_id)
        if self.held_bytes + row.n_frames * self._frame_bytes > self.limit_bytes:
            return self._fresh(row, start, stop)
        whole = self._fresh(row, 0, row.n_frames)
        with self._lock:
            # another thread may have kept the same row, or taken the room, meanwhile
            if row.row_id not in self._rows and self.held_bytes + whole.nbytes <= self.limit_bytes:
                self._rows[row.row_id] = whole
                self.held_bytes += whole.nbytes
        return whole.part(start, stop)

    def _fresh(self, row: Row, start: int, stop: int) -> Piece:
        frames, velocity = (
            torch.from_numpy(x) for x in self.store.frames_and_velocity(row.row_id, start, stop)
        )
        small = is_small(velocity.numpy())  # looked at here, where no device must be waited for
        return Piece(self._memory.uploaded(frames), self._memory.uploaded(velocity), small)


def frame_bytes(store: FlowStore, row_id: str) -> int:
    """Bytes of one frame of a ``Piece`` of a row; all rows of a store have one size and coding."""
    attributes = store.attributes(row_id)
    pixels = prod(attributes.store_size)
    return pixels * (3 + 4 * np.dtype(attributes.coding.kind).itemsize)


def cache_for(rows: Sequence[Row], store: FlowStore, clips: ClipsParams, memory: Memory) -> RowCache:
    """A cache on the device if all rows fit there, within ``clips.gpu_cache_bytes``, else on the host."""
    room_bytes = min(clips.gpu_cache_bytes, memory.room_bytes)
    if room_bytes:
        whole_bytes = sum(row.n_frames for row in rows) * frame_bytes(store, rows[0].row_id)
        if whole_bytes <= room_bytes:
            return RowCache(store, whole_bytes, memory)
    return RowCache(store, clips.cache_bytes)
