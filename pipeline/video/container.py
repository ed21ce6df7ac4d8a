"""Opening a video file: what is refused before a decoder sees it, and whether the file is all there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from pipeline.errors import VideoError

PLAYLISTS = frozenset({"concat", "dash", "hls", "imf"})
"""Formats that only point at other files; following them would read what the user never named."""

MAX_PIXELS = 1 << 26
"""Of a picture, 8192 x 8192: a few bytes may claim far more, and one such picture fills a machine."""

REENCODE = "re-encode it (`ffmpeg -i OLD -c:v libx264 -crf 12 NEW.mp4`)"


def check_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is not a readable, non-empty regular file, before any decoder touches it.

    Raises:
        VideoError: with what is wrong and what to do.
    """
    file = Path(path)
    try:
        str(path).encode()  # its name will stand in CSV, JSON and XML files
    except UnicodeEncodeError as error:
        raise VideoError(f"{str(path)!r}: the file name is not valid text; rename the file") from error
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise VideoError(f"{path}: a folder, not a video file; name one file in it")
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(f"{path}: a pipe or device, not a video file; save the video to a file first")
        with file.open("rb") as handle:
            empty = not handle.read(1)
    except FileNotFoundError as error:
        raise VideoError(f"{path}: no such file; check the path") from error
    except PermissionError as error:
        raise VideoError(f"{path}: no permission to read it; `chmod +r` it or run as its owner") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise VideoError(f"{str(path)!r}: cannot be read ({error}); check the path and the disk") from error
    if empty:
        raise VideoError(f"{path}: the file is empty (0 bytes); fetch it again")


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Any]]:
    """The file's container and its video stream (cover pictures are none), while the block lasts.

    Nothing of either may be touched after the block: PyAV frees them and crashes.

    Raises:
        VideoError: FFmpeg does not know the format, no video stream is inside, its coding is unknown, its
            pictures are larger than ``MAX_PIXELS``; also for any FFmpeg error inside the block.
    """
    try:
        # only plain files: a crafted "video" may otherwise name other files or addresses
        options = {"protocol_whitelist": "file"}
        source = "file:" + str(Path(path).absolute())
        with av.open(source, options=options, metadata_errors="replace") as container:
            if container.format.name in PLAYLISTS:
                raise VideoError(f"{path}: a playlist ({container.format.name}), not a video file")
            yield container, _video_stream(path, container)
    except UnicodeEncodeError as error:
        raise VideoError(f"{str(path)!r}: the file name is not valid text; rename the file") from error
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path}: FFmpeg cannot read it as a video ({error.strerror}); the file is cut off, damaged, or "
            f"no video: fetch it again, or {REENCODE}"
        ) from error


def _video_stream(path: str | os.PathLike[str], container: Any) -> Any:
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(f"{path}: no video stream inside (found: {held}); give a file with moving pictures")
    best = container.streams.best("video")
    stream = next((one for one in streams if best is not None and one.index == best.index), streams[0])
    if stream.codec_context is None:
        raise VideoError(f"{path}: no decoder for its video stream; {REENCODE}")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{path}: pictures of {width}x{height} pixels are too large (limit {MAX_PIXELS} pixels); make "
            "them smaller (`ffmpeg -i OLD -vf scale=1920:-2 NEW.mp4`)"
        )
    # the pictures themselves may be larger than the header says
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def check_whole(path: Path, container: str) -> None:
    """Compare the size that the outermost element of a file claims with the file's real size.

    FFmpeg reads a cut-off AVI, Matroska or MP4 file up to the cut and says nothing.

    Raises:
        VideoError: the file is shorter than it says.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        if container == "avi":
            claimed = _riff_end(handle.read(12))
        elif container.startswith("mov"):
            claimed = _last_box_end(handle, size)
        elif container == "matroska,webm":
            claimed = _segment_end(handle.read(4096))
        else:
            return
    if claimed > size:
        raise VideoError(f"{path}: cut off: {size} bytes of {claimed} are there; fetch it again")


def _riff_end(head: bytes) -> int:
    length = int.from_bytes(head[4:8], "little")
    return 0 if length in (0, 0xFFFFFFFF) else 8 + length  # written live: not filled in


def _last_box_end(handle: Any, size: int) -> int:
    """Where the last of an MP4 file's top-level boxes says it ends."""
    position = 0
    while position + 8 <= size:
        handle.seek(position)
        head = handle.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; else padding or rubbish behind the last box
            return 0
        position += length
        if head[4:8] not in (b"mdat", b"moov", b"moof") and position > size:
            return 0
    return position


def _segment_end(head: bytes) -> int:
    """Where a Matroska file's segment says it ends; 0 where it does not say."""
    position, lengths = 0, []
    for _ in range(2):  # EBML header, then the segment
        if position + 12 > len(head):
            return 0
        position += 4  # both ids have four bytes
        width = 9 - head[position].bit_length()
        value = int.from_bytes(head[position : position + width], "big") & ((1 << 7 * width) - 1)
        if width > 8 or value == (1 << 7 * width) - 1:
            return 0  # unknown size: written live
        position += width
        lengths.append(value)
        if len(lengths) == 1:
            position += value
    return position + lengths[-1]
