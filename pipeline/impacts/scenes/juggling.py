"""A juggler's hands: every catch is a hit, a throw is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pymunk

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, disc, rod
from pipeline.impacts.physics import Recording, World, ball, no_gravity
from pipeline.impacts.puppets import Move, Puppet, Vector, aimed, puppet
from pipeline.impacts.scenes.setting import ACTOR_LAYER, Setting, cloth, skin
from pipeline.impacts.textures import draw_texture

UNTOUCHED = pymunk.ShapeFilter(group=1, mask=0)
"""A ball in a hand, or on its way up out of one, touches nothing."""
FALLING = pymunk.ShapeFilter(group=1)
"""A ball on its way down touches hands, but never another ball."""


@dataclass(frozen=True)
class Pattern:
    """A cascade: throws come every ``beat_s`` from the hands in turn, a ball every third beat.

    Attributes:
        start_s: the first catch-to-throw movement begins.
        beat_s: from one throw to the next.
        dwell_s: a ball stays so long in a hand; with it the hand slows down, turns and throws.
        gravity: u/s^2.
        inner, outer: where the left and the right hand throw and catch (u).
    """

    start_s: float
    beat_s: float
    dwell_s: float
    gravity: float
    inner: tuple[Vector, Vector]
    outer: tuple[Vector, Vector]

    @property
    def flight_s(self) -> float:
        """From throw to catch."""
        return 3 * self.beat_s - self.dwell_s

    def throw(self, hand: int) -> Vector:
        """Velocity (u/s) with which ``hand`` (0 left, 1 right) throws over to the other."""
        return aimed(self.inner[hand], self.outer[1 - hand], self.flight_s, self.gravity)

    def throw_s(self, beat: int) -> float:
        """Time of the throw at ``beat``."""
        return self.start_s + self.dwell_s + beat * self.beat_s

    def moves(self, hand: int, until_s: float) -> list[Move]:
        """What a hand does, ball or no ball: throw, go and meet the next one, and again."""
        moves = []
        for beat in range(hand, int((until_s - self.start_s) / self.beat_s) + 4, 2):
            throw_s = self.throw_s(beat)
            catch_s = throw_s + 2 * self.beat_s - self.dwell_s
            moves.append(Move(throw_s - self.dwell_s, throw_s, self.inner[hand], self.throw(hand)))
            moves.append(Move(throw_s, catch_s, self.outer[hand], (0.0, 25.0)))
        return moves


@dataclass
class Juggled:
    """One ball: carried by ``hand`` or, with None, in the air until ``land_s``."""

    body: pymunk.Body
    number: int
    pattern: Pattern
    hands: tuple[Puppet, Puppet]
    seat: Vector
    hand: int | None
    land_s: float = 0.0

    def control(self, time_s: float, step_s: float) -> None:
        """Go with the hand; leave it, at the hand's own speed, when it throws."""
        if self.hand is None:
            if time_s > self.land_s - 0.4 * self.pattern.flight_s:
                self._filter(FALLING)
            return
        hand = self.hands[self.hand].body
        goal = hand.position + hand.velocity * step_s + self.seat
        self.body.velocity = (goal - self.body.position) / step_s
        beat = int(np.floor((time_s - self.pattern.throw_s(0)) / self.pattern.beat_s))
        late_s = time_s - self.pattern.throw_s(beat)
        if beat >= 0 and beat % 3 == self.number and beat % 2 == self.hand and late_s < 2 * step_s:
            self.body.velocity_func = pymunk.Body.update_velocity
            self.body.velocity = self.pattern.throw(self.hand)
            self.hand, self.land_s = None, time_s + self.pattern.flight_s

    def carried(self) -> None:
        """From now on (a catch, or the beginning) the ball goes with the hand it lies in."""
        self.hand = 0 if self.body.position.x < 64.0 else 1
        self.body.velocity_func = no_gravity
        self._filter(UNTOUCHED)

    def _filter(self, chosen: pymunk.ShapeFilter) -> None:
        for shape in self.body.shapes:
            shape.filter = chosen


def juggling(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One to three balls thrown crosswise and caught; with fewer than three, hands also throw nothing."""
    pattern = _draw_pattern(rng, clock)
    world = World(clock, pattern.gravity)
    radius, cup = rng.uniform(6.0, 8.0) * setting.scale, 6.5 * setting.scale
    hands = _hands(rng, world, pattern, cup, setting)
    for number in range(int(rng.choice([1, 2, 3], p=[0.25, 0.35, 0.4]))):
        seat = (0.0, -(radius + cup))
        body = ball(world, hands[number % 2].body.position + seat, radius, 0.0, "palm")
        world.draw(body, (disc(radius, draw_texture(rng, (2.0, 4.0))),), ACTOR_LAYER + 1)
        juggled = Juggled(body, number, pattern, hands, seat, number % 2)
        juggled.carried()
        world.controllers.append(juggled.control)
        world.on_hit(body, juggled.carried)
    return world.run()


def _draw_pattern(rng: np.random.Generator, clock: Clock) -> Pattern:
    beat_s = rng.uniform(0.22, 0.32)
    dwell_s = beat_s * rng.uniform(0.8, 1.1)
    gravity = 8 * rng.uniform(34.0, 54.0) / (3 * beat_s - dwell_s) ** 2
    level, reach = rng.uniform(90.0, 100.0), rng.uniform(20.0, 28.0)
    return Pattern(
        start_s=clock.time_s(0) + rng.uniform(0.05, 0.3),
        beat_s=beat_s,
        dwell_s=dwell_s,
        gravity=gravity,
        inner=((64.0 - 0.45 * reach, level), (64.0 + 0.45 * reach, level)),
        outer=((64.0 - 1.15 * reach, level), (64.0 + 1.15 * reach, level)),
    )


def _hands(
    rng: np.random.Generator, world: World, pattern: Pattern, cup: float, setting: Setting
) -> tuple[Puppet, Puppet]:
    """The left and the right hand with their forearms, at their outer places, and their moves."""
    tone, sleeve = skin(rng), cloth(rng)

    def hand(which: int) -> Puppet:
        way = 2 * which - 1
        led = puppet(world, pattern.outer[which], partial(pymunk.Circle, radius=cup), 1.0)
        arm: Look = (
            rod((way * 2.0, 3.0), (way * 24.0, 60.0), 5.0 * setting.scale, sleeve),
            disc(1.35 * cup, tone, flat=0.74),
        )
        world.draw(led.body, arm, ACTOR_LAYER + 2)
        led.moves = pattern.moves(which, world.clock.duration_s + 1.0)
        return led

    return hand(0), hand(1)
