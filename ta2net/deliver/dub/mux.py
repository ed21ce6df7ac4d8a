"""A new sound track beside a video's untouched pictures: its packets are copied, not decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from pipeline.errors import UserError, VideoError
from pipeline.files.atomic import written_beside
from pipeline.video.container import REENCODE, opened
from pipeline.video.probe import VideoInfo, probe
from ta2net.media.audio import SAMPLE_RATE, Samples

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffix -> FFmpeg's name of the container. Each of them holds AAC."""
AAC_BITS_PER_S = 192_000
AAC_FRAME = 1024
"""Samples in an AAC frame, and how many FFmpeg's encoder puts in front of the sound (its priming)."""
TIMESCALE_LIMIT = 2**31 - 1
"""Ticks per second in an MP4 file are a 32-bit number (ISO/IEC 14496-12, 8.2.2)."""
TOLERANCE_S = {"mp4": 1e-6, "mov": 1e-6, "matroska": 0.6e-3}
"""How far a copied frame's time may move: Matroska counts milliseconds."""
FILE_FORMAT_TAGS = frozenset({"compatible_brands", "duration", "encoder", "major_brand", "minor_version"})
"""Metadata that speak of the source file's own format and writer."""


def check_format(path: str | Path) -> str:
    """FFmpeg's name of the container that a file name stands for.

    Raises:
        UserError: none of ``FORMATS``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{path}: dubbed videos are written as {', '.join(FORMATS)}, not {suffix or 'that'}")
    return FORMATS[suffix]


def write_dubbed(info: VideoInfo, out: str | Path, track: Iterable[Samples], first_sample: int) -> list[str]:
    """Copy a video's pictures and subtitles to ``out`` and give it ``track`` as its sound, coded as AAC.

    Packets, presentation and decoding times, rotation, metadata and chapters stay. The encoder's priming is
    declared in the container (an edit list in MP4 and MOV, CodecDelay in Matroska); in an MP4 or MOV whose
    track starts later than time 0 it lies before that start, as silence. Either way sample k is heard
    ``first_sample`` + k samples after time 0. The file is probed before it gets its name: it must show what
    the source shows.

    Args:
        info: the source, as ``probe`` saw it.
        out: .mp4, .mov or .mkv; written beside, then renamed.
        track: blocks (k, 2) in -1..1 at 48 kHz.
        first_sample: where the track begins, in samples from time 0 of the source.

    Returns:
        What was left out, a line each.

    Raises:
        UserError: the container cannot hold the pictures' coding or their times, or the file cannot be
            written.
        VideoError: the source cannot be read.
    """
    name = check_format(out)
    try:
        with written_beside(out) as temporary:
            notes = _write(info, temporary, out, _aac_frames(track, first_sample), first_sample)
            _check_copy(info, temporary, out, TOLERANCE_S[name])
    except OSError as error:  # no such folder, no permission, disk full; FFmpeg's among them
        raise UserError(f"{out}: cannot be written ({error.strerror or error}); check the folder") from error
    return notes


def _write(
    info: VideoInfo, temporary: Path, out: str | Path, frames: Iterator[av.AudioFrame], first_sample: int
) -> list[str]:
    name = check_format(out)
    notes: list[str] = []
    with opened(info.path) as (source, video):
        options = {} if name == "matroska" else _exact_times(info, video.time_base, first_sample)
        try:
            with av.open(str(temporary), "w", format=name, options=options) as target:
                copies = _streams(source, video, target, info, name, notes)
                sound = target.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
                sound.bit_rate = AAC_BITS_PER_S
                target.metadata.update(_tags(source))
                target.set_chapters(source.chapters())
                _write_header(target, info, name)
                _copy(_packets(source, copies, info), video, copies, info, target, sound, frames)
        except av.error.FFmpegError as error:
            raise UserError(
                f"{out}: FFmpeg cannot write it ({error.strerror}); check the space on the disk, or write "
                "--out in another container (.mkv, .mp4)"
            ) from error
    return notes


def _write_header(target: Any, info: VideoInfo, name: str) -> None:
    try:
        target.start_encoding()
    except (av.error.ArgumentError, av.error.PatchWelcomeError) as error:  # VP9 in .mov is noticed here only
        raise _cannot_hold(info, name) from error


def _cannot_hold(info: VideoInfo, name: str) -> UserError:
    cure = REENCODE if name == "matroska" else f"write --out as .mkv, or {REENCODE}"
    what = f"its pictures are coded as {info.codec}, which {name} files cannot hold"
    return UserError(f"{info.path}: {what}; {cure}")


def _tags(holder: Any) -> dict[str, str]:
    return {key: text for key, text in holder.metadata.items() if key.lower() not in FILE_FORMAT_TAGS}


def _exact_times(info: VideoInfo, time_base: Fraction, first_sample: int) -> dict[str, str]:
    """Options by which MP4 keeps times exactly: it states the start of a track in ticks of the whole film.

    FFmpeg's 1000 ticks per second would move a sound track that starts late by up to 1 ms.
    """
    pictures = round(float(info.times_s[0]) / time_base) * Fraction(time_base)
    sound = Fraction(max(first_sample - AAC_FRAME, 0), SAMPLE_RATE)
    ticks = math.lcm(1000, pictures.denominator, sound.denominator)
    options = {"movflags": "+faststart"}
    if ticks <= TIMESCALE_LIMIT:
        options["movie_timescale"] = str(ticks)
    if time_base.numerator == 1 and time_base.denominator <= TIMESCALE_LIMIT:
        options["video_track_timescale"] = str(time_base.denominator)
    return options


def _streams(
    source: Any, video: Any, target: Any, info: VideoInfo, name: str, notes: list[str]
) -> dict[int, Any]:
    """Streams of the new file by the number of the source's stream they are copied from."""
    copies: dict[int, Any] = {}
    heard = source.streams.best("audio")
    for stream in source.streams:
        if stream is video:
            try:
                copies[stream.index] = target.add_stream_from_template(stream, opaque=True)
            except ValueError as error:
                raise _cannot_hold(info, name) from error
        elif stream.type == "subtitle":
            try:
                copies[stream.index] = target.add_stream_from_template(stream)
            except ValueError:  # a text format of another container
                notes.append(
                    f"subtitles (stream {stream.index}) left out: {name} files cannot hold their kind"
                )
        elif heard is None or stream.index != heard.index:
            if "timecode" in video.metadata and stream.type == "data":
                continue  # the muxer writes a time code track from the video stream's metadata
            notes.append(f"stream {stream.index} ({stream.type}) left out")
    for number, copy in copies.items():
        copy.metadata.update(_tags(source.streams[number]))
    return copies


def _packets(source: Any, copies: dict[int, Any], info: VideoInfo) -> Iterator[Any]:
    """The source's packets of the streams to be copied.

    Raises:
        VideoError: it cannot be read further.
    """
    try:
        for packet in source.demux([source.streams[number] for number in copies]):
            if packet.size:  # else the end of a stream; in an AVI: the last picture stays
                yield packet
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{info.path}: cannot be read to its end ({error.strerror}); fetch it again"
        ) from error


def _copy(
    packets: Iterator[Any],
    video: Any,
    copies: dict[int, Any],
    info: VideoInfo,
    target: Any,
    sound: Any,
    frames: Iterator[av.AudioFrame],
) -> None:
    """Copy packets in order, before each picture the sound up to its time, so that players need not seek."""
    started = not info.from_key
    heard_s = -math.inf
    with tqdm(total=info.n_frames, desc="dub", unit="frame", disable=None) as bar:
        for packet in packets:
            if packet.stream.index == video.index:
                bar.update()
                started = started or packet.is_keyframe
                if not started:  # as ffmpeg -c copy: nothing can be decoded from it
                    continue
                if packet.pts is None:
                    packet.pts = packet.dts
                now_s = -math.inf if packet.dts is None else float(packet.dts * packet.time_base)
                while heard_s <= now_s:
                    frame = next(frames, None)
                    if frame is None:
                        break
                    heard_s = float(frame.time or 0.0)
                    target.mux(sound.encode(frame))
            packet.stream = copies[packet.stream.index]
            target.mux(packet)
    for frame in frames:
        target.mux(sound.encode(frame))
    target.mux(sound.encode(None))


def _aac_frames(track: Iterable[Samples], first_sample: int) -> Iterator[av.AudioFrame]:
    at = first_sample
    for block in track:
        for start in range(0, len(block), AAC_FRAME):
            piece = np.ascontiguousarray(block[start : start + AAC_FRAME].T)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, Fraction(1, SAMPLE_RATE)
            yield frame
            at += piece.shape[1]


def _check_copy(info: VideoInfo, copy: Path, out: str | Path, tolerance_s: float) -> None:
    """Compare what the new file shows with what the source shows.

    Raises:
        UserError: another number of frames, other times, turned otherwise.
    """
    new = probe(copy)
    if new.n_frames != info.n_frames:
        what = f"{new.n_frames} frames instead of {info.n_frames}"
    elif (moved := np.abs(new.times_s - info.times_s)).max() > tolerance_s:
        frame = int(moved.argmax())
        what = f"frame {frame} at {new.times_s[frame]:.4f} s instead of {info.times_s[frame]:.4f} s"
    elif new.rotation_deg != info.rotation_deg:
        what = f"the picture turned by {new.rotation_deg} degrees instead of {info.rotation_deg}"
    else:
        return
    cure = f"{REENCODE} and predict its hits again"
    if info.time_source == "pts":
        cure = f"write --out as {'.mp4' if Path(out).suffix.lower() == '.mkv' else '.mkv'}, or {cure}"
    raise UserError(
        f"{out}: copied as they are, the pictures of {info.path} ({info.container}) would show {what}; "
        f"{cure}; --stem alone works with this video, too"
    )
