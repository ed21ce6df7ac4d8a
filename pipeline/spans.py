"""Annotated spans: the frames of a video that somebody has looked at. What lies elsewhere is unknown.

In the program a span is half-open, ``(first, stop)``, as slices are. People write both of its ends: ``0-149``
is ``(0, 150)``. The spans of a video are in order and never touch: two that do are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Span = tuple[int, int]
Spans = tuple[Span, ...]

WRITTEN = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)


def parse_spans(text: str) -> tuple[Spans, tuple[str, ...]]:
    """Spans as people write them, ``0-149 200-260``, and what was put in order, one line each.

    Raises:
        ValueError: an entry is no span, or ends before it begins.
    """
    written = [_span(entry) for entry in text.split()]
    ordered = sorted(written)
    spans = merged_spans(written)
    repairs = ["annotated spans sorted"] if written != ordered else []
    if any(first < stop for (_, stop), (first, _) in pairwise(ordered)):
        repairs.append(f"overlapping annotated spans merged: {format_spans(spans)}")
    return spans, tuple(repairs)


def _span(entry: str) -> Span:
    found = WRITTEN.fullmatch(entry)
    if found is None:
        raise ValueError(f"{entry[:40]!r}: not a span of frames such as 0-149; correct or delete it")
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise ValueError(f"{entry!r}: the span ends before it begins; write {last}-{first}")
    return first, last + 1


def format_spans(spans: Iterable[Span]) -> str:
    """Spans as people write them, both ends named; the inverse of ``parse_spans``."""
    return " ".join(f"{first}-{stop - 1}" for first, stop in spans)


def merged_spans(spans: Iterable[Span]) -> Spans:
    """The same frames as spans in order of which no two touch; empty ones are gone."""
    merged: list[Span] = []
    for first, stop in sorted(span for span in spans if span[0] < span[1]):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((first, stop))
    return tuple(merged)


def first_frames(count: int) -> Spans:
    """The one span of a video's first ``count`` frames; none where there are none."""
    return ((0, count),) if count > 0 else ()


def clipped_spans(spans: Iterable[Span], n_frames: int) -> Spans:
    """What of the spans lies in a video of ``n_frames`` frames."""
    return tuple((first, min(stop, n_frames)) for first, stop in spans if first < n_frames)


def gaps(spans: Sequence[Span], n_frames: int) -> Spans:
    """The other frames of a video: those that no span holds."""
    edges = [0, *(edge for span in spans for edge in span), n_frames]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)


def in_spans(frames: Sequence[int] | npt.NDArray[np.int64], spans: Iterable[Span]) -> npt.NDArray[np.bool_]:
    """Which of the frames (k,) lie in a span: bool (k,)."""
    numbers = np.asarray(frames, np.int64)
    inside = np.zeros(numbers.shape, bool)
    for first, stop in spans:
        inside |= (numbers >= first) & (numbers < stop)
    return inside


def frames_in(frames: Sequence[int], spans: Iterable[Span]) -> tuple[int, ...]:
    """Those of the frames that lie in a span, in their order."""
    return tuple(frame for frame, inside in zip(frames, in_spans(frames, spans), strict=True) if inside)


def mask_of(spans: Iterable[Span], n_frames: int) -> npt.NDArray[np.bool_]:
    """Which frames of a video are annotated: bool (n_frames,)."""
    mask = np.zeros(n_frames, bool)
    for first, stop in spans:
        mask[first:stop] = True
    return mask


def checked_spans(values: Any) -> Spans:
    """Spans from a JSON list of pairs.

    Raises:
        ValueError, TypeError: they are not whole numbers, not in order, empty, or touch.
    """
    spans = tuple((first, stop) for first, stop in values)
    if any(type(edge) is not int for span in spans for edge in span):
        raise ValueError("annotated spans are not whole numbers")
    if merged_spans(spans) != spans or (spans and spans[0][0] < 0):
        raise ValueError(f"annotated spans are not in order and apart: {list(spans)[:5]}")
    return spans
