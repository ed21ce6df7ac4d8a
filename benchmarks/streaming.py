"""Clips per second from a flow store: our loader against what one would write otherwise."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.measure import Ratio, Scale, compared, middle, seconds_per_unit
from pipeline.catalog import Row
from pipeline.kinematics import Coding, KinematicsChunk, inflection
from pipeline.params import StoreParams
from pipeline.store import FlowStore, RowAttributes, create_store
from ta2net.clips.loader import ClipLoader
from ta2net.params import Params
from ta2net.training.progress import TimedBatches

NAMES = ("frames", "velocity", "inflection")
STEP_S = 0.1
"""A step of the network that the stall is measured with; the embedded one takes five times as long."""


@dataclass
class Streams:
    """One store, read in several ways. All read the clips that the loader draws.

    Attributes:
        folder: holds ``flows.zarr``, and ``NAME.raw`` of every array of every row.
        rows: in it.
        params: clips of 64 frames, four a batch, one loader thread: the other core is the network's.
    """

    folder: Path
    rows: tuple[Row, ...]
    params: Params

    @cached_property
    def store(self) -> FlowStore:
        """The store, opened once."""
        return FlowStore(self.folder / "flows.zarr")

    def loader(self, rows: int | None = None, **clips: Any) -> ClipLoader:
        """Our loader over the first ``rows`` rows, with other entries of ``clips``."""
        params = self.params.model_copy(update={"clips": self.params.clips.model_copy(update=clips)})
        return ClipLoader(self.rows[:rows], self.store, params)

    def ours(self, loader: ClipLoader, steps: int) -> float:
        """Whole batches, augmented, with labels; the number of clips."""
        return float(sum(len(batch.valid) for batch in loader.batches(0, steps)))

    def theirs(self, arrays: dict[str, dict[str, Any]], steps: int) -> float:
        """Each clip's three arrays, indexed: no labels, no augmentation, no batch."""
        count, plan = 0, self.loader().plan
        for step in range(steps):
            for clip in plan.clips(step):
                row = arrays[clip.row.row_id]
                for name in NAMES:
                    np.array(row[name][clip.start : clip.stop])
                count += 1
        return float(count)

    def plain_zarr(self) -> dict[str, dict[str, Any]]:
        """Every array, opened by Zarr ahead of the measurement."""
        groups = {row.row_id: zarr.open_group(self.store.path / row.row_id, mode="r") for row in self.rows}
        return {row_id: {name: group[name] for name in NAMES} for row_id, group in groups.items()}

    def memmaps(self) -> dict[str, dict[str, Any]]:
        """Every array as a raw file, mapped."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            whole = self.store.read(row.row_id, 0, row.n_frames)
            found[row.row_id] = {}
            for name in NAMES:
                path, array = self.folder / f"{row.row_id}.{name}.raw", getattr(whole, name)
                array.tofile(path)
                found[row.row_id][name] = np.memmap(path, array.dtype, "r", shape=array.shape)
        return found

    def forget(self) -> None:
        """Drop the files' pages from the system's cache, so that the disk must give them again."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)  # pages not yet written cannot be dropped
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)


def ratios(scale: Scale) -> Iterator[Ratio]:
    """Warm, without a cache and cold, against plain Zarr and memory maps; stall; growth with videos."""
    count, frames, size, steps = (4, 20, 16, 3) if scale.quick else (16, 128, 112, 16)
    with tempfile.TemporaryDirectory() as name:
        streams = make_streams(Path(name), count, frames, _params(count, frames, size))
        warm, uncached = streams.loader(), streams.loader(cache_bytes=0)
        plain, mapped = streams.plain_zarr(), streams.memmaps()

        def against(name: str, ours: ClipLoader, theirs: dict[str, dict[str, Any]], words: str) -> Ratio:
            return compared(
                f"streaming.{name}",
                lambda: streams.ours(ours, steps),
                lambda: streams.theirs(theirs, steps),
                words,
                scale.rounds,
            )

        yield against("warm_vs_plain_zarr", warm, plain, "zarr's own indexing of the same clips")
        yield against("warm_vs_memmap", warm, mapped, "raw files, memory-mapped, in the system's cache")
        yield against("uncached_vs_plain_zarr", uncached, plain, "the same, no row kept by us")
        if hasattr(os, "posix_fadvise"):
            yield _cold(streams, uncached, plain, scale.rounds, max(1, steps // 4))
        yield _stall(streams.loader(), scale)
        yield _growth(streams, scale.rounds)


def _cold(
    streams: Streams, ours: ClipLoader, theirs: dict[str, dict[str, Any]], rounds: int, steps: int
) -> Ratio:
    """From the disk itself; few steps, so that no page is read twice."""

    def fresh(work: Callable[[], float]) -> float:
        streams.forget()
        return seconds_per_unit(work)

    values = [
        fresh(lambda: streams.theirs(theirs, steps)) / fresh(lambda: streams.ours(ours, steps))
        for _ in range(rounds)
    ]
    return middle("streaming.cold_vs_plain_zarr", "the same, files not in the system's cache", values)


def _stall(loader: ClipLoader, scale: Scale) -> Ratio:
    """The share of time that a model of ``STEP_S`` waits; the first batches, made from nothing, included."""
    steps = 3 if scale.quick else 30

    def share() -> float:
        timed = TimedBatches(loader.batches(0, steps))
        for _ in timed:
            time.sleep(STEP_S)
        wall_s, waited_s = timed.interval()
        return waited_s / wall_s

    share()
    return middle(
        "streaming.stall",
        f"share of time a step of {STEP_S} s waited",
        [share() for _ in range(scale.rounds)],
    )


def _growth(streams: Streams, rounds: int) -> Ratio:
    """One epoch over all rows against as many over one row and over four: 1 if nothing grows with the set."""
    everything = len(streams.rows)

    def epoch(rows: int) -> Callable[[], float]:
        loader = streams.loader(rows, batch=1)
        streams.ours(loader, rows)
        return lambda: streams.ours(loader, everything)

    one, four, all_rows = epoch(1), epoch(min(4, everything)), epoch(everything)
    values = []
    fours = []
    for _ in range(rounds):
        seconds = [seconds_per_unit(work) for work in (one, four, all_rows)]
        values.append(seconds[0] / seconds[2])
        fours.append(seconds[0] / seconds[1])
    words = f"clips/s with {everything} rows to clips/s with 1; with 4: {middle('', '', fours).ratio:.2f}"
    return middle("streaming.epoch_as_rows_grow", words, values)


def _params(count: int, frames: int, size: int) -> Params:
    return Params.model_validate(
        {
            "clips": {"frames": min(64, frames), "batch": min(4, count)},
            "infer": {"stride": min(32, frames)},
            "store": {"size": [size, size]},
        }
    )


def make_streams(folder: Path, count: int, frames: int, params: Params) -> Streams:
    """Write a store of ``count`` rows of ``frames`` frames of ``store.size``, and its Catalog rows.

    Fields change smoothly in place and time with a little noise, as flow does: they compress like it.
    """
    store = create_store(folder / "flows.zarr")
    rows = tuple(_row(f"row_{number:05d}", frames) for number in range(count))
    coding, size = Coding.of("int16", 64), params.store.size
    for number, row in enumerate(rows):
        pictures, velocity = _content(frames, size, seed=number)
        attributes = RowAttributes(
            n_frames=frames,
            fps=row.fps,
            first_frame=0,
            labels=row.labels,
            annotated=((0, frames),),
            video_size=size,
            flow_size=size,
            store_size=size,
            coding=coding,
            estimator={"model": "none"},
            video_sha256=row.sha256,
            fingerprint=row.row_id,
        )
        with store.writer(row.row_id, attributes, np.arange(frames) / 25.0, StoreParams()) as writer:
            writer.append(KinematicsChunk(pictures, velocity, inflection(velocity), 0, 0))
    return Streams(folder, rows, params)


def _content(frames: int, size: tuple[int, int], seed: int) -> tuple[Any, Any]:
    """Pictures (n, 3, H, W) and velocity (n, 2, 2, H, W) as stored."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (frames, 3, *size), np.uint8)
    wave = np.sin(np.linspace(0, 6, size[0]))[:, None] * np.cos(np.linspace(0, 5, size[1]))
    strength = 200 * np.sin(np.arange(frames) / 7 + seed)
    smooth = (strength[:, None, None, None, None] * wave).astype(np.int16)
    noise = rng.integers(-1, 2, (1, 2, 2, *size), dtype=np.int16)
    return pictures, np.ascontiguousarray(np.broadcast_to(smooth, (frames, 2, 2, *size)) + noise)


def _row(row_id: str, frames: int) -> Row:
    return Row(
        row_id=row_id,
        source="benchmark",
        video_id=row_id,
        group=row_id,
        path=f"{row_id}.mp4",
        split="train",
        class_name="",
        labels=tuple(range(5, frames - 3, 9)),
        label_positions_px=None,
        annotated=((0, frames),),
        fps=Fraction(25),
        n_frames=frames,
        sha256="0" * 64,
    )
