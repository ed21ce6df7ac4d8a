"""Video file -> frames, in order, a chunk at a time; two back ends behind one face.

decord is the faster one, but it lies in several ways (random access, length, damaged heads), so it is only
ever read from frame 0 onwards, and what it gives is held against the container (``pipeline.video.probe``).
PyAV reads everything that FFmpeg reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import av
import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError, VideoError
from pipeline.video.container import REENCODE, opened
from pipeline.video.probe import VideoInfo, probe

__all__ = ["Frames", "Reader", "VideoInfo", "VideoReader", "open_video", "probe", "read_all"]

Reader = Literal["auto", "decord", "pyav"]
Frames = npt.NDArray[np.uint8]

THREADS = 2
"""Per open file; rows are read side by side, so more would only compete."""

TIME_TOLERANCE_S = 1e-4
"""Finer than any frame distance; a decoder that loses a frame is off by a whole one."""

CHUNK_BYTES = 1 << 26
"""Of pictures in a chunk: one of large pictures has fewer frames than asked for."""

DECORD_BYTES = 1 << 28
"""Of a video's pictures, all of them: decord decodes as far ahead of a busy reader as the video goes on."""

STRICT = 1e-9
"""decord's ``fault_tol``: share of the frames that may be repeats of a neighbour (0 would mean any)."""


class VideoReader(Protocol):
    """One open video.

    Iterating gives its frames in order as uint8 (k, H, W, 3) RGB chunks of ``chunk_frames`` frames (the last
    may be shorter), ``info.n_frames`` in all, displayed the right way up. A chunk belongs to the caller.
    Every iteration starts again from frame 0 with a decoder of its own. Iterating raises ``VideoError``
    where the file gives fewer frames than it claims, or damaged ones.
    """

    info: VideoInfo
    notes: tuple[str, ...]
    """What was repaired or cut, for a report."""

    def __iter__(self) -> Iterator[Frames]: ...


def open_video(
    video: str | os.PathLike[str] | VideoInfo, reader: Reader = "auto", chunk_frames: int = 32
) -> VideoReader:
    """Open a video file for reading from its first frame to its last.

    Args:
        video: the file, or what ``probe`` has found in it.
        reader: ``decord``, ``pyav``, or ``auto``: decord where it is known to read the file right and all its
            pictures take no more than ``DECORD_BYTES``, else PyAV; both give the same pictures.
        chunk_frames: frames in a chunk, fewer where they would take more than ``CHUNK_BYTES``: memory is
            bounded by one chunk and the decoder's own few frames.

    Raises:
        VideoError: the file cannot be opened (see ``probe``), or decord was asked for and cannot be trusted
            with this file.
        UserError: decord was asked for and is not installed.
    """
    if chunk_frames < 1:
        raise ValueError(f"chunk_frames must be at least 1, got {chunk_frames}")
    info = video if isinstance(video, VideoInfo) else probe(video)
    chunk_frames = min(chunk_frames, max(1, CHUNK_BYTES // (3 * info.width * info.height)))
    if reader == "pyav":
        return PyavReader(info, chunk_frames)
    if reader == "decord":
        return DecordReader(info, chunk_frames)
    if info.n_frames * 3 * info.width * info.height > DECORD_BYTES:
        return PyavReader(info, chunk_frames)
    if info.decord_hazards:
        return PyavReader(info, chunk_frames, (f"not read by decord: {'; '.join(info.decord_hazards)}",))
    try:
        return DecordReader(info, chunk_frames)
    except UserError as error:
        return PyavReader(info, chunk_frames, (f"not read by decord: {error.message}",))


def read_all(path: str | os.PathLike[str], reader: Reader = "auto", chunk_frames: int = 32) -> Frames:
    """All frames of a short clip as one array, uint8 (n, H, W, 3) RGB.

    Raises:
        VideoError, UserError: see ``open_video`` and ``VideoReader``.
    """
    return np.concatenate(list(open_video(path, reader, chunk_frames)))


class PyavReader:
    """PyAV (FFmpeg): every format, rotation applied here because FFmpeg's decoders leave it to the player."""

    def __init__(self, info: VideoInfo, chunk_frames: int, notes: tuple[str, ...] = ()) -> None:
        self.info = info
        self.notes = info.notes + notes
        self._chunk_frames = chunk_frames

    def __iter__(self) -> Iterator[Frames]:
        """Yield chunks; see ``VideoReader``."""
        return _in_chunks(self._pictures(), self.info, self._chunk_frames)

    def _pictures(self) -> Iterator[Frames]:
        info = self.info
        with opened(info.path) as (container, stream):
            stream.codec_context.thread_type = "AUTO"
            stream.codec_context.thread_count = THREADS
            for index, frame in enumerate(_pyav_frames(container, stream, info)):
                _check_frame(frame, index, info)
                picture = frame.to_ndarray(format="rgb24")
                yield np.rot90(picture, info.rotation_deg // 90)


def _pyav_frames(container: Any, stream: Any, info: VideoInfo) -> Iterator[Any]:
    """Decoded frames, fed from the first key frame on: from anything before it FFmpeg only guesses."""
    started = not info.from_key
    count = 0
    for packet in container.demux(stream):
        if packet.size == 0 and packet.dts is not None:
            continue  # an empty packet inside the stream would end decoding
        started = started or packet.is_keyframe
        if not started:
            continue
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            raise _broken(info, count, error.strerror or str(error)) from error
        count += len(frames)
        yield from frames


def _check_frame(frame: Any, index: int, info: VideoInfo) -> None:
    """Refuse a damaged frame, one of another size, and one that is not the frame the container lists next."""
    if frame.is_corrupt:
        raise _broken(info, index, "damaged data")
    turned = info.rotation_deg in (90, 270)
    if (frame.height, frame.width) != ((info.width, info.height) if turned else (info.height, info.width)):
        raise _broken(info, index, f"the picture size changes to {frame.width}x{frame.height}")
    if info.time_source == "pts" and frame.time is not None and index < info.n_frames:
        expected_s = float(info.times_s[index])
        if abs(frame.time - expected_s) > TIME_TOLERANCE_S:
            raise _broken(
                info, index, f"expected at {expected_s:.4f} s, came at {frame.time:.4f} s: one is missing"
            )


class DecordReader:
    """decord, read in order by ``next()``; never by ``get_batch`` or ``seek``, which may jump.

    On a fresh reader ``get_batch([40, ...])`` of an MPEG-4 AVI gives frames 6, ... (see also
    https://github.com/dmlc/decord/issues/54 and /195). Its length counts frames that are never shown, and
    past the true end it repeats the last frame or spins (/373): ``next()`` is called as often as the
    container shows frames and no more. A reader must stay in the thread and process that made it, so each
    iteration makes its own.
    """

    def __init__(self, info: VideoInfo, chunk_frames: int) -> None:
        self.info = info
        self._chunk_frames = chunk_frames
        if info.decord_hazards:
            raise VideoError(
                f"{info.path}: decord would read it wrong: {'; '.join(info.decord_hazards)}; "
                "set decode.reader to auto or pyav"
            )
        surplus = len(_open_decord(info)) - info.n_frames
        if surplus < 0:
            raise VideoError(f"{info.path}: decord sees {-surplus} frames less than the container lists")
        self._whole = surplus == 0
        cut = (f"decord announces {surplus} frames more than the container shows: cut",) if surplus else ()
        self.notes = info.notes + cut

    def __iter__(self) -> Iterator[Frames]:
        """Yield chunks; see ``VideoReader``."""
        return _in_chunks(self._pictures(), self.info, self._chunk_frames)

    def _pictures(self) -> Iterator[Frames]:
        decord = _decord()
        video = _open_decord(self.info, strict=self._whole)
        for index in range(self.info.n_frames):
            try:
                picture = video.next().asnumpy()
            except StopIteration:
                return
            except (decord.DECORDError, decord.DECORDLimitReachedError) as error:
                raise _broken(self.info, index, _first_line(error)) from error
            if picture.shape != (self.info.height, self.info.width, 3):
                raise _broken(self.info, index, f"the picture changes its shape to {picture.shape}")
            yield picture


def _decord() -> Any:
    """The decord module, imported late: there is no wheel of it for Arm.

    Raises:
        UserError: it is not installed.
    """
    try:
        import decord
    except (ImportError, OSError) as error:
        raise UserError(
            "decord is not installed (it has wheels for x86-64 only): set decode.reader to pyav"
        ) from error
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _open_decord(info: VideoInfo, *, strict: bool = False) -> Any:
    """A fresh ``decord.VideoReader``; ``strict``: fail rather than repeat a frame in place of a lost one."""
    decord = _decord()
    try:
        return decord.VideoReader(
            str(Path(info.path).absolute()),
            ctx=decord.cpu(0),
            num_threads=THREADS,
            fault_tol=STRICT if strict else -1,
        )
    except (decord.DECORDError, RuntimeError, AssertionError, UnicodeEncodeError) as error:
        raise VideoError(f"{info.path}: decord cannot open it ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    """What decord says, without clock, source line and the stack of C++ addresses below it."""
    text = str(error).strip()
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", text.splitlines()[0]) if text else type(error).__name__


def _in_chunks(pictures: Iterator[Frames], info: VideoInfo, chunk_frames: int) -> Iterator[Frames]:
    """Gather single frames into chunks and check that there are as many as the container lists."""
    done = 0
    chunk = np.empty((0, 0, 0, 3), np.uint8)
    filled = 0
    for picture in pictures:
        if done + filled == info.n_frames:
            raise _broken(info, info.n_frames, "it gives more frames than its container lists")
        if filled == 0:
            chunk = np.empty((min(chunk_frames, info.n_frames - done), info.height, info.width, 3), np.uint8)
        chunk[filled] = picture
        filled += 1
        if filled == len(chunk):
            yield chunk
            done, filled = done + filled, 0
    if done + filled < info.n_frames:
        raise _broken(info, done + filled, "the frames end here")


def _broken(info: VideoInfo, index: int, why: str) -> VideoError:
    return VideoError(
        f"{info.path}: frame {index} of {info.n_frames} cannot be decoded ({why}); "
        f"fetch the file again, {REENCODE}, or leave it out"
    )
