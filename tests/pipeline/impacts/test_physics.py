"""Contact times against school physics, and what a contact must be to count."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pymunk
import pytest

from pipeline.impacts.clock import clock_for
from pipeline.impacts.looks import disc
from pipeline.impacts.physics import AUDIBLE_IMPULSE, World, ball, wall
from pipeline.impacts.puppets import aimed
from pipeline.impacts.rhythm import Stroke
from pipeline.impacts.strikers import Leg, sliding
from pipeline.impacts.textures import plain

FPS = (Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30))
MILLISECOND = 1e-3


def dropped(fps: Fraction, fall_u: float, gravity: float, bounce: float, duration_s: float = 3.0) -> World:
    world = World(clock_for(duration_s, fps), gravity)
    wall(world, (-500.0, 100.0), (500.0, 100.0))
    body = ball(world, (64.0, 100.0 - 10.0 - fall_u), 10.0, bounce, "rubber")
    world.draw(body, (disc(10.0, plain(1, 2, 3)),), 1)
    return world


@pytest.mark.parametrize("fps", FPS)
@pytest.mark.parametrize(("fall_u", "gravity", "bounce"), [(60.0, 500.0, 0.8), (45.0, 350.0, 0.7)])
def test_a_dropped_ball_meets_the_floor_when_newton_says(
    fps: Fraction, fall_u: float, gravity: float, bounce: float
) -> None:
    world = dropped(fps, fall_u, gravity, bounce)
    contacts = world.run().contacts
    fall_s = np.sqrt(2 * fall_u / gravity)
    released_s = world.clock.time_s(0)
    assert contacts[0].time_s - released_s == pytest.approx(fall_s, abs=MILLISECOND)
    assert contacts[1].time_s - contacts[0].time_s == pytest.approx(2 * bounce * fall_s, abs=3 * MILLISECOND)
    assert contacts[2].time_s - contacts[1].time_s == pytest.approx(
        2 * bounce**2 * fall_s, abs=3 * MILLISECOND
    )
    # the blow turns a fall of speed v into a rise of bounce * v; the mass is 1
    assert contacts[0].impulse == pytest.approx((1 + bounce) * gravity * fall_s, rel=0.02)


def test_the_place_of_contact_is_the_lowest_point_of_the_ball() -> None:
    contact = dropped(Fraction(30), 50.0, 500.0, 0.8).run().contacts[0]
    assert (contact.x, contact.y) == (pytest.approx(64.0, abs=0.1), pytest.approx(100.0, abs=0.5))
    assert contact.material == "rubber"


def test_a_ball_that_comes_to_rest_falls_silent_without_chatter() -> None:
    contacts = dropped(Fraction(30), 40.0, 500.0, 0.6, duration_s=6.0).run().contacts
    assert 2 <= len(contacts) <= 5
    assert all(contact.impulse >= AUDIBLE_IMPULSE for contact in contacts)
    gaps = np.diff([contact.time_s for contact in contacts])
    assert gaps.min() > 0.1
    assert contacts[-1].time_s < 2.0


def test_poses_cover_the_clip_and_one_frame_on_either_side() -> None:
    world = dropped(Fraction(25), 30.0, 500.0, 0.8, duration_s=1.0)
    part = world.run().parts[0]
    assert part.poses.shape == (26 * world.clock.steps_per_frame + 1, 3)
    assert world.clock.time_s(0) == pytest.approx(-1 / 25)
    assert part.poses[0, 1] == pytest.approx(60.0)


@pytest.mark.parametrize("fps", FPS)
def test_steps_are_a_whole_number_per_frame_and_at_least_600_a_second(fps: Fraction) -> None:
    clock = clock_for(2.0, fps)
    assert clock.steps_per_frame * fps >= 600
    assert clock.time_s(clock.steps_per_frame) == 0.0
    assert clock.time_s(clock.step_at(1.0)) <= 1.0 < clock.time_s(clock.step_at(1.0) + 1)


def finger(strokes: list[Stroke]) -> World:
    world = World(clock_for(2.0, Fraction(30)), 600.0)
    wall(world, (0.0, 100.0), (128.0, 100.0), "wood")
    body = sliding(world, (64.0, 94.0), (0.0, 1.0), lambda body: pymunk.Circle(body, 6.0), 0.3, strokes)
    world.draw(body, (disc(6.0, plain(1, 2, 3)),), 1)
    return world


def test_a_stroke_strikes_when_it_means_to() -> None:
    recording = finger([Stroke(0.5, "hit", 0.2, 140.0), Stroke(1.2, "hit", 0.25, 140.0)]).run()
    assert [contact.time_s for contact in recording.contacts] == pytest.approx([0.5, 1.2], abs=0.012)
    assert recording.contacts[0].impulse == pytest.approx(1.3 * 140.0, rel=0.1)


@pytest.mark.parametrize("kind", ["feint", "hover"])
def test_a_feint_turns_in_the_air_smoothly_and_unheard(kind: str) -> None:
    linger_s = 0.2 if kind == "hover" else 0.0
    world = finger([Stroke(0.8, kind, 0.3, 80.0, 5.0, linger_s)])  # type: ignore[arg-type]
    recording = world.run()
    assert recording.contacts == ()
    heights = recording.parts[0].poses[:, 1]
    assert 87.0 < heights.max() < 93.0
    # no frame-to-frame change of speed comes near that of a hit (about 1.3 * 140 u/s = 6 u per frame)
    per_frame = heights[:: world.clock.steps_per_frame]
    assert np.abs(np.diff(per_frame, n=2)).max() < 2.5


def test_a_leg_begins_and_ends_as_it_says() -> None:
    leg = Leg(1.0, 3.0, 5.0, -4.0, 9.0, 2.0)
    assert leg.at(1.0) == pytest.approx((5.0, -4.0))
    assert leg.at(3.0) == pytest.approx((9.0, 2.0))
    step = 1e-6
    assert (leg.at(2.2 + step)[0] - leg.at(2.2)[0]) / step == pytest.approx(leg.at(2.2)[1], abs=1e-3)
    fall = Leg(0.0, 0.5, -20.0, 0.0, 0.0, 0.0, fall_power=2.2)
    assert fall.at(0.0) == pytest.approx((-20.0, 0.0))
    assert fall.at(0.5)[0] == pytest.approx(0.0)
    assert fall.at(0.6)[0] > 0


def test_an_aimed_body_arrives() -> None:
    vx, vy = aimed((10.0, 50.0), (70.0, 40.0), 0.8, 400.0)
    assert 10.0 + vx * 0.8 == pytest.approx(70.0)
    assert 50.0 + vy * 0.8 + 400.0 * 0.8**2 / 2 == pytest.approx(40.0)
