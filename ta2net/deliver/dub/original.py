"""The sound that a video came with, to be mixed under the placed sounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from pipeline.errors import VideoError
from pipeline.video.container import opened
from ta2net.media.audio import SAMPLE_RATE, Samples, continuous, decoded, in_blocks

UNDER_DB = -6.0
"""How far the original sound is lowered."""


def original_start(path: str | Path) -> int | None:
    """When a video's own sound sets in, in samples at 48 kHz from time 0 of the file; None: it has none.

    Raises:
        VideoError: the file cannot be read, or there is a sound track that cannot be decoded.
    """
    with opened(path) as (container, _):
        stream = container.streams.best("audio")
        if stream is None:
            return None
        if stream.codec_context is None:
            raise VideoError(f"{path}: no decoder for its sound; replace it (--replace)")
        start = stream.start_time
        return 0 if start is None else round(start * stream.time_base * SAMPLE_RATE)


def original_sound(path: str | Path, first_sample: int) -> Iterator[Samples]:
    """A video's own sound in blocks, from ``first_sample`` (at 48 kHz, from time 0 of the file) on.

    Raises:
        VideoError: it is damaged.
    """
    with opened(path) as (container, _):
        stream = container.streams.best("audio")
        pieces = ((start - first_sample, samples) for start, samples in decoded(container, stream))
        try:
            yield from in_blocks(continuous(pieces))
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{path}: its own sound cannot be decoded ({error.strerror}); replace it (--replace)"
            ) from error
