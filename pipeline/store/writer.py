"""Write a row beside the others under a hidden name, then rename it into its place in one step."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import zarr
from zarr.codecs import BloscCodec

from pipeline.atomic import write_json
from pipeline.errors import StoreError, VideoError
from pipeline.kinematics import KinematicsChunk
from pipeline.params import StoreParams
from pipeline.store.schema import RowAttributes, array_layout

HIDDEN = re.compile(r"\.(?:writing|trash)@(?P<machine>[0-9a-f]+)@(?P<pid>\d+)@[0-9a-f]+")
LEFTOVER_AGE_S = 24 * 3600
"""A hidden directory untouched for so long belongs to nobody, wherever its owner ran."""

BLOSC_LEVEL = {"lz4": 5, "zstd": 1}
"""With bit shuffling; both measured on flow: higher levels gain next to nothing and cost speed."""

APPENDED = ("frames", "velocity", "inflection")


class RowWriter:
    """Appends frames to a row's arrays, whole Zarr chunks at a time."""

    def __init__(
        self, path: Path, attributes: RowAttributes, times_s: npt.NDArray[np.float64], layout: StoreParams
    ) -> None:
        if len(times_s) != attributes.n_frames:
            raise VideoError(f"{len(times_s)} frame times for {attributes.n_frames} frames")
        self._path, self._attributes = path, attributes
        self._chunk_frames = layout.chunk_frames
        self._arrays = _create_arrays(path, attributes, layout)
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

    def finish(self) -> None:
        """Write what is left and the row's attributes, and flush all of it to the disk.

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
        _write_group(self._path, attributes)
        _flush_to_disk(self._path)

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


def hidden_path(store: Path, purpose: str) -> Path:
    """A fresh hidden name in the store that tells its owner: ``.writing@machine@pid@id``."""
    return store / f".{purpose}@{_machine()}@{os.getpid()}@{uuid.uuid4().hex[:12]}"


def put_in_place(finished: Path, target: Path) -> None:
    """Rename a finished row to its name; a row that is there already makes way first.

    A reader never finds half a row: it sees the old one, for an instant none, then the new one.
    """
    for _ in range(10):
        old = _renamed_away(target)
        try:
            finished.rename(target)
        except OSError:
            # another builder put the same row here in between: its row makes way, too
            if not target.exists():
                raise
            continue
        finally:
            if old is not None:
                shutil.rmtree(old)
        _fsync(target.parent)
        return
    raise StoreError(f"{target}: other processes keep writing this row")


def remove_row(row: Path) -> None:
    """Make a row unreadable in one step, then delete it; nothing happens where there is none."""
    old = _renamed_away(row)
    if old is not None:
        shutil.rmtree(old)


def _renamed_away(row: Path) -> Path | None:
    trash = hidden_path(row.parent, "trash")
    try:
        row.rename(trash)
    except FileNotFoundError:
        return None
    return trash


def remove_leftovers(store: Path) -> int:
    """Delete what killed builders left behind, and return how many directories that were.

    A hidden directory goes when its owner on this machine is dead, or when nothing in it changed for a day;
    that of a builder at work, here or on another machine, is left alone.
    """
    removed = 0
    for path in store.iterdir():
        match = HIDDEN.fullmatch(path.name)
        if match is None:
            continue
        here = match["machine"] == _machine()
        dead = here and not psutil.pid_exists(int(match["pid"]))
        if dead or time.time() - _last_change_s(path) > LEFTOVER_AGE_S:
            shutil.rmtree(path, ignore_errors=True)  # another builder may be deleting it, too
            removed += 1
    return removed


@cache
def _machine() -> str:
    """Names this machine since its last start, and this container on it: where a process id is unique."""
    parts = [socket.gethostname(), str(uuid.getnode())]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists():
        parts.append(boot.read_text(encoding="ascii").strip())
    if namespace.exists():
        parts.append(str(namespace.stat().st_ino))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _last_change_s(path: Path) -> float:
    newest = 0.0
    for folder, _, _ in os.walk(path):
        try:
            newest = max(newest, Path(folder).stat().st_mtime)
        except FileNotFoundError:  # its owner has just renamed or deleted it
            return time.time()
    return newest


def _create_arrays(path: Path, attributes: RowAttributes, layout: StoreParams) -> dict[str, Any]:
    blosc = (
        None
        if layout.codec == "none"
        else BloscCodec(cname=layout.codec, clevel=BLOSC_LEVEL[layout.codec], shuffle="bitshuffle")
    )
    arrays = {}
    for name, (shape, kind) in array_layout(attributes).items():
        length = shape[0] if name == "time" else min(layout.chunk_frames, shape[0])
        arrays[name] = zarr.create_array(
            store=str(path),
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


def _write_group(path: Path, attributes: RowAttributes) -> None:
    """Make the directory a readable group: its attributes, and all arrays' metadata (one file to open)."""
    arrays = {
        name: json.loads((path / name / "zarr.json").read_text(encoding="utf-8"))
        for name in array_layout(attributes)
    }
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes.to_json(),
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
    }
    write_json(path / "zarr.json", document)


def _flush_to_disk(path: Path) -> None:
    """fsync every file and directory below ``path``: the rename must not survive what it names."""
    for folder, _, files in os.walk(path):
        for name in files:
            _fsync(Path(folder) / name)
        _fsync(Path(folder))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
