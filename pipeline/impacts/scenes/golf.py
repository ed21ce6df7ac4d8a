"""A golfer's stroke: one hit in a whole clip, and swings around it that touch nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymunk

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, box, disc, mirrored, rod
from pipeline.impacts.physics import Recording, World, ball, no_gravity
from pipeline.impacts.puppets import Move, Puppet, Vector, puppet
from pipeline.impacts.scenes.setting import ACTOR_LAYER, SET_LAYER, Setting, cloth, ground, side
from pipeline.impacts.strikers import Leg
from pipeline.impacts.textures import draw_texture, plain

FASTEST_BALL = 210.0
"""u/s; a faster ball would have left before it was seen to move."""
ADDRESS = -0.35
"""Angle (radian) at which the club waits behind the ball."""


@dataclass
class Club:
    """Turns about the hands: ``legs`` give the angle, 0 = at the ball, positive = past it."""

    puppet: Puppet
    right: int
    legs: list[Leg]

    def control(self, time_s: float, step_s: float) -> None:
        """Turn so that the angle is right at the end of the step."""
        while len(self.legs) > 1 and time_s >= self.legs[0].end_s:
            self.legs.pop(0)
        # the head hangs below the hands: a positive angle of the body would carry it to the left
        aim = -self.right * self.legs[0].at(time_s + step_s)[0]
        self.puppet.body.angular_velocity = (aim - self.puppet.body.angle) / step_s


def golf_swing(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One stroke at a ball on a tee; practice swings above it before, a follow-through after."""
    world = World(clock, 500.0)
    right, scale = side(rng), setting.scale
    reach, radius = rng.uniform(40.0, 50.0), rng.uniform(5.5, 7.5) * scale
    floor = rng.uniform(104.0, 116.0)
    tee = (64.0 - right * rng.uniform(0.0, 20.0), floor - radius - 3.0)
    ground(world, setting, floor, draw_texture(rng, (3.0, 8.0)))
    world.draw_still((box(-1.5, 0.0, 1.5, 4.0, plain(200, 160, 90)),), tee[0], floor - 3.0, SET_LAYER)
    body = ball(world, tee, radius, 0.6, "plastic")
    body.velocity_func = no_gravity
    world.draw(body, (disc(radius, draw_texture(rng, (2.0, 4.0))),), ACTOR_LAYER)
    loft = rng.uniform(0.25, 0.8)

    def fly() -> None:
        # the club's face is tilted: it sends the ball up as well as forward
        speed = min(body.velocity.length, FASTEST_BALL)
        body.velocity_func = pymunk.Body.update_velocity
        body.velocity = (right * speed * float(np.cos(loft)), -speed * float(np.sin(loft)))

    world.on_hit(body, fly)
    hands = (tee[0], tee[1] - reach)
    led = _draw_club(rng, world, hands, reach, right, scale)
    legs, led.moves = _swings(rng, clock, hands, reach)
    club = Club(led, right, legs)
    led.body.angle = -right * legs[0].q0
    world.controllers.append(club.control)
    return world.run()


def _draw_club(
    rng: np.random.Generator, world: World, hands: Vector, reach: float, right: int, scale: float
) -> Puppet:
    head = 5.0 * scale

    def shape(body: pymunk.Body) -> pymunk.Shape:
        return pymunk.Circle(body, head, (0.0, reach))

    club = puppet(world, hands, shape, 1.0)
    stick: Look = (
        rod((0.0, 0.0), (0.0, reach), 2.0, draw_texture(rng, (2.0, 4.0))),
        disc(head, draw_texture(rng, (2.0, 3.0)), (0.0, reach)),
        disc(6.5 * scale, plain(225, 180, 150)),
        rod((0.0, -2.0), (-10.0, -60.0), 7.0 * scale, cloth(rng)),
    )
    world.draw(club.body, stick if right > 0 else mirrored(stick), ACTOR_LAYER + 1)
    return club


def _swings(
    rng: np.random.Generator, clock: Clock, hands: Vector, reach: float
) -> tuple[list[Leg], list[Move]]:
    """Angles of the club (radian, 0 = at the ball, positive = past it) and lifts of the hands."""
    hit_s = clock.duration_s * rng.uniform(0.35, 0.8)
    swing_s = rng.uniform(0.55, 0.75)
    back = rng.uniform(1.1, 1.5)
    down_s = hit_s - swing_s / 2
    legs = [Leg(down_s, down_s + swing_s, -back, 0.0, back, 0.0)]
    moves: list[Move] = []
    now_s, angle = down_s, -back
    while now_s > 0.0:
        draw_s = rng.uniform(0.5, 0.8)
        if now_s > draw_s + 1.2 and rng.random() < 0.7:
            # a practice swing passes above the ball with lifted hands, and its return is the next draw
            legs.insert(0, Leg(now_s - draw_s, now_s, back, 0.0, -back, 0.0))
            legs.insert(0, Leg(now_s - draw_s - 0.7, now_s - draw_s, -back, 0.0, back, 0.0))
            lift = (hands[0], hands[1] - 18.0 - 0.05 * reach)
            moves = [
                Move(now_s - draw_s - 1.4, now_s - draw_s - 0.9, lift),
                Move(now_s - 0.25, now_s + 0.12, hands),
                *moves,
            ]
            now_s, angle = now_s - draw_s - 0.7, -back
            continue
        legs.insert(0, Leg(now_s - draw_s, now_s, ADDRESS, 0.0, angle, 0.0))
        break
    after_s = hit_s + swing_s / 2
    legs.append(Leg(after_s + 0.4, after_s + 1.1, back, 0.0, ADDRESS, 0.0))
    legs.append(Leg(after_s + 1.1, after_s + 1e6, ADDRESS, 0.0, ADDRESS, 0.0))
    return legs, moves
