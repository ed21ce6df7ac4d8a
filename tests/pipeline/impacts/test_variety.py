"""Varied clips: other rates, framings, manners and surfaces, the same exact labels; and none unless asked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pymunk
import pytest

from pipeline.impacts.camera import Camera
from pipeline.impacts.clock import clock_for
from pipeline.impacts.compose import Clip, Wanted, compose, project
from pipeline.impacts.film import draw_film
from pipeline.impacts.looks import disc
from pipeline.impacts.physics import Contact, Part, World, wall
from pipeline.impacts.render import render
from pipeline.impacts.rhythm import Manner, Stroke
from pipeline.impacts.scenes import SCENES, VARIED_KINDS, VARIED_SCENES
from pipeline.impacts.scenes.setting import Setting
from pipeline.impacts.strikers import sliding
from pipeline.impacts.textures import Texture
from pipeline.impacts.variety import duller

pytestmark = pytest.mark.slow

WHITE = Texture("noise", (255.0, 255.0, 255.0), (255.0, 255.0, 255.0), 3.0, 0)
BLACK = Texture("noise", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 3.0, 0)

AS_BEFORE = "1fbd6f191ce1cbda"


def wanted(index: int, variety: float) -> Wanted:
    return Wanted("train", index, 3.2, (128, 160), seed=0, difficulty=0.5, silent=False, variety=variety)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [compose(wanted(index, 1.0)) for index in range(len(VARIED_KINDS))]


def test_without_variety_every_clip_is_what_it_was_before_there_was_any() -> None:
    """Poses, camera and film of one clip of each kind, digested by the code that knew no variety."""
    digest = hashlib.sha256()
    for index in range(len(SCENES)):
        clip = compose(wanted(index, 0.0))
        film = clip.film
        tracks = [clip.camera.x, clip.camera.y, clip.camera.zoom, *(part.poses for part in clip.parts)]
        numbers = np.concatenate([np.ravel(track) for track in tracks])
        digest.update(np.round(numbers, 5).astype(np.float32).tobytes())
        looks = [patch.texture for part in clip.parts for patch in part.look]
        digest.update(repr((clip.hits, film.backdrop, film.shutter, film.crf, film.seed, looks)).encode())
    assert digest.hexdigest()[:16] == AS_BEFORE


def test_labels_are_the_frames_nearest_to_contacts_inside_the_picture(clips: list[Clip]) -> None:
    for clip in clips:
        fps = float(clip.clock.fps)
        assert all(
            abs(frame / fps - contact.time_s) <= 0.5 / fps + 1e-9
            for frame, contact in zip(clip.hits, clip.contacts, strict=True)
        )
        assert all(gap >= 3 for gap in np.diff(clip.hits))
        assert all(0 < x < 160 and 0 < y < 128 for x, y in clip.positions_px)


def test_clips_differ_in_rate_framing_and_manner_and_have_as_many_frames(clips: list[Clip]) -> None:
    assert {clip.clock.n_frames for clip in clips} == {96}
    assert len({clip.clock.fps for clip in clips}) >= 4
    near = [clip.camera.near for clip in clips]
    assert min(near) < 0.8
    assert max(near) > 1.3
    assert max(abs(clip.camera.roll) for clip in clips) > 1.0
    again = compose(wanted(0, 1.0))
    assert again.contacts == clips[0].contacts
    assert again.film == clips[0].film


def test_a_turned_picture_shows_a_contact_where_it_says() -> None:
    """A white disc is drawn at the contact on black; its centre of brightness is the contact's position."""
    clock = clock_for(0.2, Fraction(30))
    still = np.zeros(clock.n_steps + 1)
    camera = Camera(clock.times_s(), still + 60.0, still + 70.0, still + 1.1, 0.7, 2.2, (9.0, -14.0))
    contact = Contact(0.1, 81.0, 52.0, 100.0, "wood")
    film = replace(draw_film(np.random.default_rng(0), 0.0), backdrop=BLACK)
    dot = Part((disc(5.0, WHITE),), np.array([[contact.x, contact.y, 0.3]]), 1)
    (place,) = project((contact,), camera, (96, 128))
    clip = Clip(replace(wanted(0, 1.0), size=(96, 128)), clock, (dot,), (contact,), (place,), camera, film, 0)
    light = list(render(clip))[3].sum(axis=2).astype(float)
    y, x = np.mgrid[:96, :128] + 0.5
    assert ((light * x).sum() / light.sum(), (light * y).sum() / light.sum()) == pytest.approx(place, abs=0.1)
    # by hand: turned by 2.2 about the camera, moved aside, enlarged by 0.75 px per u * 0.7 * 1.1
    across = np.cos(2.2) * 21.0 - np.sin(2.2) * -18.0 + 9.0
    down = np.sin(2.2) * 21.0 + np.cos(2.2) * -18.0 - 14.0
    assert place == pytest.approx((64 + across * 0.5775, 48 + down * 0.5775))
    assert light.sum() / 3 / 255 == pytest.approx(np.pi * (5.0 * 0.5775) ** 2, rel=0.1)


@pytest.mark.parametrize(
    "manner", [Manner(quickness=3.0, fall_power=1.4, bounce=0.1), Manner(fall_power=3.0)]
)
def test_a_stroke_in_any_manner_strikes_when_it_means_to(manner: Manner) -> None:
    world = World(clock_for(2.0, Fraction(30)), 600.0)
    wall(world, (0.0, 100.0), (128.0, 100.0), "wood")
    speed = 140.0 * manner.quickness
    strokes = [Stroke(0.6, "hit", 0.12, speed), Stroke(1.3, "hit", 0.15, speed, linger_s=0.3)]
    sliding(
        world, (64.0, 94.0), (0.0, 1.0), lambda body: pymunk.Circle(body, 6.0), 0.5, strokes, manner, 0.02
    )
    contacts = world.run().contacts
    assert [contact.time_s for contact in contacts] == pytest.approx([0.6, 1.3], abs=0.012)
    assert contacts[0].impulse == pytest.approx((1 + 0.5 * manner.bounce) * speed, rel=0.1)


@pytest.mark.parametrize("kind", ["hammer", "drumming", "tapping", "clapping", "BoxingPunchin", "striking"])
def test_who_only_pretends_touches_nothing(kind: str) -> None:
    rng = np.random.default_rng(5)
    setting = Setting(128.0, 128.0, 1.0, Manner(only_pretends=True, quickness=1.5))
    recording = VARIED_SCENES[kind](rng, clock_for(3.2, Fraction(25)), setting)
    assert recording.contacts == ()
    assert max(np.ptp(part.poses, axis=0).max() for part in recording.parts) > 0.1


def test_a_duller_texture_keeps_its_colour_and_loses_contrast() -> None:
    rng = np.random.default_rng(2)
    before = Texture("dots", (60.0, 70.0, 80.0), (200.0, 190.0, 180.0), 3.0, 1)
    after = duller(rng, before, 1.0)
    for dark, light, low, high in zip(before.dark, before.light, after.dark, after.light, strict=True):
        assert 0 <= low <= high <= 255
        assert high - low < light - dark
        assert abs((low + high) / 2 - (dark + light) / 2) <= 40.0
