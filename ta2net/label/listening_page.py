"""A page to listen to the labels of one video: its sound as a picture, a line at each label."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from ta2net.label.heard import Heard
from ta2net.label.onsets import MOMENTS_PER_S, WINDOW
from ta2net.label.sound import sound_blocks
from ta2net.media.audio import SAMPLE_RATE
from ta2net.media.film import look_at
from ta2net.media.html import as_json, clock, in_base64, page, write_page

PAGE = "labels.html"
MOST_COLUMNS = 60_000
"""Of the picture, a pixel each: longer sound is drawn coarser."""
LEAST_MOMENTS = 2
"""In a column: 5 ms."""
HEIGHT_PX = 150
WAVE_PX = 100
"""Of the height, for the sound; the novelty lies below."""
FULL_RISE_DB = 30.0
"""Drawn as high as there is room."""
SOUND_BYTES = 10_000_000
"""Of a page; a longer film's sound is coded coarser."""
MOST_BITS_PER_S, LEAST_BITS_PER_S = 48_000, 12_000


def write_label_page(heard: Heard, path: Path) -> None:
    """Write the page; it needs no other file and no network.

    Raises:
        UserError: it cannot be written, or PyAV was built without the Opus coder.
        VideoError: the sound cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="ta2net-") as folder:
        sound = Path(folder) / "sound.webm"
        duration_s = len(heard.sound.rise_db) / MOMENTS_PER_S
        bits_per_s = int(np.clip(8 * SOUND_BYTES / duration_s, LEAST_BITS_PER_S, MOST_BITS_PER_S))
        write_opus(heard.info.path, sound, bits_per_s)
        write_page(path, _pieces(heard, sound))


def write_opus(video: str | Path, path: Path, bits_per_s: int) -> None:
    """A video's sound as one channel of Opus in WebM; its first sample is at 0.

    Raises:
        UserError: PyAV was built without the coder.
        VideoError: the sound cannot be read.
    """
    if "libopus" not in av.codecs_available:
        raise UserError("this PyAV has no Opus coder; install its wheel from PyPI (`pip install av`)")
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = bits_per_s
        at = 0
        for _, block in sound_blocks(video):
            samples = np.clip(block, -1, 1)[None]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, Fraction(1, SAMPLE_RATE)
            container.mux(stream.encode(frame))
            at += len(block)
        container.mux(stream.encode(None))


def _pieces(heard: Heard, sound: Path) -> Iterator[str]:
    info, track = heard.info, heard.sound
    zero_s = float(look_at(info).player_zero_s)
    per_column = max(LEAST_MOMENTS, -(-len(track.rise_db) // MOST_COLUMNS))
    px_per_s = MOMENTS_PER_S / per_column
    wave, rise = pictures(track.loudness, track.rise_db, per_column)
    width = len(track.rise_db) // per_column + 1
    frames = np.clip((info.times_s[[0, -1]] - track.start_s) * px_per_s, 0, width)
    shown = [
        {
            "at": one.time_s - track.start_s,
            "x": f"{(one.time_s - track.start_s) * px_per_s:.1f}",
            "time": clock(one.time_s - zero_s),
            "frame": one.frame,
            "away": f"{1000 * (one.time_s - one.frame_time_s):+.1f}",
            "above": f"{one.above_db:.1f}",
            "confidence": f"{one.confidence:.2f}",
        }
        for one in heard.onsets
    ]
    return page(
        "sound.html",
        ("shell.css", "sound.css"),
        ("sound.js",),
        name=Path(info.path).name,
        summary=_summary(heard),
        labels=shown,
        wave=wave,
        rise=rise,
        width=width,
        height=HEIGHT_PX,
        first=f"{frames[0]:.1f}",
        last=f"{frames[1]:.1f}",
        facts=_facts(heard),
        data=as_json({"px_per_s": px_per_s, "labels": [one["at"] for one in shown]}),
        sound=in_base64(sound),
    )


def pictures(loudness: NDArray[np.float32], rise_db: NDArray[np.float32], per_column: int) -> tuple[str, str]:
    """The sound and the novelty as paths of an SVG picture, a pixel per column of moments.

    Returns:
        ``d`` of the sound's path, mirrored at its middle, as tall as it is loud; ``d`` of the novelty's.
    """
    columns = np.arange(0, len(rise_db), per_column)
    loud = np.maximum.reduceat(loudness, columns)
    half = 0.5 * WAVE_PX * loud / max(float(loud.max(initial=0)), 1e-6)
    middle = 0.5 * WAVE_PX
    wave = "".join(f"M{x} {middle - h:.1f}v{max(2 * h, 0.5):.1f}" for x, h in enumerate(half.tolist()))
    most = np.maximum.reduceat(rise_db, columns)
    room = HEIGHT_PX - WAVE_PX - 4
    y = HEIGHT_PX - room * np.clip(most / FULL_RISE_DB, 0, 1)
    return wave, "M" + "L".join(f"{x} {height:.1f}" for x, height in enumerate(y.tolist()))


def _summary(heard: Heard) -> str:
    count = len(heard.onsets)
    length = clock(len(heard.sound.rise_db) / MOMENTS_PER_S)
    told = f"{count} label{'' if count == 1 else 's'} in {length} of sound"
    if heard.outside:
        told += f"; {heard.outside} onsets before the first or after the last picture left out"
    return told


def _facts(heard: Heard) -> list[tuple[str, Any]]:
    info = heard.info
    return [
        (
            "confidence",
            f"at least {heard.threshold:g}; one half: every band of the sound doubles in amplitude",
        ),
        (
            "frames",
            f"{info.n_frames} at {float(info.fps):.3f} a second, the first at {info.times_s[0]:.6f} s",
        ),
        ("sound", f"from {heard.sound.start_s:.6f} s on, looked at every {1000 / MOMENTS_PER_S:g} ms"),
        ("window", f"{1000 * WINDOW / SAMPLE_RATE:.0f} ms"),
    ]
