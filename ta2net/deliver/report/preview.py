"""The film in a report's player: small, bounded in bytes, each frame shown as long as in the video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from ta2net.media.timeline import Timeline

FILM_BYTES = 11_000_000
"""Of a film of ten minutes or less: in base64 it then leaves a fifth of 20 MB to the rest of the page."""
MOST_BITS_PER_S = 2_000_000
LEAST_BITS_PER_S = 60_000
"""Of a long film, whose page may grow past 20 MB: below this nothing can be made out."""
BITS_PER_PIXEL = 0.02
"""Least that a pixel of a frame is given: where there are too few bits, the picture shrinks."""
HIGHEST_PX, SMALLEST_PX = 360, 96
"""Of the picture's shorter side."""
CONTAINER_BYTES_PER_FRAME = 20
"""Of an MP4 file's tables; measured 16 with a key frame every two seconds."""
KEY_FRAME_EVERY_S = 1.0


@dataclass(frozen=True)
class Coder:
    """One way to code the film.

    Attributes:
        name: FFmpeg's name of the encoder.
        container: FFmpeg's name of the file format.
        media_type: what browsers call it.
        ticks_per_s: the resolution of the container's times.
        options: of the encoder, for a number of bits per second.
    """

    name: str
    container: str
    media_type: str
    ticks_per_s: int
    options: Callable[[int], Mapping[str, str]]


def _x264(bits_per_s: int) -> Mapping[str, str]:
    bounded = {"maxrate": str(bits_per_s), "bufsize": str(2 * bits_per_s)}
    return {**bounded, "preset": "veryfast", "crf": "25", "bf": "0", "x264-params": "log-level=none"}


def _vp9(bits_per_s: int) -> Mapping[str, str]:
    # a constant rate: with any other the encoder writes twice as much of a noisy film
    steady = dict.fromkeys(("b", "minrate", "maxrate"), str(bits_per_s))
    return {
        **steady,
        "bufsize": str(2 * bits_per_s),
        "deadline": "realtime",
        "cpu-used": "7",
        "lag-in-frames": "0",
    }


CODERS = (
    Coder("libx264", "mp4", "video/mp4", 90_000, _x264),
    Coder("libvpx-vp9", "webm", "video/webm", 1000, _vp9),
)
"""The first that FFmpeg has here is taken. Both keep frames in order, so that a time is where it is shown."""


def chosen_coder() -> Coder:
    """The best coder there is.

    Raises:
        UserError: this PyAV was built without any.
    """
    for coder in CODERS:
        if coder.name in av.codecs_available:
            return coder
    names = " nor ".join(coder.name for coder in CODERS)
    raise UserError(f"this PyAV has neither {names} to write a report's film; install PyAV from PyPI")


@dataclass(frozen=True)
class Plan:
    """How a film is coded.

    Attributes:
        height_px, width_px: even.
        bits_per_s: never exceeded for longer than two seconds.
        starts, lengths: int64 (n,), of each frame in ticks of the coder; the first starts at 0.
        rate: frames per second, on average.
    """

    coder: Coder
    height_px: int
    width_px: int
    bits_per_s: int
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    rate: Fraction

    def middle_s(self, index: int) -> float:
        """The middle of the time for which a frame is shown, in s of the film."""
        return float(self.starts[index] + self.lengths[index] / 2) / self.coder.ticks_per_s


def plan_of(film: Timeline, times_s: NDArray[np.float64], coder: Coder) -> Plan:
    """Size and times of the film of some consecutive frames.

    Args:
        times_s: (n,) when each is shown; the last is shown for 1 / fps.
    """
    bounds_s = np.append(times_s, times_s[-1] + 1 / float(film.fps)) - times_s[0]
    bounds, order = np.rint(bounds_s * coder.ticks_per_s).astype(np.int64), np.arange(len(bounds_s))
    bounds = np.maximum.accumulate(bounds - order) + order  # frames less than a tick apart stay apart
    starts, lengths = bounds[:-1], np.diff(bounds)
    duration_s = float(bounds[-1]) / coder.ticks_per_s
    bits_per_s = bits_for(duration_s, len(starts))
    height, width = size_for(film.height_px, film.width_px, bits_per_s, len(starts) / duration_s)
    rate = film.fps.limit_denominator(1001) or Fraction(1)
    return Plan(coder, height, width, bits_per_s, starts, lengths, rate)


def bits_for(duration_s: float, n_frames: int) -> int:
    """Bits per second with which a film, its container included, stays within ``FILM_BYTES``."""
    left = 8 * (FILM_BYTES - CONTAINER_BYTES_PER_FRAME * n_frames)
    # the coder may save up bits for two seconds, and be off by a few per cent
    fitting = 0.95 * left / (duration_s + 2)
    return int(np.clip(fitting, LEAST_BITS_PER_S, MOST_BITS_PER_S))


def size_for(height_px: int, width_px: int, bits_per_s: float, fps: float) -> tuple[int, int]:
    """(height, width) of the film's picture: even, within the video's, enough bits for each pixel."""
    pixels = bits_per_s / (fps * BITS_PER_PIXEL)
    shorter = min(height_px, width_px)
    scale = min(1.0, HIGHEST_PX / shorter, (pixels / (height_px * width_px)) ** 0.5)
    scale = max(scale, min(1.0, SMALLEST_PX / shorter))
    height, width = (max(2, 2 * round(scale * side / 2)) for side in (height_px, width_px))
    return height, width


class FilmWriter:
    """Writes the film frame by frame; a context manager: at its end the file is complete."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._plan, self._written = plan, 0
        coder = plan.coder
        self._container = av.open(str(path), "w", format=coder.container)
        # the general form of add_stream is not typed for a name known only at run time
        stream: Any = self._container.add_stream(coder.name, rate=plan.rate)
        stream.options = dict(coder.options(plan.bits_per_s))
        stream.width, stream.height, stream.pix_fmt = plan.width_px, plan.height_px, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, coder.ticks_per_s)
        stream.codec_context.gop_size = max(1, round(KEY_FRAME_EVERY_S * float(plan.rate)))
        self._stream = stream

    def __enter__(self) -> FilmWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or leave it as it is after an error."""
        if kind is None:
            self._mux(None)
        self._container.close()

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append the next frame, uint8 RGB (H, W, 3) of any size."""
        plan = self._plan
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        small = frame.reformat(plan.width_px, plan.height_px, "yuv420p", interpolation="AREA")
        small.pts, small.time_base = int(plan.starts[self._written]), Fraction(1, plan.coder.ticks_per_s)
        self._written += 1
        self._mux(small)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            index = int(np.searchsorted(self._plan.starts, packet.pts))
            packet.duration = int(self._plan.lengths[index])
            self._container.mux(packet)
