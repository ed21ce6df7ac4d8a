"""Labels of frames against their definitions, and what reversal does to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ta2net.clips.targets import hard_labels, offset_labels, reversed_labels, soft_labels

HITS = st.sets(st.integers(0, 39)).map(sorted)
N = 40


def test_soft_labels_keep_near_hits_apart():
    """Two hits three frames apart: the larger bell counts, so a valley stays between them."""
    soft = soft_labels([5, 8], 14, sigma_frames=2.0, cut_frames=3)
    bell = np.exp(-0.5 * (np.arange(4) / 2.0) ** 2)
    expected = [0, 0, bell[3], bell[2], bell[1], 1, bell[1], bell[1], 1, bell[1], bell[2], bell[3], 0, 0]
    np.testing.assert_allclose(soft, expected, rtol=1e-6)


@given(hits=HITS)
@settings(max_examples=50, deadline=None)
def test_soft_labels_are_1_at_hits_and_nowhere_else(hits):
    soft = soft_labels(hits, N, 2.0, 3)
    hard = hard_labels(hits, N)
    assert np.flatnonzero(hard).tolist() == hits
    np.testing.assert_array_equal(soft == 1.0, hard == 1.0)
    for frame in range(N):
        nearest = min((abs(frame - hit) for hit in hits), default=99)
        assert soft[frame] == (pytest.approx(np.exp(-(nearest**2) / 8)) if nearest <= 3 else 0.0)


def test_dilation_by_hand():
    assert hard_labels([0, 4], 9, dilation_frames=1).tolist() == [1, 1, 0, 1, 1, 1, 0, 0, 0]
    assert hard_labels([], 4, dilation_frames=3).tolist() == [0, 0, 0, 0]


@given(hits=HITS, dilation=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_dilated_labels_are_the_frames_near_a_hit(hits, dilation):
    near = {hit + shift for hit in hits for shift in range(-dilation, dilation + 1)} & set(range(N))
    assert set(np.flatnonzero(hard_labels(hits, N, dilation)).tolist()) == near


def test_of_two_hits_equally_far_the_earlier_one_counts():
    assert offset_labels([1, 5], 7).tolist() == [1, 0, -1, -2, 1, 0, -1]
    assert offset_labels([], 3).tolist() == [np.inf] * 3


@given(hits=HITS)
@settings(max_examples=80, deadline=None)
def test_offsets_lead_to_the_nearest_hit(hits):
    for frame, offset in enumerate(offset_labels(hits, N)):
        candidates = sorted((abs(hit - frame), hit) for hit in hits)
        assert offset == (candidates[0][1] - frame if candidates else np.inf)


@given(hits=HITS, dilation=st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_the_labels_of_a_video_played_backwards(hits, dilation):
    """Hard and soft labels are flipped; the offset is flipped and negated, except for ties, which keep it."""
    back = reversed_labels(hits, N)
    assert reversed_labels(back, N) == tuple(hits)
    np.testing.assert_array_equal(hard_labels(back, N, dilation), hard_labels(hits, N, dilation)[::-1])
    np.testing.assert_array_equal(soft_labels(back, N, 2.0, 3), soft_labels(hits, N, 2.0, 3)[::-1])
    offset, flipped = offset_labels(back, N), offset_labels(hits, N)[::-1]
    for frame in range(N):
        distance = offset[frame]
        tie = distance < 0 and {frame + distance, frame - distance} <= set(back)
        assert distance == (flipped[frame] if tie or np.isinf(distance) else -flipped[frame])
