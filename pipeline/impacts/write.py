"""A rendered clip as a video file: H.264 pictures and, unless it is to be silent, AAC sound in MP4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.impacts.compose import Clip
from pipeline.impacts.finish import Frame
from pipeline.impacts.render import render
from pipeline.impacts.sound import SAMPLE_RATE, Samples, track

AAC_FRAME = 1024
"""Samples in an AAC frame."""
AAC_BITS_PER_S = 96_000
X264_OPTIONS = {
    "preset": "veryfast",
    "threads": "1",
    # with its macroblock tree, x264 does not give the same bytes for the same small pictures every time
    "x264-params": "mbtree=0",
}


def write_clip(clip: Clip, path: Path) -> None:
    """Render ``clip`` into ``path`` (written as it stands: give a temporary name and rename it)."""
    sound = None if clip.wanted.silent else track(clip.contacts, clip.clock, clip.sound_seed)
    write_video(render(clip), path, clip.clock.fps, clip.film.crf, sound)


def write_video(
    frames: Iterable[Frame], path: Path, fps: Fraction, crf: int, sound: Samples | None = None
) -> None:
    """Encode frames, (height, width, 3) uint8 RGB of even size, and mono sound at ``SAMPLE_RATE``.

    Frame ``t`` is shown at ``t / fps`` from the start of the sound. The encoder's priming samples are
    declared in the file's edit list, which decoders honour. One thread, and no clock in the metadata:
    the same input gives the same bytes on the same build of the libraries.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=fps)
        video.pix_fmt = "yuv420p"
        video.thread_count = 1
        video.options = {"crf": str(crf), **X264_OPTIONS}
        audio = None
        if sound is not None:
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            audio.bit_rate = AAC_BITS_PER_S
        pieces = iter(()) if sound is None else _audio_frames(sound)
        heard_s = 0.0
        for number, pixels in enumerate(frames):
            if number == 0:
                video.height, video.width = pixels.shape[:2]
            # BT.601, limited range: what decoders take for granted in small pictures
            planes = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = number
            picture.time_base = 1 / fps
            container.mux(video.encode(picture))
            # sound and pictures lie side by side in the file, so that a player need not seek
            while audio is not None and heard_s <= number / fps:
                piece = next(pieces, None)
                if piece is None:
                    break
                heard_s += AAC_FRAME / SAMPLE_RATE
                container.mux(audio.encode(piece))
        container.mux(video.encode(None))
        if audio is not None:
            for piece in pieces:
                container.mux(audio.encode(piece))
            container.mux(audio.encode(None))


def _audio_frames(sound: Samples) -> Iterator[av.AudioFrame]:
    for start in range(0, len(sound), AAC_FRAME):
        piece = np.ascontiguousarray(sound[None, start : start + AAC_FRAME], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        yield frame
