"""A 2-D world on pymunk that writes down where everything was and when things touched.

Units: lengths in ``u``, 1/128 of the shorter side of the picture; x to the right, y **down**; masses near 1,
so that an impulse reads like a change of speed in u/s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymunk
from numpy.typing import NDArray

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look

AUDIBLE_IMPULSE = 80.0
"""A contact with a weaker blow than this makes neither a sound nor a label."""
QUIET_SPEED = 42.0
"""Things that meet more slowly than this (u/s) do not spring back: no chatter when a ball comes to rest."""
FIXED_MASS = 1e9
"""Mass of what may turn but not move: a blow then changes its spin only."""


@dataclass(frozen=True)
class Contact:
    """Two things touched hard enough to be heard."""

    time_s: float
    x: float
    y: float
    impulse: float
    material: str


@dataclass(frozen=True, eq=False)
class Part:
    """Something drawn.

    Attributes:
        look: its shape and texture.
        poses: (n, 3) x, y (u) and angle (radian) at consecutive step boundaries; one row = it never moves.
        layer: higher is nearer to the eye.
        first_step: step of the first pose; before it and after the last the part is not drawn.
    """

    look: Look
    poses: NDArray[np.float64]
    layer: int
    first_step: int = 0


@dataclass(frozen=True)
class Recording:
    """What a world did: parts to draw and audible contacts, by time."""

    parts: tuple[Part, ...]
    contacts: tuple[Contact, ...]


Controller = Callable[[float, float], None]
"""Called before every step with the time and the length of the step (seconds)."""


@dataclass
class _Touch:
    """A contact whose blow the solver has not told yet."""

    time_s: float
    x: float
    y: float
    material: str
    bodies: tuple[pymunk.Body, pymunk.Body]


@dataclass
class World:
    """A pymunk space with a clock; ``run`` plays it and returns the recording.

    Attributes:
        clock: the clip's clock.
        gravity: u/s^2, downwards.
        controllers: move what is not left to gravity alone.
        materials: what the shapes that give the sound are made of (one of two that touch).
    """

    clock: Clock
    gravity: float
    controllers: list[Controller] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.space = pymunk.Space()
        self.space.gravity = (0.0, self.gravity)
        self.space.on_collision(None, None, begin=self._begin, post_solve=self._post_solve)
        self.materials: dict[pymunk.Shape, str] = {}
        self._time_s = 0.0
        self._touches: dict[tuple[int, int], _Touch] = {}
        self._struck: list[pymunk.Body] = []
        self._contacts: list[Contact] = []
        self._listeners: dict[pymunk.Body, Callable[[], None]] = {}
        self._moving: list[tuple[pymunk.Body, Look, int, list[tuple[float, float, float]]]] = []
        self._still: list[Part] = []

    def draw_still(self, look: Look, x: float, y: float, layer: int, angle: float = 0.0) -> None:
        """Show something that never moves and touches nothing."""
        self._still.append(Part(look, np.array([[x, y, angle]]), layer))

    def draw(self, body: pymunk.Body, look: Look, layer: int) -> None:
        """Show ``body`` from now on with ``look``."""
        self._moving.append((body, look, layer, []))

    def on_hit(self, body: pymunk.Body, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every step in which something touched ``body`` audibly."""
        self._listeners[body] = listener

    @property
    def now_s(self) -> float:
        """Time at the end of the step just played, seconds."""
        return self._time_s + self.clock.step_s

    def run(
        self, first_step: int = 0, last_step: int | None = None, until: Callable[[], bool] | None = None
    ) -> Recording:
        """Play the steps ``first_step .. last_step`` (default: the whole clip), or ``until`` says stop."""
        end = self.clock.n_steps if last_step is None else min(last_step, self.clock.n_steps)
        self._note_poses()
        for step in range(first_step, end):
            self._time_s = self.clock.time_s(step)
            for control in self.controllers:
                control(self._time_s, self.clock.step_s)
            self.space.step(self.clock.step_s)
            self._note_poses()
            while self._struck:
                listener = self._listeners.get(self._struck.pop(0))
                if listener is not None:
                    listener()
            if until is not None and until():
                break
        moving = [Part(look, np.array(poses), layer, first_step) for _, look, layer, poses in self._moving]
        return Recording(
            tuple(self._still + moving), tuple(sorted(self._contacts, key=lambda contact: contact.time_s))
        )

    def _note_poses(self) -> None:
        for body, _, _, poses in self._moving:
            x, y = body.position
            poses.append((x, y, body.angle))

    def _begin(self, arbiter: pymunk.Arbiter, _space: pymunk.Space, _data: Any) -> None:
        """Work out when, within the step, the two shapes met: depth of overlap over closing speed.

        The engine moves bodies first and looks for overlaps then, so the bodies stand at the end of the
        step and still have the speed they came with.
        """
        one, two = arbiter.shapes
        first, second = arbiter.bodies
        points = arbiter.contact_point_set
        deepest = min(points.points, key=lambda point: point.distance)
        where = (deepest.point_a + deepest.point_b) / 2
        closing = -(second.velocity_at_world_point(where) - first.velocity_at_world_point(where)).dot(
            points.normal
        )
        step_s = self.clock.step_s
        late_s = min(max(-deepest.distance, 0.0) / closing, step_s) if closing > 0 else 0.0
        if closing < QUIET_SPEED:
            arbiter.restitution = 0.0
        self._touches[_pair(one, two)] = _Touch(
            self._time_s + step_s - late_s,
            where.x,
            where.y,
            self.materials.get(one) or self.materials.get(two, "wood"),
            (first, second),
        )

    def _post_solve(self, arbiter: pymunk.Arbiter, _space: pymunk.Space, _data: Any) -> None:
        touch = self._touches.pop(_pair(*arbiter.shapes), None)
        if touch is None:
            return
        impulse = arbiter.total_impulse.length
        if impulse >= AUDIBLE_IMPULSE:
            self._contacts.append(Contact(touch.time_s, touch.x, touch.y, impulse, touch.material))
            self._struck.extend(touch.bodies)


def _pair(one: pymunk.Shape, two: pymunk.Shape) -> tuple[int, int]:
    first, second = id(one), id(two)
    return (first, second) if first < second else (second, first)


def no_gravity(_body: pymunk.Body, _gravity: Any, _damping: float, _dt: float) -> None:
    """Velocity function of a body whose speed only controllers and blows change."""


def ball(
    world: World, at: tuple[float, float], radius: float, bounce: float, material: str | None = None
) -> pymunk.Body:
    """A free ball (u) of mass 1; ``bounce`` is the share of its speed that a blow gives back."""
    body = pymunk.Body(1.0, pymunk.moment_for_circle(1.0, 0.0, radius))
    body.position = at
    add_shape(world, pymunk.Circle(body, radius), bounce, material)
    return body


def wall(
    world: World, start: tuple[float, float], end: tuple[float, float], material: str | None = None
) -> None:
    """A fixed thin wall, floor or table top between two points (u)."""
    add_shape(world, pymunk.Segment(world.space.static_body, start, end, 0.0), 1.0, material)


def add_shape(world: World, shape: pymunk.Shape, bounce: float, material: str | None = None) -> None:
    """Give the body of ``shape`` (and the body itself, when new) to the world."""
    shape.elasticity = bounce
    shape.friction = 0.2
    if material is not None:
        world.materials[shape] = material
    body = shape.body
    if body is not None and body is not world.space.static_body and body.space is None:
        world.space.add(body)
    world.space.add(shape)
