"""Write a row's arrays, whole chunks at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec

from pipeline.errors import VideoError
from pipeline.kinematics import KinematicsChunk
from pipeline.params import StoreParams
from pipeline.store.checksums import RecordingStore, sealed
from pipeline.store.row import row_document
from pipeline.store.schema import RowAttributes, array_layout

BLOSC_LEVEL = {"lz4": 5, "zstd": 1}
"""With bit shuffling; both measured on flow: higher levels gain next to nothing and cost speed."""

APPENDED = ("frames", "velocity", "inflection")


class RowWriter:
    """Appends frames to a row's arrays, whole Zarr chunks at a time."""

    def __init__(
        self, store: Store, attributes: RowAttributes, times_s: npt.NDArray[np.float64], layout: StoreParams
    ) -> None:
        if len(times_s) != attributes.n_frames:
            raise VideoError(f"{len(times_s)} frame times for {attributes.n_frames} frames")
        self._attributes = attributes
        self._chunk_frames = layout.chunk_frames
        self._store = RecordingStore(store)
        self._arrays = _create_arrays(self._store, attributes, layout)
        self._arrays["time"][:] = times_s
        self._pending: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in APPENDED}
        self._received = self._written = 0
        self._saturated = [0, 0]

    def append(self, chunk: KinematicsChunk) -> None:
        """Add the next frames, any number of them.

        Raises:
            VideoError: more frames come than the video's container announced.
        """
        self._received += len(chunk.frames)
        if self._received > self._attributes.n_frames:
            raise VideoError(f"the video gave more than the {self._attributes.n_frames} frames it announces")
        for name in APPENDED:
            self._pending[name].append(getattr(chunk, name))
        self._saturated[0] += chunk.saturated_velocity
        self._saturated[1] += chunk.saturated_inflection
        whole = (self._received - self._written) // self._chunk_frames * self._chunk_frames
        self._flush(whole)

    def finish(self) -> dict[str, Any]:
        """Write what is left; return the row's document, which makes it readable once it is in its place.

        Raises:
            VideoError: fewer frames came than announced.
        """
        n = self._attributes.n_frames
        if self._received != n:
            raise VideoError(f"the video gave {self._received} of the {n} frames it announces")
        self._flush(n - self._written)
        attributes = replace(
            self._attributes,
            saturated_velocity=self._saturated[0],
            saturated_inflection=self._saturated[1],
        )
        metadata = {name: self._store.metadata(name) for name in self._arrays}
        checksums = {name: self._store.checksum(name) for name in self._arrays}
        return row_document(sealed(attributes.to_json(), metadata, checksums), metadata)

    def _flush(self, count: int) -> None:
        """Write ``count`` pending frames."""
        if count == 0:
            return
        stop = self._written + count
        for name in APPENDED:
            joined = np.concatenate(self._pending[name])
            self._arrays[name][self._written : stop] = joined[:count]
            self._pending[name] = [joined[count:]]
        self._written = stop


def _create_arrays(store: Store, attributes: RowAttributes, layout: StoreParams) -> dict[str, Any]:
    blosc = (
        None
        if layout.codec == "none"
        else BloscCodec(cname=layout.codec, clevel=BLOSC_LEVEL[layout.codec], shuffle="bitshuffle")
    )
    arrays = {}
    for name, (shape, kind) in array_layout(attributes).items():
        length = shape[0] if name == "time" else min(layout.chunk_frames, shape[0])
        arrays[name] = zarr.create_array(
            store=store,
            name=name,
            shape=shape,
            dtype=kind,
            chunks=(length, *shape[1:]),
            # pictures hardly get smaller: raw, they are read fastest
            compressors=blosc if name in ("velocity", "inflection") else None,
            # a chunk of zeros is a file like any other, so that a lost file is noticed
            config={"write_empty_chunks": True},
        )
    return arrays
