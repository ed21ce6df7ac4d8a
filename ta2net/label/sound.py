"""A video's sound track as one channel, at the container's own times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.video.container import check_file, opened
from ta2net.media.audio import SAMPLE_RATE, continuous, decoded, in_blocks

Mono = NDArray[np.float32]
"""(n,) at 48 kHz, in -1..1."""


def sound_blocks(path: str | Path) -> Iterator[tuple[float, Mono]]:
    """The sound track in blocks of about a second, each with the time of its first sample in s.

    Times are those of the container, on the same clock as the presentation times of the frames: a track that
    starts late, edit lists and the encoder's priming are accounted for. Gaps are silence.

    Raises:
        VideoError: the file cannot be read, has no sound, or its sound cannot be decoded.
    """
    check_file(path)
    with opened(path) as (container, _):
        stream = container.streams.best("audio")
        if stream is None:
            raise VideoError(f"{path}: no sound track; labels can only be heard in a video with sound")
        if stream.codec_context is None:
            raise VideoError(f"{path}: no decoder for its sound; convert the sound to AAC or PCM")
        try:
            pieces = decoded(container, stream)
            head = next(pieces, None)
            if head is None:
                raise VideoError(f"{path}: its sound track is empty; labels can only be heard in sound")
            first = at = head[0]
            shifted = ((start - first, samples) for start, samples in chain([head], pieces))
            for block in in_blocks(continuous(shifted)):
                yield at / SAMPLE_RATE, block.mean(axis=1)
                at += len(block)
        except av.error.FFmpegError as error:
            raise VideoError(
                f"{path}: its sound cannot be decoded ({error.strerror}); fetch the file again, or convert it"
            ) from error
