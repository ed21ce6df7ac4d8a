"""Pixels: things are drawn where the physics has them, at the moment a frame is shown."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.impacts.compose import Wanted, compose
from pipeline.impacts.looks import box, disc
from pipeline.impacts.render import draw_sprite, paint_sprite, render, shutter_offsets_s
from pipeline.impacts.specimen import FLOOR_U, bounce_clip
from pipeline.impacts.textures import PATTERNS, Texture, paint

WHITE = Texture("noise", (255.0, 255.0, 255.0), (255.0, 255.0, 255.0), 3.0, 0)


def centroid(image: np.ndarray) -> tuple[float, float]:
    """Centre of brightness, pixel (0, 0) covering 0..1."""
    light = image.sum(axis=2)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    return float((light * x).sum() / light.sum()), float((light * y).sum() / light.sum())


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("place", [(30.0, 40.0), (30.5, 40.25), (33.9, 21.1)])
def test_a_sprite_lies_where_it_should(place: tuple[float, float], scale: float) -> None:
    canvas = np.zeros((64, 64, 3), np.float32)
    draw_sprite(canvas, paint_sprite((disc(6.0, WHITE),), 1.3 * scale), *place, 0.7, scale)
    assert centroid(canvas) == pytest.approx(place, abs=0.1)
    assert canvas.sum() / 3 / 255 == pytest.approx(np.pi * (6 * scale) ** 2, rel=0.05)


def test_a_positive_angle_turns_from_right_to_down() -> None:
    canvas = np.zeros((64, 64, 3), np.float32)
    sprite = paint_sprite((box(0.0, -2.0, 20.0, 2.0, WHITE),), 1.3)
    draw_sprite(canvas, sprite, 32.0, 32.0, np.pi / 2, 1.0)
    assert centroid(canvas) == pytest.approx((32.0, 42.0), abs=0.2)


def test_a_sprite_outside_the_picture_is_not_drawn() -> None:
    canvas = np.zeros((32, 32, 3), np.float32)
    draw_sprite(canvas, paint_sprite((disc(5.0, WHITE),), 1.0), -40.0, 10.0, 0.0, 1.0)
    assert not canvas.any()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_textures_have_grain(pattern: str) -> None:
    image = paint(Texture(pattern, (50, 60, 70), (200, 190, 180), 4.0, 5), 60, 80, 1.0)  # type: ignore[arg-type]
    assert image.shape == (60, 80, 3)
    assert image.std(axis=(0, 1)).min() > 15
    assert image.min() >= 50 - 1e-3
    assert image.max() <= 200 + 1e-3


def test_the_shutter_is_centred_on_the_frame() -> None:
    clip = compose(Wanted("train", 1, 1.0, (64, 64), 0, 1.0, True))
    assert shutter_offsets_s(clip).mean() == pytest.approx(0.0, abs=1e-12)
    assert np.abs(shutter_offsets_s(clip)).max() < 0.5 / float(clip.clock.fps)


def test_rendering_is_deterministic_and_complete() -> None:
    clip = compose(Wanted("train", 3, 1.0, (64, 96), 0, 0.8, True))
    one, two = np.stack(list(render(clip))), np.stack(list(render(clip)))
    assert one.shape == (clip.clock.n_frames, 64, 96, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30)])
def test_the_specimen_ball_is_lowest_at_its_contacts(fps: Fraction) -> None:
    clip = bounce_clip(fps=fps, duration_s=1.6)
    fall_s = np.sqrt(2 * 60.0 / 500.0)
    expected = -1 / float(fps) + fall_s * np.array([1.0, 1 + 2 * 0.85])
    np.testing.assert_allclose(clip.contact_times_s, expected, atol=4e-3)
    assert clip.contact_frames == tuple(round(time * float(fps)) for time in clip.contact_times_s)
    np.testing.assert_allclose(clip.contact_positions_px, [[64.0, FLOOR_U]] * 2, atol=0.5)
    # the ball is what differs from the picture without it: the median over time
    frames = clip.frames.astype(np.float32)
    heights = [centroid(np.abs(frame - np.median(frames, axis=0)) > 25)[1] for frame in frames]
    for frame in clip.contact_frames:
        window = heights[frame - 4 : frame + 5]
        assert abs(int(np.argmax(window)) - 4) <= 1
