"""Annotated spans: what people write, and the frames that it means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spans import (
    checked_spans,
    clipped_spans,
    first_frames,
    format_spans,
    frames_in,
    gaps,
    in_spans,
    mask_of,
    merged_spans,
    parse_spans,
)

N = 40
MASKS = st.lists(st.booleans(), max_size=N)
PAIRS = st.lists(st.tuples(st.integers(0, N), st.integers(0, N)).map(lambda p: (min(p), max(p) + 1)))


def runs(mask: list[bool]) -> tuple[tuple[int, int], ...]:
    """Half-open runs of True, found frame by frame."""
    found: list[list[int]] = []
    for frame, known in enumerate(mask):
        if known and found and found[-1][1] == frame:
            found[-1][1] = frame + 1
        elif known:
            found.append([frame, frame + 1])
    return tuple((first, stop) for first, stop in found)


@pytest.mark.parametrize(
    ("text", "spans", "repairs"),
    [
        ("", (), ()),
        ("0-149 200-260", ((0, 150), (200, 261)), ()),
        ("5-5", ((5, 6),), ()),
        ("0-9\t10-19", ((0, 20),), ()),
        ("200-260  0-149", ((0, 150), (200, 261)), ("annotated spans sorted",)),
        ("0-20 10-30 60-60", ((0, 31), (60, 61)), ("overlapping annotated spans merged: 0-30 60-60",)),
        (
            "10-30 0-20",
            ((0, 31),),
            ("annotated spans sorted", "overlapping annotated spans merged: 0-30"),
        ),
        ("0-90 10-20 30-40", ((0, 91),), ("overlapping annotated spans merged: 0-90",)),
    ],
)
def test_what_people_write(text: str, spans: object, repairs: object) -> None:
    assert parse_spans(text) == (spans, repairs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("200-150", "'200-150': the span ends before it begins; write 150-200"),
        ("0-20 all", "'all': not a span of frames such as 0-149"),
        ("0-20,40-60", "'0-20,40-60': not a span"),
        ("7", "'7': not a span"),
        ("-3-5", "'-3-5': not a span"),
        ("0-1e3", "not a span"),
        ("0\u201320", "not a span"),
        ("0-\u0663", "not a span"),
        ("0-9999999999", "not a span"),
    ],
)
def test_what_is_no_span_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_spans(text)


@given(MASKS)
def test_a_mask_comes_back(mask: list[bool]) -> None:
    """mask -> spans -> text -> spans -> mask, and the gaps are the rest."""
    spans = runs(mask)
    assert parse_spans(format_spans(spans)) == (spans, ())
    assert mask_of(spans, len(mask)).tolist() == mask
    assert gaps(spans, len(mask)) == runs([not known for known in mask])
    assert checked_spans([list(span) for span in spans]) == spans


@given(PAIRS, st.integers(0, N + 5))
def test_spans_hold_the_frames_of_what_was_merged(pairs: list[tuple[int, int]], n_frames: int) -> None:
    held = {frame for first, stop in pairs for frame in range(first, stop)}
    spans = merged_spans(pairs)
    assert checked_spans(spans) == spans
    frames = list(range(N + 3))
    assert frames_in(frames, spans) == tuple(frame for frame in frames if frame in held)
    assert in_spans(np.array(frames), spans).tolist() == [frame in held for frame in frames]
    within = clipped_spans(spans, n_frames)
    assert checked_spans(within) == within
    assert np.flatnonzero(mask_of(spans, n_frames)).tolist() == sorted(f for f in held if f < n_frames)
    assert mask_of(within, n_frames).tolist() == mask_of(spans, n_frames).tolist()


def test_the_first_frames() -> None:
    assert (first_frames(0), first_frames(3)) == ((), ((0, 3),))


@pytest.mark.parametrize(
    "values",
    [[[3, 3]], [[0, 5], [5, 9]], [[6, 9], [0, 5]], [[0, 5], [4, 9]], [[-1, 4]], [[0, 5.0]], [[True, 5]]],
)
def test_what_a_file_holds_is_checked(values: object) -> None:
    with pytest.raises(ValueError, match="annotated spans are not"):
        checked_spans(values)


@pytest.mark.parametrize("values", [[[1]], [[1, 2, 3]], [4], 4, None, "ab"])
def test_what_is_no_list_of_pairs_is_refused(values: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        checked_spans(values)
