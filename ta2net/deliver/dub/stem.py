"""The placed sounds alone, as a WAV file to lay under the video in an editor."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.files.atomic import written_beside
from ta2net.media.audio import SAMPLE_RATE, Samples

FULL_SCALE = 1 << 31
STEP = 1 << 8
"""FFmpeg takes the upper 24 of 32 bits: values are rounded to those here, where it would cut them off."""


def write_stem(track: Iterable[Samples], path: str | Path) -> None:
    """Write blocks of sound in -1..1 as 24-bit PCM, 48 kHz, stereo (RIFF/WAVE; RF64 beyond 4 GB)."""
    with (
        written_beside(path) as temporary,
        av.open(str(temporary), "w", format="wav", options={"rf64": "auto"}) as container,
    ):
        stream = container.add_stream("pcm_s24le", rate=SAMPLE_RATE, layout="stereo")
        at = 0
        for block in track:
            steps = np.rint(block.astype(np.float64) * (FULL_SCALE // STEP))
            whole = np.clip(steps, -FULL_SCALE // STEP, FULL_SCALE // STEP - 1).astype(np.int32) * STEP
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(whole.reshape(1, -1)), format="s32", layout="stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, Fraction(1, SAMPLE_RATE)
            container.mux(stream.encode(frame))
            at += len(block)
        container.mux(stream.encode(None))
