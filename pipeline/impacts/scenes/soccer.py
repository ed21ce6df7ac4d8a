"""Keeping a ball in the air with two feet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pymunk

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, disc, rod
from pipeline.impacts.physics import Recording, World, ball
from pipeline.impacts.puppets import Move, Puppet, Vector, aimed, puppet
from pipeline.impacts.rhythm import FIRST_S
from pipeline.impacts.scenes.setting import ACTOR_LAYER, Setting, cloth, ground
from pipeline.impacts.textures import draw_texture

MISS_SHARE = 0.05
FEINT_SHARE = 0.4


@dataclass
class Keeper:
    """The player: knows where the ball will come down and sends a foot there.

    Attributes:
        level: y at which the ball is met, u.
        touch: distance of the ball's centre from the foot's when they touch.
        feet: left and right, with the places where they rest.
    """

    rng: np.random.Generator
    world: World
    body: pymunk.Body
    level: float
    touch: float
    feet: list[tuple[Puppet, Vector]]

    def kicked(self) -> None:
        """After every blow, aim the ball at one of the feet; now and then at none."""
        now_s = self.world.now_s
        if now_s > FIRST_S and self.rng.random() < MISS_SHARE:
            self.body.velocity = (self.rng.uniform(-110.0, 110.0), -self.rng.uniform(80.0, 160.0))
            return
        x, y = self.body.position
        self.play((x, y), now_s)

    def play(self, start: Vector, now_s: float) -> None:
        """Send the ball from ``start`` up and down to a foot, which comes to meet it."""
        rng, gravity = self.rng, self.world.gravity
        flight_s = float(np.sqrt(8 * rng.uniform(12.0, 62.0) / gravity))
        chosen = int(rng.integers(2))
        foot, home = self.feet[chosen]
        goal = (home[0] + rng.uniform(-5.0, 5.0), self.level + rng.uniform(-4.0, 4.0))
        self.body.velocity = aimed(start, goal, flight_s, gravity)
        meet_s = now_s + flight_s
        rising = (0.0, -rng.uniform(60.0, 100.0))
        foot.moves = [
            Move(meet_s - min(0.24, 0.6 * flight_s), meet_s, (goal[0], goal[1] + self.touch), rising),
            Move(meet_s, meet_s + 0.32, home),
        ]
        other, resting = self.feet[1 - chosen]
        if flight_s > 0.6 and not other.moves and rng.random() < FEINT_SHARE:
            # the other foot twitches while the ball is far above it
            lift = (resting[0], resting[1] - rng.uniform(8.0, 12.0))
            mid_s = now_s + 0.5 * flight_s
            other.moves = [Move(mid_s - 0.3, mid_s, lift), Move(mid_s, mid_s + 0.3, resting)]


def soccer_juggling(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """A ball kept in the air by two feet, until it is missed."""
    world = World(clock, rng.uniform(420.0, 640.0))
    radius, sole = rng.uniform(8.0, 11.0) * setting.scale, 6.0 * setting.scale
    level, middle = rng.uniform(78.0, 92.0), 64.0 + rng.uniform(-10.0, 10.0)
    ground(world, setting, 124.0, draw_texture(rng, (3.0, 8.0)))
    trousers, shoe = cloth(rng), draw_texture(rng, (2.0, 4.0))
    feet = []
    for way in (-1, 1):
        home = (middle + way * 17.0, level + radius + sole + rng.uniform(9.0, 16.0))
        foot = puppet(world, home, partial(pymunk.Circle, radius=sole), 0.6)
        leg: Look = (
            rod((way * 3.0, 0.0), (way * 20.0, 60.0), 6.5 * setting.scale, trousers),
            disc(1.6 * sole, shoe, (way * 4.0, 3.0), 0.6),
            disc(sole, shoe),
        )
        world.draw(foot.body, leg, ACTOR_LAYER + 1)
        feet.append((foot, home))
    start = (middle + rng.uniform(-10.0, 10.0), level - rng.uniform(10.0, 30.0))
    body = ball(world, start, radius, 0.7, "leather")
    body.angular_velocity = rng.uniform(-4.0, 4.0)
    world.draw(body, (disc(radius, draw_texture(rng, (3.0, 5.0))),), ACTOR_LAYER)
    keeper = Keeper(rng, world, body, level, radius + sole, feet)
    keeper.play(start, clock.time_s(0))
    world.on_hit(body, keeper.kicked)
    return world.run()
