"""A rally over a table: bat, table, bat, table, until someone misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymunk

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, box, disc, mirrored, rod
from pipeline.impacts.physics import Recording, World, ball, wall
from pipeline.impacts.puppets import Move, Puppet, Vector, aimed, puppet
from pipeline.impacts.scenes.setting import ACTOR_LAYER, SET_LAYER, Setting, cloth, ground, side, skin
from pipeline.impacts.textures import draw_texture, plain

FACE_U = 53.0
"""The bats meet the ball so far from the net."""
BAT_HALF_U = 2.5
MISS_SHARE = 0.08
TRIES = 60


@dataclass(frozen=True)
class Shot:
    """A stroke over the net: how the ball leaves, and when and where the other bat meets it."""

    velocity: Vector
    lasts_s: float
    height: float

    @property
    def fair(self) -> bool:
        """Low enough for the picture, high enough over the table, and neither hasty nor slow."""
        return self.lasts_s > 0.0


@dataclass
class Rally:
    """Two bats that keep a ball going.

    Attributes:
        table: y of the table's top, u.
        radius, bounce: of the ball.
        bats: left and right, with the places where they wait.
        going: where the ball flies to, -1 left or 1 right.
    """

    rng: np.random.Generator
    world: World
    body: pymunk.Body
    table: float
    radius: float
    bounce: float
    bats: list[tuple[Puppet, Vector]]
    going: int

    def returned(self) -> None:
        """After a blow: if it was a bat's, aim the ball at the other side."""
        x, y = self.body.position
        if abs(x - 64.0) > FACE_U - 11.0:
            self.going = -self.going
            self.play((x, y), self.world.now_s)

    def play(self, start: Vector, now_s: float) -> None:
        """Send the ball from ``start`` over the net, and the bat there to meet it (or to miss it)."""
        shot = self._shot(start)
        for _ in range(TRIES):
            if shot.fair:
                break
            shot = self._shot(start)
        self.body.velocity = shot.velocity
        bat, home = self.bats[(self.going + 1) // 2]
        if now_s > 0.3 and self.rng.random() < MISS_SHARE:
            return
        meet_s = now_s + abs(shot.lasts_s)
        swing_s = min(0.28, 0.5 * abs(shot.lasts_s))
        meet = (64.0 + self.going * (FACE_U + BAT_HALF_U), shot.height)
        ready = (home[0] + self.going * 5.0, shot.height + self.rng.uniform(0.0, 8.0))
        bat.moves = [
            Move(now_s, meet_s - swing_s, ready),
            Move(meet_s - swing_s, meet_s, meet, (-self.going * self.rng.uniform(40.0, 80.0), -20.0)),
            Move(meet_s, meet_s + 0.35, home),
        ]

    def _shot(self, start: Vector) -> Shot:
        """A random stroke; one that will not do has its time negative."""
        gravity, floor = self.world.gravity, self.table - self.radius
        first_s = self.rng.uniform(0.3, 0.55)
        spot = 64.0 + self.going * self.rng.uniform(18.0, 34.0)
        velocity = aimed(start, (spot, floor), first_s, gravity)
        rising = self.bounce * (velocity[1] + gravity * first_s)
        second_s = (64.0 + self.going * (FACE_U - self.radius) - spot) / velocity[0]
        height = floor - rising * second_s + gravity * second_s**2 / 2
        apex = start[1] - velocity[1] ** 2 / (2 * gravity)
        fair = 0.15 < second_s < 0.45 and self.table - 62.0 < height < self.table - 14.0 and apex > 8.0
        return Shot(velocity, (1 if fair else -1) * (first_s + second_s), height)


def pingpong(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """A rally seen from the side."""
    world = World(clock, rng.uniform(420.0, 620.0))
    radius, bounce = rng.uniform(6.2, 8.0) * setting.scale, rng.uniform(0.8, 0.92)
    table = rng.uniform(88.0, 98.0)
    _furnish(rng, world, setting, table)
    bats = [_bat(rng, world, setting, way, (64.0 + way * (FACE_U + 4.0), table - 26.0)) for way in (-1, 1)]
    going = side(rng)
    start = (64.0 - going * rng.uniform(20.0, 44.0), table - rng.uniform(26.0, 40.0))
    body = ball(world, start, radius, bounce, "plastic")
    world.draw(body, (disc(radius, plain(235, 150, 60, 3)),), ACTOR_LAYER)
    rally = Rally(rng, world, body, table, radius, bounce, bats, going)
    rally.play(start, clock.time_s(0))
    world.on_hit(body, rally.returned)
    return world.run()


def _furnish(rng: np.random.Generator, world: World, setting: Setting, table: float) -> None:
    """Floor, table and net."""
    top = draw_texture(rng, (3.0, 6.0))
    ground(world, setting, 122.0, draw_texture(rng, (4.0, 8.0)))
    slab, net = box(-46.0, 0.0, 46.0, 5.0, top), box(-1.0, -9.0, 1.0, 0.0, plain(230, 230, 230))
    legs = (box(-36.0, 5.0, -31.0, 40.0, top), box(31.0, 5.0, 36.0, 40.0, top))
    world.draw_still((slab, net, *legs), 64.0, table, SET_LAYER)
    wall(world, (18.0, table), (110.0, table), "plastic")


def _bat(
    rng: np.random.Generator, world: World, setting: Setting, way: int, home: Vector
) -> tuple[Puppet, Vector]:
    """A bat on the left (-1) or the right (1) with the arm that holds it."""

    def blade(body: pymunk.Body) -> pymunk.Shape:
        return pymunk.Segment(body, (0, -10), (0, 10), BAT_HALF_U)

    bat = puppet(world, home, blade, 1.0)
    drawn: Look = (
        rod((0.0, 10.0), (6.0, 40.0), 4.5 * setting.scale, cloth(rng)),
        rod((0.0, -10.0), (0.0, 10.0), BAT_HALF_U, draw_texture(rng, (1.5, 3.0))),
        disc(5.0, skin(rng), (1.0, 13.0)),
    )
    world.draw(bat.body, drawn if way > 0 else mirrored(drawn), ACTOR_LAYER + 1)
    return bat, home
