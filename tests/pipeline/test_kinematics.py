"""Inflection, edges, coding and the stream, against laws and against NumPy done another way."""

from __future__ import annotations

from contextlib import nullcontext

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import VideoError
from pipeline.flow import make_estimator
from pipeline.kinematics import (
    Coding,
    InflectionStream,
    decode,
    encode,
    hold_edges,
    inflection,
    valid_range,
)
from pipeline.params import FlowParams
from pipeline.video.frames2kinematics import Frames2Kinematics

STEPS_64 = Coding("int16", 64)


@pytest.fixture
def texture():
    """A smooth random picture, 160x160 uint8."""
    noise = np.random.default_rng(7).normal(size=(160, 160)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def clip_of(texture, offsets, size=96):
    """The texture seen through a window that is moved to (x, y) offsets: uint8 (n, size, size, 3)."""
    return np.stack([np.repeat(texture[y : y + size, x : x + size, None], 3, axis=2) for x, y in offsets])


def through(frames, chunks=(1000,), size=(96, 96), coding=STEPS_64, overlapped=False):
    """All of ``Frames2Kinematics`` with DIS: frames, velocity, inflection; fed in chunks of these sizes."""
    estimator = make_estimator(FlowParams(size=size))
    pieces, start = [], 0
    for length in (*chunks, len(frames)):
        if start < len(frames):
            pieces.append(frames[start : start + length])
            start += length
    kinematics = Frames2Kinematics(estimator, size, size, coding)
    with kinematics.overlapped(pieces) if overlapped else nullcontext(kinematics(pieces)) as stream:
        out = list(stream)
    return tuple(
        np.concatenate([getattr(c, name) for c in out]) for name in ("frames", "velocity", "inflection")
    )


def by_hand(pairs):
    """Velocity and inflection frame by frame, straight from Eq. 1-3, in Python integers."""
    n = len(pairs) + 1
    forward = {t: pairs[t, 0].astype(np.int64) for t in range(n - 1)}
    backward = {t: pairs[t - 1, 1].astype(np.int64) for t in range(1, n)}
    ahead = {t: np.clip(forward[t + 1] - forward[t], -32767, 32767) for t in range(n - 2)}
    behind = {t: np.clip(backward[t - 1] - backward[t], -32767, 32767) for t in range(2, n)}

    def nearest(fields, t):
        return fields[min(max(t, min(fields)), max(fields))]

    velocity = [[nearest(forward, t), nearest(backward, t)] for t in range(n)]
    change = [[nearest(ahead, t), nearest(behind, t)] for t in range(n)]
    return np.array(velocity), np.array(change)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.integers(2, 12).flatmap(
        lambda n: arrays(np.int16, (n, 2, 2, 2, 3), elements=st.integers(-32767, 32767))
    ),
    cuts=st.lists(st.integers(1, 5), max_size=12),
)
def test_stream_equals_whole_equals_by_hand(pairs, cuts):
    velocity, change = by_hand(pairs)
    whole = hold_edges(pairs)
    np.testing.assert_array_equal(whole, velocity)
    np.testing.assert_array_equal(inflection(whole), change)

    stream, got, start = InflectionStream(), [], 0
    for length in (*cuts, len(pairs)):
        if start < len(pairs):
            got.append(stream.push(pairs[start : start + length]))
            start += length
    got.append(stream.finish())
    for name, index, expected in (("velocity", 0, velocity), ("inflection", 1, change)):
        joined = np.concatenate([piece[index] for piece in got])
        assert joined.dtype == np.int16, name
        np.testing.assert_array_equal(joined, expected)

    forward = np.diff(pairs[:, 0].astype(np.int64), axis=0)
    backward = np.diff(pairs[:, 1].astype(np.int64), axis=0)
    assert stream.saturated == (np.abs(forward) > 32767).sum() + (np.abs(backward) > 32767).sum()


def test_stream_keeps_a_bounded_number_of_pairs():
    stream = InflectionStream()
    for _ in range(50):
        stream.push(np.zeros((7, 2, 2, 4, 4), np.int16))
        assert len(stream._kept) <= 3
    assert sum(len(part) for part in stream.finish()) == 4


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_short_a_video_is_refused(n, texture):
    frames = clip_of(texture, [(0, 0)] * n) if n else np.empty((0, 96, 96, 3), np.uint8)
    with pytest.raises(VideoError, match="fewer than 3 frames"):
        through(frames)


@pytest.mark.parametrize(
    ("n", "edges", "expected"),
    [(10, "trim", (2, 8)), (10, "hold", (0, 10)), (5, "trim", (2, 3)), (3, "trim", (2, 2))],
)
def test_valid_range(n, edges, expected):
    assert valid_range(n, edges) == expected


@pytest.mark.parametrize("n", range(3, 12))
def test_trimming_leaves_the_frames_whose_whole_tuple_exists(n):
    whole = [t for t in range(n) if t + 2 <= n - 1 and t - 2 >= 0]  # a+ needs frame t+2, a- needs frame t-2
    assert list(range(*valid_range(n, "trim"))) == whole


@settings(max_examples=60, deadline=None)
@given(
    velocity=arrays(np.float32, (3, 2, 2, 2, 2), elements=st.floats(-500, 500, width=32)),
    scale=st.sampled_from([1, 10, 64, 100, 128]),
)
def test_int16_is_off_by_half_a_step_at_most(velocity, scale):
    coding = Coding("int16", scale)
    coded, saturated = encode(velocity, coding)
    held = np.abs(velocity.astype(np.float64)) * scale <= 32767
    error = np.abs(coded.astype(np.float64) / scale - velocity)
    assert error[held].max(initial=0) <= 0.5 / scale + 1e-12
    assert saturated == (~held & (np.abs(velocity.astype(np.float64)) * scale > 32767)).sum()
    np.testing.assert_allclose(decode(coded, coding), coded / scale, rtol=1e-6)


def test_rounding_saturation_and_refusal():
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    coded, saturated = encode(halves, Coding("int16", 1))
    assert coded.tolist() == [0, 2, 2, 0, -2]
    assert saturated == 0
    coded, saturated = encode(np.array([511.9, 512.0, -600.0], np.float32), STEPS_64)
    assert coded.tolist() == [32762, 32767, -32767]
    assert saturated == 2
    with pytest.raises(ValueError, match="not finite"):
        encode(np.array([np.nan], np.float32), STEPS_64)


def test_int16_difference_does_not_overflow():
    velocity = np.zeros((3, 2, 2, 1, 1), np.int16)
    velocity[0, 0], velocity[1, 0], velocity[2, 0] = -32767, 32767, 0
    assert inflection(velocity)[:, 0].ravel().tolist() == [32767] * 6


def test_float16_inflection_is_the_rounded_difference():
    pairs_px = np.random.default_rng(3).normal(0, 20, (6, 2, 2, 4, 5)).astype(np.float32)
    coding = Coding.of("float16", 64)
    assert coding.scale == 1
    pairs, saturated = encode(pairs_px, coding)
    assert pairs.dtype == np.float16
    assert saturated == 0
    np.testing.assert_array_equal(pairs, pairs_px.astype(np.float16))
    change = inflection(hold_edges(pairs))
    expected = (pairs[1:, 0].astype(np.float32) - pairs[:-1, 0].astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(change[:-2, 0], expected)
    _, saturated = encode(np.array([1e6], np.float32), coding)
    assert saturated == 1


def test_constant_velocity_has_no_inflection():
    """The oracle: every frame moves by the same field, whatever it is."""
    field = np.random.default_rng(1).normal(0, 3, (2, 2, 6, 6)).astype(np.float32)
    coded, _ = encode(np.repeat(field[None], 9, axis=0), STEPS_64)
    assert not inflection(hold_edges(coded)).any()


def test_constant_motion_with_dis(texture):
    """A window moved by (2, 1) px per frame sees the picture move by (-2, -1)."""
    frames = clip_of(texture, [(2 * t, t) for t in range(8)])
    _, velocity, change = through(frames)
    centre = (slice(None), slice(None), slice(None), slice(24, -24), slice(24, -24))
    speed = decode(velocity, STEPS_64)[centre].mean(axis=(3, 4))
    np.testing.assert_allclose(speed[:, 0], np.tile([-2.0, -1.0], (8, 1)), atol=0.1)
    np.testing.assert_allclose(speed[:, 1], np.tile([2.0, 1.0], (8, 1)), atol=0.1)
    assert np.abs(decode(change, STEPS_64)[centre]).mean() < 0.05


def test_a_turn_gives_its_largest_inflection_where_it_happens(texture):
    xs = [0, 3, 6, 9, 12, 9, 6, 3, 0]
    _, _, change = through(clip_of(texture, [(x, 10) for x in xs]))
    strength = np.abs(decode(change, STEPS_64)[..., 24:-24, 24:-24]).mean(axis=(1, 2, 3, 4))
    assert abs(int(strength[2:-2].argmax()) + 2 - 4) <= 1


def test_time_reversal_swaps_the_directions_exactly(texture):
    rng = np.random.default_rng(5)
    frames = clip_of(texture, rng.integers(0, 12, (9, 2)))
    _, velocity, change = through(frames)
    _, reversed_velocity, reversed_change = through(frames[::-1])
    np.testing.assert_array_equal(reversed_velocity, velocity[::-1, ::-1])
    np.testing.assert_array_equal(reversed_change, change[::-1, ::-1])
    assert velocity.any()


@pytest.mark.parametrize("overlapped", [False, True])
@pytest.mark.parametrize("chunks", [(1,) * 9, (4, 1, 3), (2, 7)])
def test_chunks_and_threads_do_not_matter(texture, chunks, overlapped):
    frames = clip_of(texture, np.random.default_rng(6).integers(0, 9, (9, 2)))
    for whole, streamed in zip(through(frames), through(frames, chunks, overlapped=overlapped), strict=True):
        assert len(whole) == 9
        np.testing.assert_array_equal(streamed, whole)


def test_frames_pass_unchanged_at_their_own_size(texture):
    frames = clip_of(texture, [(t, 0) for t in range(5)])
    stored, _, _ = through(frames, (2, 2))
    np.testing.assert_array_equal(stored, frames.transpose(0, 3, 1, 2))
