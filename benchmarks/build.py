"""From video files to the store: the whole build against the slowest of its parts alone.

The parts are what a row consists of, each done by the build's own code over frames that are ready: decoding,
flow, resampling with coding, and writing. Whole and parts run in the same row processes, started and warm
before the clock runs, so that what is compared is the work, not the start of Python.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.measure import Ratio
from pipeline.build.jobs import jobs_of
from pipeline.build.row import RowDone, RowJob, compute_row, limit_threads, row_attributes
from pipeline.build.row_process.apart import Limits, RowProcess
from pipeline.build.schedulers import core_count
from pipeline.catalog import Row
from pipeline.files.atomic import sha256_of
from pipeline.flow import flow_identity, make_estimator
from pipeline.kinematics import Coding
from pipeline.params import DataParams
from pipeline.store import create_store, open_store
from pipeline.video.decode import open_video, read_all
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import probe

NO_LIMITS = Limits(None, None)


@dataclass(frozen=True)
class Times:
    """Seconds that all videos took, by what was done with them."""

    whole: float
    parts: dict[str, float]

    @property
    def slowest(self) -> str:
        """The part that takes longest alone."""
        return max(self.parts, key=self.parts.__getitem__)

    @property
    def ratio(self) -> float:
        """The slowest part's time over the whole's: 1 if everything else is hidden behind it."""
        return self.parts[self.slowest] / self.whole


def ratios(rounds: int, *, videos: int = 4, frames: int = 96, size: int = 128) -> Iterator[Ratio]:
    """``build.vs_slowest_part`` with one, two (and four) workers, as the machine has cores.

    Args:
        rounds: measurements of each.
        videos, frames, size: so many rendered clips of so many frames and pixels a side.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [
            film_row(folder / f"film{seed}.mp4", frames, size, size, seed=seed) for seed in range(videos)
        ]
        jobs = jobs_for(folder, films)
        for workers in [count for count in (1, 2, 4) if count <= core_count()]:
            with _Workers(workers) as pool:
                _times(pool, jobs, folder)  # warm
                measured = [_times(pool, jobs, folder) for _ in range(rounds)]
            of_rounds = [times.ratio for times in measured]
            middle = min(measured, key=lambda times: abs(times.ratio - statistics.median(of_rounds)))
            rate = videos * frames / middle.whole
            yield Ratio(
                "build.vs_slowest_part" + (f".{workers}_workers" if workers > 1 else ""),
                statistics.median(of_rounds),
                f"{middle.slowest} alone, {workers} worker(s); {rate:.0f} frames/s",
                (min(of_rounds), max(of_rounds)),
            )


class _Workers:
    """Some row processes, given one job after another each."""

    def __init__(self, count: int) -> None:
        self._processes = [RowProcess({}) for _ in range(count)]

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    def seconds(self, task: Callable[[RowJob], float], jobs: Sequence[RowJob]) -> float:
        """How long all jobs took: of each worker the sum of its tasks' own clocks, of these the largest."""

        def share(index: int) -> float:
            mine = jobs[index :: len(self._processes)]
            return sum(self._processes[index].run(task, job, NO_LIMITS) for job in mine)

        with ThreadPoolExecutor(len(self._processes)) as threads:
            return max(threads.map(share, range(len(self._processes))))


def _times(pool: _Workers, jobs: Sequence[RowJob], folder: Path) -> Times:
    """One round: the whole, then each part."""
    shutil.rmtree(folder / "flows.zarr", ignore_errors=True)
    create_store(folder / "flows.zarr")
    whole = pool.seconds(row_seconds, jobs)
    parts = {name: pool.seconds(part, jobs) for name, part in PARTS.items()}
    return Times(whole, parts)


def row_seconds(job: RowJob) -> float:
    """The whole, as a build's worker does it."""
    began = time.perf_counter()
    done = compute_row(job)
    if not isinstance(done, RowDone):
        raise TypeError(done.reason)
    return time.perf_counter() - began


def decode_seconds(job: RowJob) -> float:
    """Decoding alone."""
    began = time.perf_counter()
    for _ in open_video(job.row.path, job.decode.reader, job.decode.chunk_frames):
        pass
    return time.perf_counter() - began


def flow_seconds(job: RowJob) -> float:
    """Flow alone, of frames that are decoded and sized."""
    kinematics, sized, _, _ = _ready(job)
    began = time.perf_counter()
    for _ in kinematics.flowed(sized):
        pass
    return time.perf_counter() - began


def code_seconds(job: RowJob) -> float:
    """Resampling, coding and inflection alone."""
    kinematics, _, flowed, _ = _ready(job)
    began = time.perf_counter()
    for _ in kinematics.coded(flowed):
        pass
    return time.perf_counter() - began


def write_seconds(job: RowJob) -> float:
    """Compressing and writing a row alone."""
    _, _, _, coded = _ready(job)
    info = probe(job.row.path)
    attributes = row_attributes(job, info, Coding.of(job.store.coding, job.store.scale))
    began = time.perf_counter()
    with open_store(job.store).writer(job.row.row_id, attributes, info.times_s, job.store) as writer:
        for chunk in coded:
            writer.append(chunk)
    return time.perf_counter() - began


PARTS = {"decoding": decode_seconds, "flow": flow_seconds, "coding": code_seconds, "writing": write_seconds}


def _ready(job: RowJob) -> Any:
    """A row's frames after each step, worked out once in each process."""
    return _steps(job.row.path, job.flow, job.store, job.decode.chunk_frames)


@cache
def _steps(path: str, flow: Any, store: Any, chunk_frames: int) -> Any:
    limit_threads(1)
    kinematics = Frames2Kinematics(
        make_estimator(flow), flow.size, store.size, Coding.of(store.coding, store.scale)
    )
    frames = read_all(path, chunk_frames=chunk_frames)
    chunks = [frames[start : start + chunk_frames] for start in range(0, len(frames), chunk_frames)]
    sized = list(kinematics.sized(chunks))
    flowed = list(kinematics.flowed(sized))
    return kinematics, sized, flowed, list(kinematics.coded(flowed))


def jobs_for(folder: Path, rows: Sequence[Row], side: int | None = None) -> list[RowJob]:
    """Jobs that make ``rows`` in the store ``flows.zarr`` of a folder, as the default build would.

    Args:
        side: of flow and store in pixels, in place of the default sizes.
    """
    sizes = {} if side is None else {"size": [side, side]}
    params = DataParams.model_validate(
        {"flow": sizes, "store": {"path": str(folder / "flows.zarr"), **sizes}}
    )
    return list(jobs_of(rows, lambda row: row.sha256, flow_identity(params.flow), params, threads=1))


def film_row(path: Path, frames: int, height: int, width: int, *, seed: int = 0) -> Row:
    """Write a film of a drifting texture and describe it as a Catalog does."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 16, width // 8 + 16, 3), np.uint8)
    picture = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"x264-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(frames):
            y, x = (abs((step * t) % 200 - 100) for step in (2, 3))  # to and fro, up to 100 px
            seen: Any = np.ascontiguousarray(picture[y : y + height, x : x + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
        container.mux(stream.encode(None))
    return Row(
        row_id=path.stem,
        source="benchmark",
        video_id=path.stem,
        group=path.stem,
        path=str(path),
        split="train",
        class_name="",
        labels=(),
        label_positions_px=None,
        annotated=((0, frames),),
        fps=Fraction(30),
        n_frames=frames,
        sha256=sha256_of(path),
    )
