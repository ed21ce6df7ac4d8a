"""Augmentations against literal versions, and the laws they keep."""

from __future__ import annotations

import colorsys
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ta2net.clips.augmentation import ColourJitter, Mixup, swapped
from ta2net.methods.batch import Batch, mirrored

LAWS = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
STORED = st.one_of(
    arrays(np.int16, (3, 2, 2, 2, 5), elements=st.integers(-32767, 32767)),
    arrays(np.float16, (3, 2, 2, 2, 5), elements=st.floats(-60000, 60000, width=16)),
)
FACTORS = st.floats(0.6, 1.4)
JITTERS = st.builds(ColourJitter, FACTORS, FACTORS, FACTORS, st.floats(-0.1, 0.1))
FRAMES = arrays(np.uint8, (4, 3, 2, 3))


def coloured(jitter, frames):
    """NumPy in, NumPy out."""
    return jitter(torch.from_numpy(frames)).numpy()


def clips(seed, batch=3, dtype=np.int16):
    """A random batch of clips of 4 frames, stored fields of ``dtype`` over its whole range."""
    rng = np.random.default_rng(seed)
    largest = 32767 if dtype == np.int16 else 60000
    shape = (batch, 4)

    def field():
        return torch.from_numpy(rng.uniform(-largest, largest, (*shape, 2, 2, 2, 3)).astype(dtype))

    return Batch(
        frames=torch.from_numpy(rng.integers(0, 256, (*shape, 3, 2, 3), dtype=np.uint8)),
        velocity=field(),
        inflection=field(),
        soft=torch.from_numpy(rng.random(shape, dtype=np.float32)),
        hard=torch.from_numpy((rng.random(shape) < 0.3).astype(np.float32)),
        offset=torch.from_numpy(rng.integers(-3, 4, shape).astype(np.float32)),
        events=torch.from_numpy(rng.random(shape) < 0.2),
        valid=torch.from_numpy(rng.random(shape) < 0.8),
        known=torch.from_numpy(rng.random(shape) < 0.7),
    )


@given(STORED)
@LAWS
def test_twice_mirrored_or_reversed_is_as_before(field):
    field = torch.from_numpy(field)
    np.testing.assert_array_equal(mirrored(mirrored(field)), field)
    np.testing.assert_array_equal(swapped(swapped(field)), field)
    np.testing.assert_array_equal(mirrored(swapped(field)), swapped(mirrored(field)))
    assert mirrored(field).dtype == field.dtype
    np.testing.assert_array_equal(mirrored(field)[:, :, 0, :, 1], -field[:, :, 0, :, 3])
    np.testing.assert_array_equal(mirrored(field)[:, :, 1, :, 1], field[:, :, 1, :, 3])


def grey(frames):
    """ITU-R 601-2 luma of (T, 3, H, W), without its fraction."""
    weights = np.array([0.2989, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return np.floor((frames * weights).sum(axis=1, keepdims=True) + 1e-6)


def between(frames, other, factor):
    return np.clip(factor * frames + (1 - factor) * other, 0, 255)


@given(FRAMES, FACTORS)
@LAWS
def test_brightness_contrast_and_saturation_are_the_literal_ones(frames, factor):
    """Each towards black, the clip's mean grey and each pixel's own grey; fractions may round either way."""
    literal = {
        (factor, 1.0, 1.0): between(frames, 0, factor),
        (1.0, factor, 1.0): between(frames, grey(frames).mean(), factor),
        (1.0, 1.0, factor): between(frames, grey(frames), factor),
    }
    for factors, expected in literal.items():
        changed = coloured(ColourJitter(*factors, 0.0), frames)
        assert changed.dtype == np.uint8
        # cutting off the fraction costs up to 1, a grey level on the edge of the next one up to 0.4 more
        assert np.abs(changed - expected).max() <= 1.41


@given(FRAMES, st.floats(-0.1, 0.1))
@LAWS
def test_hue_is_colorsys(frames, turns):
    changed = coloured(ColourJitter(1.0, 1.0, 1.0, turns), frames)
    for t, y, x in np.ndindex(4, 2, 3):
        hue, saturation, value = colorsys.rgb_to_hsv(*(frames[t, :, y, x] / 255))
        expected = colorsys.hsv_to_rgb((hue + turns) % 1.0, saturation, value)
        np.testing.assert_allclose(changed[t, :, y, x], np.array(expected) * 255, atol=1.01)


@given(JITTERS, FRAMES)
@LAWS
def test_jitter_is_one_function_of_colour_for_the_whole_clip(jitter, frames):
    """Pixels alike before, in whatever frame and place, are alike after: nothing flickers, nothing moves."""
    frames[1] = frames[3]
    frames[0, :, 0, 0] = frames[2, :, 1, 2]
    before = frames.copy()
    changed = coloured(jitter, frames)
    np.testing.assert_array_equal(frames, before)
    assert changed.shape == frames.shape
    np.testing.assert_array_equal(changed[1], changed[3])
    np.testing.assert_array_equal(changed[0, :, 0, 0], changed[2, :, 1, 2])


@given(FRAMES)
@LAWS
def test_no_jitter_changes_nothing(frames):
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(coloured(ColourJitter(1.0, 1.0, 1.0, 0.0), frames), frames)
    assert ColourJitter.drawn(rng, 0.0) == ColourJitter(1.0, 1.0, 1.0, 0.0)


@given(SEEDS, st.floats(0.01, 1))
@LAWS
def test_jitter_keeps_within_its_strength(seed, strength):
    jitter = ColourJitter.drawn(np.random.default_rng(seed), strength)
    for factor in (jitter.brightness, jitter.contrast, jitter.saturation):
        assert 1 - 0.4 * strength <= factor <= 1 + 0.4 * strength
    assert abs(jitter.hue_turns) <= 0.1 * strength
    assert jitter == ColourJitter.drawn(np.random.default_rng(seed), strength)


@pytest.mark.parametrize("dtype", [np.int16, np.float16])
@given(SEEDS)
@LAWS
def test_mixup_is_the_literal_one(dtype, seed):
    batch = clips(seed, dtype=dtype)
    mixup = Mixup.drawn(np.random.default_rng(seed), 3, 0.5)
    mixed = mixup(batch)
    for i in range(3):
        j, kept = mixup.partner[i], mixup.kept[i]
        for name in ("frames", "velocity", "inflection", "soft", "hard"):
            values = getattr(batch, name).double()
            blend = kept * values[i] + (1 - kept) * values[j]
            # half a step of the stored type: 1 for integers, 2^-11 of the value for float16
            half = {torch.float16: 2.0**-11 * blend.abs() + 1e-3, torch.float32: torch.tensor(0.0)}
            limit = half.get(getattr(batch, name).dtype, torch.tensor(0.5)) + 1e-6 * (1 + values.abs().max())
            assert torch.all((getattr(mixed, name)[i].double() - blend).abs() <= limit), name
        assert torch.equal(mixed.valid[i], batch.valid[i] & batch.valid[j])
        assert torch.equal(mixed.known[i], batch.known[i] & batch.known[j])
    assert torch.equal(mixed.offset, batch.offset)
    assert all(getattr(mixed, f.name).dtype == getattr(batch, f.name).dtype for f in fields(batch))


@pytest.mark.parametrize("dtype", [np.int16, np.float16])
@given(SEEDS)
@LAWS
def test_all_of_itself_or_a_blend_with_itself_is_the_clip(dtype, seed):
    batch = clips(seed, dtype=dtype)
    whole = Mixup((1, 2, 0), (1.0, 1.0, 1.0))(batch)
    with_itself = Mixup((0, 1, 2), (0.7, 0.51, 0.9))(batch)
    for name in ("frames", "velocity", "inflection", "soft", "hard", "offset"):
        assert torch.equal(getattr(whole, name), getattr(batch, name)), name
        assert torch.equal(getattr(with_itself, name), getattr(batch, name)), name
    assert torch.equal(with_itself.known, batch.known)


@given(SEEDS, st.integers(1, 9), st.floats(0.05, 5))
@LAWS
def test_every_clip_is_the_weaker_one_once(seed, batch, alpha):
    mixup = Mixup.drawn(np.random.default_rng(seed), batch, alpha)
    assert sorted(mixup.partner) == list(range(batch))
    assert batch == 1 or all(partner != i for i, partner in enumerate(mixup.partner))
    assert all(0.5 <= kept <= 1 for kept in mixup.kept)


def test_shares_are_of_the_beta_distribution():
    """max(x, 1 - x) of a beta(a, a) variable: P(kept <= k) = 2 CDF(k) - 1, by scipy."""
    from scipy.stats import beta, kstest

    mixup = Mixup.drawn(np.random.default_rng(0), 4000, 0.4)
    result = kstest(mixup.kept, lambda k: 2 * beta(0.4, 0.4).cdf(k) - 1)
    assert result.pvalue > 0.01
