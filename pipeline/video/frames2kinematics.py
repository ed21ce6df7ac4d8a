"""Frames -> kinematics: a video's pictures to velocity and inflection in one pass of bounded memory.

Three steps, each a stream: frames at the sizes that are needed, their flow, its coding. ``overlapped`` gives
the first two a thread each, so that decoding, flow and what the caller does with the result go on at the same
time: decoders, OpenCV, PyTorch and NumPy all release Python's lock while they work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.flow import FlowEstimator, resample_flow, resize_frames
from pipeline.kinematics import Coding, InflectionStream, KinematicsChunk, encode
from pipeline.video.ahead import ahead

AHEAD_BYTES = 1 << 25
"""What may lie ready between two threads: a few chunks at usual sizes."""


@dataclass(frozen=True)
class SizedFrames:
    """Some consecutive frames at both sizes that are needed.

    Attributes:
        frames: uint8 (k, 3, H, W) at store size.
        run: uint8 (j, h, w, 3) at flow size: the last frame of the piece before, where there is one, then
            these k frames.
    """

    frames: npt.NDArray[np.uint8]
    run: npt.NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.frames.nbytes + self.run.nbytes


@dataclass(frozen=True)
class FlowOfFrames:
    """Some consecutive frames and the flow of the pairs that end with them.

    Attributes:
        frames: uint8 (k, 3, H, W) at store size.
        flow_px: float32 (pairs, 2, 2, h, w) at flow size, as ``FlowEstimator.estimate`` gives it.
    """

    frames: npt.NDArray[np.uint8]
    flow_px: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.frames.nbytes + self.flow_px.nbytes


@dataclass(frozen=True)
class Frames2Kinematics:
    """Video frames -> frames, velocity and inflection at store size, in one pass and bounded memory.

    Attributes:
        estimator: the optical flow.
        flow_size: (height, width) at which flow is estimated.
        store_size: (height, width) of the result.
        coding: of velocity and inflection.
    """

    estimator: FlowEstimator
    flow_size: tuple[int, int]
    store_size: tuple[int, int]
    coding: Coding

    def __call__(self, chunks: Iterable[npt.NDArray[np.uint8]]) -> Iterator[KinematicsChunk]:
        """Yield the tuple of every frame, in order; chunks (k, h, w, 3) uint8 RGB of any size k >= 1.

        Raises:
            VideoError: the video has fewer than three frames.
            ValueError: the estimator returned values that are not finite.
        """
        return self.coded(self.flowed(self.sized(chunks)))

    @contextmanager
    def overlapped(self, chunks: Iterable[npt.NDArray[np.uint8]]) -> Iterator[Iterator[KinematicsChunk]]:
        """Inside the block: the same, bit for bit, with a thread that decodes and one that estimates flow.

        What the caller does with the chunks (writing, scoring) is the third thing done at the same time. At
        most some ``2 * AHEAD_BYTES`` lie ready between the three, however long the video is.
        """
        with (
            ahead(self.sized(chunks), AHEAD_BYTES, lambda sized: sized.nbytes) as sized,
            ahead(self.flowed(sized), AHEAD_BYTES, lambda flowed: flowed.nbytes) as flowed,
        ):
            yield self.coded(flowed)

    def sized(self, chunks: Iterable[npt.NDArray[np.uint8]]) -> Iterator[SizedFrames]:
        """First step: frames at both sizes, in runs that overlap by one frame."""
        last: npt.NDArray[np.uint8] | None = None
        for chunk in chunks:
            run = resize_frames(chunk, self.flow_size)
            joined = run if last is None else np.concatenate([last, run])
            last = run[-1:].copy()  # the rest of the run can be freed
            yield SizedFrames(_channels_first(resize_frames(chunk, self.store_size)), joined)

    def flowed(self, pieces: Iterable[SizedFrames]) -> Iterator[FlowOfFrames]:
        """Second step: the flow of every run."""
        for piece in pieces:
            if len(piece.run) < 2:
                none = np.empty((0, 2, 2, *self.flow_size), dtype=np.float32)
                yield FlowOfFrames(piece.frames, none)
            else:
                yield FlowOfFrames(piece.frames, self.estimator.estimate(piece.run))

    def coded(self, pieces: Iterable[FlowOfFrames]) -> Iterator[KinematicsChunk]:
        """Third step: flow at store size, coded, with its inflection; raises as calling does."""
        stream = InflectionStream()
        pending = np.empty((0, 3, *self.store_size), dtype=np.uint8)
        counted = 0
        for piece in pieces:
            pending = np.concatenate([pending, piece.frames])
            if not len(piece.flow_px):
                continue
            pairs, saturated_velocity = encode(resample_flow(piece.flow_px, self.store_size), self.coding)
            velocity, change = stream.push(pairs)
            yield KinematicsChunk(
                pending[: len(velocity)], velocity, change, saturated_velocity, stream.saturated - counted
            )
            pending, counted = pending[len(velocity) :], stream.saturated
        velocity, change = stream.finish()
        yield KinematicsChunk(pending, velocity, change, 0, stream.saturated - counted)


def _channels_first(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
