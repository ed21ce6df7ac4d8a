"""What a video file holds, learnt from its container: frame count, presentation times, rate, size.

Only the packets are read, not the pictures; the one exception is the head of the file, decoded until the
first key frame has come out, because no container says which frames before it the decoder will drop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import VideoError
from pipeline.video.container import REENCODE, check_file, check_whole, opened

ABSURD_TIME_S = 1e9
"""Time stamps beyond this are garbage (AVI files are seen with -3e17 s), not a start offset."""

DECORD_CONTAINERS = frozenset({"avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
"""Where decord read in order was found right; on MPEG-TS it loses the first group of pictures."""

TimeSource = Literal["pts", "dts", "index"]


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """A video file as its container presents it.

    Attributes:
        path: the file.
        n_frames: frames that are shown: those an edit list hides and those that lack their key frame are not.
        times_s: float64 (n_frames,), presentation times in seconds, strictly increasing. They are the
            container's own: a start offset is kept, so the first need not be 0.
        fps: average frame rate.
        width, height: of the picture as displayed (after rotation) in pixels; the pixel aspect ratio is
            not applied.
        codec: FFmpeg's name of the coding (``h264``, ``av1``).
        container: FFmpeg's name of the file format.
        has_audio: a sound track exists.
        rotation_deg: counter-clockwise turn (0, 90, 180, 270) from the stored picture to the shown one.
        from_key: decoding starts at the first packet marked as a key frame (False: none is marked).
        time_source: where the times come from: the container's presentation times (``pts``), its decoding
            times (``dts``: AVI stores no others), or frame number and rate (``index``).
        time_base: s; times are whole multiples of it, unless they come from ``index``.
        sound_starts_s: start of each sound track in s, where the container states it.
        start_timecode: what a camera wrote into the file as SMPTE timecode of the first frame, unchecked.
        decord_hazards: why decord's frames could not be trusted; empty = it reads this file right.
        notes: what was repaired or cut, for a report.
    """

    path: str
    n_frames: int
    times_s: npt.NDArray[np.float64]
    fps: Fraction
    width: int
    height: int
    codec: str
    container: str
    has_audio: bool
    rotation_deg: int
    from_key: bool
    time_source: TimeSource
    time_base: Fraction
    sound_starts_s: tuple[Fraction, ...] = ()
    start_timecode: str | None = None
    decord_hazards: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Header(NamedTuple):
    """What a container states of itself before any packet is read."""

    claimed: int
    """Frames, as the header announces them; 0: it does not."""
    indexed: int
    """Entries of FFmpeg's index of the video stream."""
    container: str
    codec: str
    has_audio: bool
    rate: Fraction | None
    time_base: Fraction
    sound_starts_s: tuple[Fraction, ...]
    start_timecode: str | None


class Stamps(NamedTuple):
    """Presentation and decoding time of a packet, in the stream's time base."""

    pts: int | None
    dts: int | None


@dataclass
class Scan:
    """What one pass over the packets of the video stream found."""

    started: bool = False
    unfed: int = 0
    """Packets before the first key frame: nothing can be decoded from them."""
    empty: int = 0
    shown: list[Stamps] = field(default_factory=list)
    """Of the packets that show a frame, in the order of decoding."""
    hidden: int = 0
    """Packets an edit list hides."""
    undecodable: int = 0
    """Frames shown before the first key frame that need another one, not in the file."""
    key_pts: int | None = None
    first: Any = None
    """The first picture decoded (an ``av.VideoFrame``)."""

    @property
    def found(self) -> int:
        """Packets in all, whatever they show."""
        return len(self.shown) + self.hidden + self.undecodable + self.unfed + self.empty


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Read frame count, times, rate and size of a video file without decoding it.

    Raises:
        VideoError: not a file, not readable, not a video, truncated, or its first frame cannot be decoded.
    """
    check_file(path)
    header = _header(path)
    check_whole(Path(path), header.container)
    scan = _scan(path, from_key=True)
    from_key = scan.started
    if not from_key:  # no packet is marked as a key frame: some intra-only files
        scan = _scan(path, from_key=False)
    _check_scan(path, scan, header)
    notes = _notes(scan, header)
    times_s, source = _times(scan, header, notes)
    fps = _rate(header.rate, times_s, notes)
    rotation_deg = _rotation(scan.first, notes)
    width, height = scan.first.width, scan.first.height
    if rotation_deg in (90, 270):
        width, height = height, width
    return VideoInfo(
        path=os.fspath(path),
        n_frames=len(scan.shown),
        times_s=times_s,
        fps=fps,
        width=width,
        height=height,
        codec=header.codec,
        container=header.container,
        has_audio=header.has_audio,
        rotation_deg=rotation_deg,
        from_key=from_key,
        time_source=source,
        time_base=header.time_base,
        sound_starts_s=header.sound_starts_s,
        start_timecode=header.start_timecode,
        decord_hazards=tuple(_hazards(scan, header, rotation_deg)),
        notes=tuple(notes),
    )


def _header(path: str | os.PathLike[str]) -> Header:
    with opened(path) as (container, stream):
        return Header(
            claimed=int(stream.frames),
            indexed=len(stream.index_entries),
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            has_audio=bool(container.streams.audio),
            rate=stream.average_rate or stream.guessed_rate,
            time_base=Fraction(stream.time_base),
            sound_starts_s=tuple(
                sound.start_time * Fraction(sound.time_base)
                for sound in container.streams.audio
                if sound.start_time is not None
            ),
            start_timecode=stream.metadata.get("timecode") or container.metadata.get("timecode"),
        )


def _check_scan(path: str | os.PathLike[str], scan: Scan, header: Header) -> None:
    """Refuse a file that shows nothing, or less than its index lists.

    Raises:
        VideoError: says which.
    """
    if scan.first is None or not scan.shown:
        raise VideoError(
            f"{path}: no frame of the {header.codec} stream can be decoded; {REENCODE} or leave it out"
        )
    # FFmpeg's index of an MP4 is already without hidden parts
    if header.container.startswith("mov") and scan.found < header.indexed:
        raise VideoError(
            f"{path}: damaged or cut off: its index lists {header.indexed} frames, {scan.found} can be read; "
            f"fetch it again, or {REENCODE}"
        )


def _scan(path: str | os.PathLike[str], *, from_key: bool) -> Scan:
    """Read all packets; decode the head until the first key frame has come out."""
    scan = Scan(started=not from_key)
    kept: list[Stamps] = []
    decoded: list[int | None] = []
    head_done = False
    with opened(path) as (container, stream):
        hides = stream.codec_context.codec.canonical_name == "vp8"
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise VideoError(
                    f"{path}: frame {len(kept)} is damaged or cut off; fetch the file again, or {REENCODE}"
                )
            flush = packet.size == 0 and packet.dts is None
            if packet.size == 0 and not flush:
                scan.empty += 1  # "drop frame" of AVI: repeat the last picture; an empty packet ends decoding
                continue
            if not flush and not scan.started:
                if not packet.is_keyframe:
                    scan.unfed += 1
                    continue
                scan.started, scan.key_pts = True, packet.pts
            if not flush and not (hides and is_hidden_vp8(packet)):
                if packet.is_discard:
                    scan.hidden += 1
                else:
                    kept.append(Stamps(packet.pts, packet.dts))
            if not head_done and scan.started:
                for frame in packet.decode():
                    scan.first = scan.first or frame
                    decoded.append(frame.pts)
                    head_done |= frame.pts is None or scan.key_pts is None or frame.pts >= scan.key_pts
    scan.shown = _decodable(kept, decoded, scan.key_pts)
    scan.undecodable = len(kept) - len(scan.shown)
    return scan


def _decodable(kept: list[Stamps], decoded: list[int | None], key_pts: int | None) -> list[Stamps]:
    """Without the frames before the first key frame that the decoder did not give (open GOP)."""
    given = set(decoded)
    if key_pts is None or None in given:
        return kept
    return [one for one in kept if one.pts is None or one.pts >= key_pts or one.pts in given]


def is_hidden_vp8(packet: Any) -> bool:
    """Whether a VP8 packet is an alternate reference, decoded but never shown (RFC 6386, 9.1)."""
    return not memoryview(packet)[0] >> 4 & 1


def _notes(scan: Scan, header: Header) -> list[str]:
    counted = (
        (scan.hidden, "hidden by the container's edit list"),
        (scan.unfed + scan.undecodable, "at the start left out: their key frame is not in the file"),
        (scan.empty, "empty (they repeat the picture before) and left out"),
    )
    notes = [f"{count} frames {why}" for count, why in counted if count]
    if scan.found < header.claimed:  # gaps in an AVI; parts of an MP4 hidden by its edit list
        notes.append(f"the header announces {header.claimed} frames, the file holds {scan.found}")
    return notes


def _times(scan: Scan, header: Header, notes: list[str]) -> tuple[npt.NDArray[np.float64], TimeSource]:
    """Presentation times in seconds, and where they come from."""
    pts = [one.pts for one in scan.shown]
    # AVI numbers its slots; what FFmpeg gives as pts there is guessed, and out of order for packed B-frames
    source: TimeSource = "pts" if any(stamp is not None for stamp in pts) else "dts"
    if header.container == "avi":
        source = "dts"
    stamps = pts if source == "pts" else [one.dts for one in scan.shown]
    known = [stamp for stamp in stamps if stamp is not None]
    times_s = np.sort(np.asarray(known, dtype=np.float64)) * float(header.time_base)
    if len(known) < len(stamps):
        problem = "lacks time stamps"
    elif np.abs(times_s).max() > ABSURD_TIME_S:
        problem = "has absurd time stamps"
    elif (np.diff(times_s) <= 0).any():
        problem = "repeats time stamps"
    else:
        return times_s, source
    rate = header.rate or Fraction(25)
    if not header.rate:
        problem += " and states no frame rate (25 is assumed)"
    notes.append(f"the container {problem}: times are frame number / frame rate")
    return np.arange(len(stamps), dtype=np.float64) / float(rate), "index"


def _rate(claimed: Fraction | None, times_s: npt.NDArray[np.float64], notes: list[str]) -> Fraction:
    """The container's average rate where the times bear it out within 5 % or one frame, else the times'."""
    gaps = len(times_s) - 1
    if gaps < 1:
        return claimed or Fraction(25)
    span_s = float(times_s[-1] - times_s[0])
    if claimed and abs(float(claimed) * span_s - gaps) <= max(1.0, 0.05 * gaps):
        return claimed
    measured = Fraction(gaps / span_s).limit_denominator(1001)
    measured = measured or Fraction(gaps / span_s)  # slower than one frame in 2002 s
    notes.append(
        f"the container states {claimed} frames/s, its time stamps give {float(measured):.4g}: these count"
    )
    return measured


def _rotation(frame: Any, notes: list[str]) -> int:
    turn = int(frame.rotation) % 360
    if turn % 90:
        notes.append(
            f"shown turned by {turn} degrees: only quarter turns are applied, so the picture is as stored"
        )
        return 0
    return turn


def _hazards(scan: Scan, header: Header, rotation_deg: int) -> Iterator[str]:
    """Each was seen to crash decord 0.6.0, or to give wrong frames even when read in order from frame 0."""
    if header.container not in DECORD_CONTAINERS:
        yield f"the container is {header.container}"
    if header.codec == "av1":
        yield "it knows no AV1"
    if rotation_deg:
        yield f"the picture is shown turned by {rotation_deg} degrees"
    if scan.unfed or scan.undecodable:
        yield "the file does not start with a key frame"
    if scan.empty:
        yield "the file holds empty packets"
    if scan.found < header.claimed:  # it reserves memory for them: std::bad_alloc ends the whole program
        yield "the header announces more frames than there are"
