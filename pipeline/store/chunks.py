"""Read a row's arrays chunk by chunk, without Zarr's machinery around each call.

The chunks of this project's rows are whole pictures of consecutive frames, raw or compressed by Blosc. Read
directly they go straight into the array that is returned, many are asked of object storage at once, and a
chunk that is not there is an error (Zarr would read it as zeros).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from pipeline.store.place import DOCUMENT, Place

_BLOSC_SIZES = struct.Struct("<4xIII")
"""Bytes of the data, of a block, and of the whole compressed chunk, in Blosc's header of 16 bytes."""


@dataclass(frozen=True)
class StoredArray:
    """One array of a row, as its Zarr metadata describe it.

    Attributes:
        key: of the array in the store.
        shape: frames first.
        dtype: of the values, as stored.
        chunk_frames: frames per chunk; the last chunk is padded to as many.
        compressed: whether chunks are Blosc buffers; else raw.
    """

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_frames: int
    compressed: bool

    @classmethod
    def of(cls, key: str, metadata: Mapping[str, Any]) -> StoredArray:
        """The array of a ``zarr.json``; KeyError, TypeError or ValueError unless laid out as ours."""
        shape = tuple(int(extent) for extent in metadata["shape"])
        chunk = tuple(int(extent) for extent in metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codecs = [codec["name"] for codec in metadata["codecs"]]
        separator = metadata["chunk_key_encoding"]["configuration"]["separator"]
        if (
            chunk[1:] != shape[1:]
            or chunk[0] < 1
            or codecs not in (["bytes"], ["bytes", "blosc"])
            or (metadata["chunk_key_encoding"]["name"], separator) != ("default", "/")
            or metadata["codecs"][0].get("configuration", {}).get("endian", "little") != "little"
        ):
            raise ValueError(f"array {key}: other chunks or codecs than this program writes")
        dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        return cls(key, shape, dtype, chunk[0], "blosc" in codecs)

    def chunk_keys(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The keys of the chunks that hold frames ``[start, stop)``, in order; all by default."""
        stop = self.shape[0] if stop is None else stop
        chunks = range(start // self.chunk_frames, ceil(stop / self.chunk_frames) if stop > start else 0)
        rest = "/0" * (len(self.shape) - 1)
        return [f"{self.key}/c/{number}{rest}" for number in chunks]

    def keys_within(self, folder: str) -> list[str]:
        """The keys of its metadata and of all its chunks, in this order, relative to ``folder``."""
        keys = [f"{self.key}/{DOCUMENT}", *self.chunk_keys()]
        return [key.removeprefix(f"{folder}/") for key in keys]

    def join(self, contents: Sequence[bytes], start: int, stop: int) -> npt.NDArray[Any]:
        """Frames ``[start, stop)`` out of the contents of their chunks.

        Raises:
            ValueError: a chunk is damaged.
        """
        frames = np.empty((stop - start, *self.shape[1:]), self.dtype)
        first = start // self.chunk_frames * self.chunk_frames
        for number, content in enumerate(contents):
            begin = first + number * self.chunk_frames
            low, high = max(begin, start), min(begin + self.chunk_frames, stop)
            target = frames[low - start : high - start]
            if high - low == self.chunk_frames:
                self._decode(content, target)
            else:
                chunk = np.empty((self.chunk_frames, *self.shape[1:]), self.dtype)
                self._decode(content, chunk)
                target[...] = chunk[low - begin : high - begin]
        return frames

    def _decode(self, content: bytes, target: npt.NDArray[Any]) -> None:
        """Fill ``target``, a whole chunk, with what ``content`` holds."""
        if not self.compressed:
            if len(content) != target.nbytes:
                raise ValueError(f"a chunk of {self.key} has {len(content)} bytes instead of {target.nbytes}")
            target[...] = np.frombuffer(content, self.dtype).reshape(target.shape)
            return
        # Blosc reads as far as the header says: it must not say more than there is
        sizes = _BLOSC_SIZES.unpack_from(content) if len(content) >= 16 else (0, 0, 0)
        if (sizes[0], sizes[2]) != (target.nbytes, len(content)):
            raise ValueError(f"a chunk of {self.key} is not {target.nbytes} bytes compressed by Blosc")
        try:
            blosc.decompress(content, target)
        except RuntimeError as error:
            raise ValueError(f"a chunk of {self.key} cannot be decompressed ({error})") from error


def read_frames(place: Place, arrays: Sequence[StoredArray], start: int, stop: int) -> list[npt.NDArray[Any]]:
    """Frames ``[start, stop)`` of each array, all chunks asked for at once.

    Raises:
        FileNotFoundError: a chunk is missing.
        ValueError: a chunk is damaged.
    """
    wanted = [array.chunk_keys(start, stop) for array in arrays]
    contents = place.read([key for keys in wanted for key in keys])
    result, used = [], 0
    for array, keys in zip(arrays, wanted, strict=True):
        result.append(array.join(contents[used : used + len(keys)], start, stop))
        used += len(keys)
    return result
