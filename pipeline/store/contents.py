"""Read a row to the last byte: do its checksums hold, and does its inflection follow from its velocity?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.kinematics import MIN_FRAMES, Field, inflection
from pipeline.store.checksums import ArrayChecksum
from pipeline.store.chunks import StoredArray
from pipeline.store.place import DOCUMENT, Place

Sums = dict[str, dict[str, tuple[int, str]]]
"""Array -> key within it -> bytes and SHA-256 of the object."""


def content_problems(
    place: Place, arrays: Mapping[str, StoredArray], stated: Mapping[str, ArrayChecksum] | None
) -> Iterator[str]:
    """What is wrong with a row's data, one message each; a chunk of each array is in memory at a time.

    Args:
        arrays: the row's four.
        stated: their checksums; None where they are not known.
    """
    sums: Sums = {name: {} for name in arrays}
    try:
        for name, array in arrays.items():
            (content,) = place.read([f"{array.key}/{DOCUMENT}"])
            sums[name][DOCUMENT] = _sum(content)
        increasing = _increase(chunk["time"] for chunk in _chunks(place, {"time": arrays["time"]}, sums))
        pictures = {name: array for name, array in arrays.items() if name != "time"}
        follows = _follows(
            (chunk["velocity"], chunk["inflection"]) for chunk in _chunks(place, pictures, sums)
        )
    except (OSError, ValueError) as error:
        yield f"its data cannot be read: {error}"
        return
    for name, checksum in (stated or {}).items():
        if ArrayChecksum.of(sums[name]) != checksum:
            yield f"array {name} is not what was written: its checksum differs"
    if not follows:
        yield "inflection is not the difference of velocity"
    if not increasing:
        yield "presentation times do not increase"


def _chunks(
    place: Place, arrays: Mapping[str, StoredArray], sums: Sums
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The arrays chunk by chunk, side by side; notes the checksum of each chunk.

    Raises:
        FileNotFoundError: a chunk is missing.
        ValueError: a chunk is damaged, or the arrays are not chunked alike.
    """
    layouts = {(array.shape[0], array.chunk_frames) for array in arrays.values()}
    if len(layouts) != 1:
        raise ValueError("the arrays have different numbers of frames, or frames per chunk")
    ((n, step),) = layouts
    for start in range(0, n, step):
        stop = min(start + step, n)
        keys = [array.chunk_keys(start, stop)[0] for array in arrays.values()]
        decoded = {}
        for (name, array), key, content in zip(arrays.items(), keys, place.read(keys), strict=True):
            sums[name][key.removeprefix(f"{array.key}/")] = _sum(content)
            decoded[name] = array.join([content], start, stop)
        yield decoded


def _follows(chunks: Iterable[tuple[Field, Field]]) -> bool:
    """Whether the inflection of a video that comes in chunks is that of its velocity, edges included.

    Args:
        chunks: (velocity, inflection) of consecutive frames.
    """
    velocity: Field | None = None
    given: Field | None = None
    first = checked = 0  # first: frame of velocity[0]; frames before checked are done with
    for new_velocity, new_inflection in chunks:
        velocity = new_velocity if velocity is None else np.concatenate([velocity, new_velocity])
        given = new_inflection if given is None else np.concatenate([given, new_inflection])
        # the last two frames may still change: their forward neighbours have not come
        until = first + len(velocity) - 2
        if len(velocity) < MIN_FRAMES or until <= checked:
            continue
        if not np.array_equal(
            inflection(velocity)[checked - first : until - first], given[: until - checked]
        ):
            return False
        given, checked = given[until - checked :], until
        # two frames back, and three in all, are what the next ones need
        keep = max(first, checked - 2)
        velocity, first = velocity[keep - first :], keep
    if velocity is None or given is None or len(velocity) < MIN_FRAMES:
        return False
    return np.array_equal(inflection(velocity)[checked - first :], given)


def _increase(chunks: Iterable[npt.NDArray[np.float64]]) -> bool:
    """Whether the times that come in chunks increase."""
    return bool((np.diff(np.concatenate(list(chunks))) > 0).all())


def _sum(content: bytes) -> tuple[int, str]:
    return len(content), hashlib.sha256(content).hexdigest()
