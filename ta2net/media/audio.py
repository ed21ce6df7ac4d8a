"""Sound as this room holds it, and decoding into that form: 48 kHz, two channels, float32 in -1..1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 48_000
"""What video is accompanied by: SMPTE ST 299, and the default of every editor."""
CHANNELS = 2
BLOCK = 48 * 1024
"""Samples worked on at once, about a second; a whole number of AAC frames."""
SEAM_S = 0.01
"""Decoded sound whose time stamps jump by less is taken as continuous: containers round to 1 ms or worse."""

Samples = NDArray[np.float32]
"""(n, 2), left and right."""


def silence(n: int) -> Samples:
    """``n`` samples of exact zeros."""
    return np.zeros((n, CHANNELS), np.float32)


def amplitude(level_db: float) -> float:
    """Decibels as a factor of amplitude."""
    return float(10.0 ** (level_db / 20.0))


def decoded(container: Any, stream: Any) -> Iterator[tuple[int, Samples]]:
    """A sound stream as pieces (first sample, samples), the place counted at 48 kHz from time 0 of the file.

    FFmpeg's resampler changes rate and channels (mono is heard on both sides at full level, more than two
    channels are mixed down). What the container declares as the encoder's priming is already left out.

    Raises:
        av.error.FFmpegError: damaged data.
    """
    resampler: av.AudioResampler | None = None
    form: tuple[Any, ...] = ()
    end = 0
    started = False
    for frame in container.decode(stream):
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or now != form:  # some broadcasts change from mono to stereo on the way
            for piece in [] if resampler is None else resampler.resample(None):
                yield end, _stereo(piece)
                end += piece.samples
            resampler, form = av.AudioResampler("fltp", _layout(frame), SAMPLE_RATE), now
        for piece in resampler.resample(frame):
            due = end if piece.pts is None else round(piece.pts * _tick_s(piece) * SAMPLE_RATE)
            if not started or abs(due - end) > SEAM_S * SAMPLE_RATE:
                end = due
            started = True
            yield end, _stereo(piece)
            end += piece.samples
    for piece in [] if resampler is None else resampler.resample(None):
        yield end, _stereo(piece)
        end += piece.samples


def _tick_s(frame: Any) -> Fraction:
    return Fraction(frame.time_base)


def _layout(frame: Any) -> str:
    """Mono stays mono here: FFmpeg would spread it over two channels 3 dB down."""
    return "mono" if frame.layout.nb_channels == 1 else "stereo"


def _stereo(frame: Any) -> Samples:
    channels = frame.to_ndarray().T
    return np.ascontiguousarray(np.broadcast_to(channels, (len(channels), CHANNELS)), dtype=np.float32)


def continuous(pieces: Iterable[tuple[int, Samples]]) -> Iterator[Samples]:
    """Pieces in order of time as one run from sample 0: gaps become silence, what comes twice is dropped."""
    end = 0
    for start, samples in pieces:
        while end < start:
            gap = min(BLOCK, start - end)
            yield silence(gap)
            end += gap
        fresh = samples[end - start :]
        if len(fresh):
            yield fresh
            end += len(fresh)


def in_blocks(runs: Iterable[Samples], size: int = BLOCK) -> Iterator[Samples]:
    """The same samples in blocks of ``size``; the last may be shorter."""
    held: list[Samples] = []
    count = 0
    for run in runs:
        held.append(run)
        count += len(run)
        if count >= size:
            joined = np.concatenate(held)
            whole = count // size * size
            yield from (joined[at : at + size] for at in range(0, whole, size))
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)
