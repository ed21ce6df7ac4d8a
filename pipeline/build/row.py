"""One video file -> one row of the flow store: what a worker does."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.build.retries import may_pass, with_retries
from pipeline.catalog import Row
from pipeline.errors import StorageError, StoreError, UserError, VideoError
from pipeline.files.atomic import sha256_of
from pipeline.flow import FlowEstimator, make_estimator
from pipeline.kinematics import MIN_FRAMES, Coding
from pipeline.params import DecodeParams, FlowParams, StoreParams
from pipeline.revisions import row_code
from pipeline.store import SCHEMA, FlowStore, RowAttributes, fingerprint_of, open_store
from pipeline.video.decode import open_video
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import VideoInfo


@dataclass(frozen=True)
class RowJob:
    """All a worker needs to know to make one row.

    Attributes:
        row: of the Catalog; its path must mean the same file on the worker.
        identity: of the estimator; a worker whose own differs (weights, versions) refuses the job.
        fingerprint: what the finished row will carry.
        decode, flow, store: the parameters' sections; store's paths mean the same on the worker.
        threads: for OpenCV and PyTorch inside the worker; None leaves them as they are.
        retries: after trouble that may pass.
        timeout_s: the row may take, None: as long as it likes; kept by the row's process, if it has one.
        memory_mb: it may take, 0: as much as it likes, None: half of the worker's machine; likewise.
        code: the revisions that the fingerprint holds; a worker whose own differ refuses the job. None: any.
    """

    row: Row
    identity: Mapping[str, Any]
    fingerprint: str
    decode: DecodeParams
    flow: FlowParams
    store: StoreParams
    threads: int | None
    retries: int = 0
    timeout_s: float | None = None
    memory_mb: int | None = 0
    code: Mapping[str, str] | None = None


@dataclass(frozen=True)
class RowDone:
    """A row that is in the store now.

    Attributes:
        row_id: the row.
        frames: of the row.
        saturated_velocity, saturated_inflection: values cut to the coding's limits.
        seconds: from opening the file to the finished row; 0 if another builder had made it meanwhile.
        flow_s: of these, how long the flow estimator worked; the rest of the time it waited.
    """

    row_id: str
    frames: int
    saturated_velocity: int
    saturated_inflection: int
    seconds: float = 0.0
    flow_s: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A row that could not be made: which, from which file, why, and the kind of error.

    Attributes:
        traceback: of a fault of the program, to report it with; empty where a user can mend what is wrong.
    """

    row_id: str
    path: str
    reason: str
    kind: str
    traceback: str = ""


def row_fingerprint(
    row: Row, identity: Mapping[str, Any], decode: DecodeParams, flow: FlowParams, store: StoreParams
) -> str:
    """SHA-256 over all that a row's arrays depend on; labels are no part of it."""
    coding = Coding.of(store.coding, store.scale)
    return fingerprint_of(
        {
            "schema": SCHEMA,
            "video_sha256": row.sha256,
            "n_frames": row.n_frames,
            # the weights' hash says which they are, wherever they lie and whatever they are called
            "estimator": {key: value for key, value in identity.items() if key != "checkpoint"},
            "flow_size": list(flow.size),
            "store_size": list(store.size),
            "coding": coding.kind,
            "scale": coding.scale,
            "codec": store.codec,
            "chunk_frames": store.chunk_frames,
            "reader": decode.reader,
            **({"code": code} if (code := row_code(flow.model)) else {}),
        }
    )


def compute_row(job: RowJob) -> RowDone | Failure:
    """Make a row, or say why it cannot be made: one bad video must not stop the others."""
    try:
        return with_retries(lambda: _compute(job), job.retries)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported with the row and counted
        reason = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error)) if is_fault(error) else ""
        if trace:
            reason = f"{job.row.path}: internal error ({reason})"
        notes = getattr(error, "__notes__", ())
        return Failure(job.row.row_id, job.row.path, "; ".join([reason, *notes]), type(error).__name__, trace)


def is_fault(error: Exception) -> bool:
    """Whether the program is to blame: for nothing that a user, a machine or a network has done."""
    return not isinstance(error, UserError | OSError | MemoryError) and not may_pass(error)


def _compute(job: RowJob) -> RowDone:
    began = time.perf_counter()
    row, store = job.row, open_store(job.store)
    there = _already_there(store, job)
    if there is not None:
        return there
    if sha256_of(row.path) != row.sha256:
        raise UserError(
            f"{row.path}: the file changed since the catalog was made; run the catalog stage again"
        )
    estimator = _Clocked(_estimator(job))
    if job.code is not None and row_code(job.flow.model) != job.code:
        raise UserError(
            "this worker's code differs from that of the machine that planned the build; install "
            "the same version"
        )
    video = open_video(row.path, job.decode.reader, job.decode.chunk_frames)
    _check_length(row, video.info)
    coding = Coding.of(job.store.coding, job.store.scale)
    kinematics = Frames2Kinematics(estimator, job.flow.size, job.store.size, coding)
    attributes = row_attributes(job, video.info, coding)
    velocity = inflection = 0
    with (
        store.writer(row.row_id, attributes, video.info.times_s, job.store) as writer,
        kinematics.overlapped(video) as chunks,
    ):
        for chunk in chunks:
            writer.append(chunk)
            velocity += chunk.saturated_velocity
            inflection += chunk.saturated_inflection
    seconds = time.perf_counter() - began
    return RowDone(row.row_id, row.n_frames, velocity, inflection, seconds, estimator.busy_s)


def _already_there(store: FlowStore, job: RowJob) -> RowDone | None:
    """The row, if another builder has made it since this build was planned."""
    try:
        found = store.attributes(job.row.row_id)
    except StorageError:
        raise
    except StoreError:  # no such row, or a damaged one
        return None
    wanted = (job.fingerprint, job.row.labels, job.row.annotated)
    if (found.fingerprint, found.labels, found.annotated) != wanted:
        return None
    return RowDone(job.row.row_id, found.n_frames, found.saturated_velocity, found.saturated_inflection)


class _Clocked:
    """An estimator, and how long it worked."""

    def __init__(self, estimator: FlowEstimator) -> None:
        self._estimator = estimator
        self.name, self.identity = estimator.name, estimator.identity
        self.busy_s = 0.0

    def estimate(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``FlowEstimator.estimate``."""
        began = time.perf_counter()
        flow = self._estimator.estimate(frames)
        self.busy_s += time.perf_counter() - began
        return flow


def _check_length(row: Row, info: VideoInfo) -> None:
    if info.n_frames != row.n_frames:
        raise UserError(
            f"{row.path}: {info.n_frames} frames, but the catalog says {row.n_frames}; "
            "run the catalog stage again"
        )
    if info.n_frames < MIN_FRAMES:
        raise VideoError(f"{row.path}: {info.n_frames} frame(s); an inflection needs {MIN_FRAMES}")


def row_attributes(job: RowJob, info: VideoInfo, coding: Coding) -> RowAttributes:
    """What is known of a row before its first frame."""
    return RowAttributes(
        n_frames=info.n_frames,
        fps=info.fps,
        first_frame=0,
        labels=job.row.labels,
        annotated=job.row.annotated,
        video_size=(info.height, info.width),
        flow_size=job.flow.size,
        store_size=job.store.size,
        coding=coding,
        estimator=job.identity,
        video_sha256=job.row.sha256,
        fingerprint=job.fingerprint,
    )


_of_thread = threading.local()
"""The estimator of this worker (thread): loaded once, used for all its rows."""


def _estimator(job: RowJob) -> FlowEstimator:
    if getattr(_of_thread, "params", None) != job.flow:
        _of_thread.estimator = make_estimator(job.flow)
        _of_thread.params = job.flow
        if job.threads is not None:
            limit_threads(job.threads)
    estimator: FlowEstimator = _of_thread.estimator
    if dict(estimator.identity) != dict(job.identity):
        raise UserError(
            "this worker's optical flow is not the one asked for (other weights or library version): "
            f"{estimator.identity} instead of {dict(job.identity)}"
        )
    return estimator


def limit_threads(count: int) -> None:
    """Let OpenCV and, where it is loaded, PyTorch use ``count`` threads for one operation."""
    cv2.setNumThreads(count)
    # not imported for its own sake: DIS works without PyTorch
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
