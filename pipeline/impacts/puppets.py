"""Bodies led by hand: they follow smooth moves through given places and speeds, whatever they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pymunk

from pipeline.impacts.physics import World, add_shape
from pipeline.impacts.strikers import Leg

Vector = tuple[float, float]
STILL: Vector = (0.0, 0.0)


@dataclass(frozen=True)
class Move:
    """Be at ``to`` (u) with ``velocity`` (u/s) at ``end_s``, having set out at ``start_s``."""

    start_s: float
    end_s: float
    to: Vector
    velocity: Vector = STILL


@dataclass
class Puppet:
    """Plays moves one after the other on a kinematic body; between them it rests."""

    body: pymunk.Body
    moves: list[Move] = field(default_factory=list)
    _legs: tuple[Leg, Leg] | None = None

    def control(self, time_s: float, step_s: float) -> None:
        """Set the body's speed so that it stands on its path at the end of the step."""
        while self.moves and time_s >= self.moves[0].start_s:
            self._legs = self._towards(self.moves.pop(0), time_s)
        if self._legs is None:
            self.body.velocity = STILL
            return
        place = self.body.position
        aims = [leg.at(time_s + step_s)[0] for leg in self._legs]
        self.body.velocity = ((aims[0] - place.x) / step_s, (aims[1] - place.y) / step_s)

    def _towards(self, move: Move, now_s: float) -> tuple[Leg, Leg]:
        place, velocity = self.body.position, self.body.velocity
        end_s = max(move.end_s, now_s + 0.05)
        return (
            Leg(now_s, end_s, place.x, velocity.x, move.to[0], move.velocity[0]),
            Leg(now_s, end_s, place.y, velocity.y, move.to[1], move.velocity[1]),
        )


def puppet(
    world: World,
    at: Vector,
    shape: Callable[[pymunk.Body], pymunk.Shape],
    bounce: float,
    material: str | None = None,
) -> Puppet:
    """A kinematic body at ``at`` (u) with one shape, led by the moves it is given."""
    body = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
    body.position = at
    add_shape(world, shape(body), bounce, material)
    led = Puppet(body)
    world.controllers.append(led.control)
    return led


def aimed(start: Vector, goal: Vector, flight_s: float, gravity: float) -> Vector:
    """The velocity (u/s) that takes a free body from ``start`` to ``goal`` in ``flight_s``."""
    return (
        (goal[0] - start[0]) / flight_s,
        (goal[1] - start[1]) / flight_s - gravity * flight_s / 2,
    )
