"""Actors that strike: a head on a path of one dimension, driven smoothly until a blow throws it back.

The coordinate ``q`` (u) runs along the head's path: 0 where it would touch, negative on the way there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pymunk

from pipeline.impacts.physics import FIXED_MASS, World, add_shape, no_gravity
from pipeline.impacts.rhythm import USUAL, Manner, Stroke

OVERDUE = 0.5
"""A stroke that has met nothing this share of its fall after its time gives up."""
FOREVER_S = 1e6
PULL_PER_S = 25.0
"""How strongly a head is drawn back onto its plan, u/s per u."""


@dataclass(frozen=True)
class Leg:
    """A smooth piece of a plan, from (``start_s``, q0, v0) to (``end_s``, q1, v1): a cubic, or a fall.

    A fall goes ``1 - tau ** fall_power`` of its way: from rest, ever faster, fastest on arrival.
    """

    start_s: float
    end_s: float
    q0: float
    v0: float
    q1: float
    v1: float
    fall_power: float | None = None

    def at(self, time_s: float) -> tuple[float, float]:
        """Place (u) and speed (u/s) at ``time_s``; a fall goes on beyond its end, through the surface."""
        span = self.end_s - self.start_s
        tau = (time_s - self.start_s) / span
        if self.fall_power is not None:
            arrived = max(tau, 0.0) ** (self.fall_power - 1.0)
            return self.q0 * (1.0 - arrived * tau), -self.q0 * self.fall_power * arrived / span
        tau = min(max(tau, 0.0), 1.0)
        rest = self.q1 - self.q0
        # cubic Hermite polynomial and its derivative
        place = (
            self.q0
            + rest * tau * tau * (3 - 2 * tau)
            + span * (self.v0 * tau * (1 - tau) ** 2 - self.v1 * tau * tau * (1 - tau))
        )
        speed = (
            6 * rest * tau * (1 - tau) / span
            + self.v0 * (1 - tau) * (1 - 3 * tau)
            + self.v1 * tau * (3 * tau - 2)
        )
        return place, speed


@dataclass
class Striker:
    """Plays a list of strokes; what happens at the surface is the engine's business.

    Attributes:
        read: the head's place and speed on its path.
        drive: sets its speed.
        strokes: what it means to do, by time.
        rest_q: where it waits when nothing is left to do.
        manner: in which it strikes.
    """

    read: Callable[[], tuple[float, float]]
    drive: Callable[[float], None]
    strokes: list[Stroke]
    rest_q: float
    manner: Manner = USUAL
    _legs: list[Leg] = field(default_factory=list)
    _hit: bool = False
    _linger_s: float = 0.0

    def control(self, time_s: float, step_s: float) -> None:
        """Follow the plan for one step; make a new one when it is over or a blow has ended it."""
        if self._hit or not self._legs:
            self._plan(time_s, self._linger_s if self._hit else 0.0)
            self._hit = False
        while len(self._legs) > 1 and time_s >= self._end_s(self._legs[0]):
            self._legs.pop(0)
        if time_s >= self._end_s(self._legs[0]):
            self._plan(time_s, 0.0)
        place, _ = self.read()
        aim, speed = self._legs[0].at(time_s + step_s)
        self.drive(speed + min(max(PULL_PER_S * (aim - place), -30.0), 30.0))

    def struck(self) -> None:
        """The head has struck something: the rest of the stroke is void."""
        self._hit = True

    def _end_s(self, leg: Leg) -> float:
        return leg.end_s + (0.0 if leg.fall_power is None else OVERDUE * (leg.end_s - leg.start_s))

    def _plan(self, now_s: float, linger_s: float) -> None:
        """Legs from where the head is now up to the top and down with the next stroke."""
        place, speed = self.read()
        power, rise_s = self.manner.fall_power, self.manner.rise_s
        while self.strokes and self.strokes[0].time_s - self.strokes[0].fall_s < now_s + 0.03:
            self.strokes.pop(0)
        legs = []
        if linger_s > 0.0:
            # comes to rest where its rebound ends, so that it does not fall back onto the surface
            ended = place + speed * linger_s / 3
            legs.append(Leg(now_s, now_s + linger_s, place, speed, ended, 0.0))
            now_s, place, speed = now_s + linger_s, ended, 0.0
        if not self.strokes:
            rested_s = now_s + rise_s
            legs.append(Leg(now_s, rested_s, place, speed, self.rest_q, 0.0))
            legs.append(Leg(rested_s, rested_s + FOREVER_S, self.rest_q, 0.0, self.rest_q, 0.0))
            self._legs = legs
            return
        stroke = self.strokes.pop(0)
        self._linger_s = stroke.linger_s
        fall_at = stroke.time_s - stroke.fall_s
        top = -stroke.speed * stroke.fall_s
        top = top / power if stroke.kind == "hit" else top - stroke.short_u
        # a blow that throws the head back is followed at once; a head at rest waits for the last moment
        late = max(now_s, fall_at - rise_s) if abs(speed) < 1.0 else now_s
        if late > now_s:
            legs.append(Leg(now_s, late, place, 0.0, place, 0.0))
        up = min(fall_at, late + rise_s)
        legs.append(Leg(late, up, place, speed, top, 0.0))
        if fall_at > up:
            legs.append(Leg(up, fall_at, top, 0.0, top, 0.0))
        if stroke.kind == "hit":
            legs.append(Leg(fall_at, stroke.time_s, top, 0.0, 0.0, 0.0, power))
        else:
            turn = -stroke.short_u
            legs.append(Leg(fall_at, stroke.time_s, top, 0.0, turn, 0.0))
            if stroke.linger_s > 0.0:
                legs.append(Leg(stroke.time_s, stroke.time_s + stroke.linger_s, turn, 0.0, turn, 0.0))
        self._legs = legs


def turning(
    world: World,
    pivot: tuple[float, float],
    arm: tuple[float, float, float],
    bounce: float,
    strokes: list[Stroke],
    manner: Manner = USUAL,
) -> pymunk.Body:
    """A head on an arm that turns about ``pivot`` (a hammer, a drum stick), level when it strikes.

    Args:
        world: where it lives.
        pivot: (x, y) of the hand, u.
        arm: length and radius of the head (u), and the side it points to (1 right, -1 left).
        bounce: share of its speed that a blow gives back.
        strokes: what it does.
        manner: in which it strikes.
    """
    length, radius, side = arm
    # all the mass sits in the head as far as a blow can tell, yet the hand does not give way
    body = pymunk.Body(FIXED_MASS, length * length)
    body.position = pivot
    body.velocity_func = no_gravity
    add_shape(world, pymunk.Circle(body, radius, (side * length, 0.0)), manner.bounce * bounce)

    def read() -> tuple[float, float]:
        return side * body.angle * length, side * body.angular_velocity * length

    def drive(speed: float) -> None:
        body.angular_velocity = side * speed / length

    body.angle = -side * 12.0 / length
    _enlist(world, body, Striker(read, drive, strokes, -14.0, manner))
    return body


def sliding(
    world: World,
    touch: tuple[float, float],
    axis: tuple[float, float],
    shape: Callable[[pymunk.Body], pymunk.Shape],
    bounce: float,
    strokes: list[Stroke],
    manner: Manner = USUAL,
    turn_per_u: float = 0.0,
) -> pymunk.Body:
    """A head that moves along a line (a finger, a fist): ``touch`` is its origin when it strikes.

    Args:
        world: where it lives.
        touch: (x, y) of the body at q = 0, u.
        axis: unit vector towards the surface.
        shape: makes the part that touches.
        bounce: share of its speed that a blow gives back.
        strokes: what it does.
        manner: in which it strikes.
        turn_per_u: how far (radian) it turns on each u of its way; only for a head that is round.
    """
    way = pymunk.Vec2d(*axis)
    body = pymunk.Body(1.0, float("inf"))
    body.position = pymunk.Vec2d(*touch) - 12.0 * way
    body.velocity_func = no_gravity
    add_shape(world, shape(body), manner.bounce * bounce)

    def read() -> tuple[float, float]:
        return (body.position - touch).dot(way), body.velocity.dot(way)

    def drive(speed: float) -> None:
        body.velocity = way * speed
        if turn_per_u:
            body.angle = turn_per_u * read()[0]

    _enlist(world, body, Striker(read, drive, strokes, -14.0, manner))
    return body


def _enlist(world: World, body: pymunk.Body, striker: Striker) -> None:
    world.controllers.append(striker.control)
    world.on_hit(body, striker.struck)
