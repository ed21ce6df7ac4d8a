"""Balls thrown into a room: floor and wall turn them round."""

from __future__ import annotations

import numpy as np

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, box, disc
from pipeline.impacts.physics import Part, Recording, World, ball, wall
from pipeline.impacts.scenes.setting import (
    ACTOR_LAYER,
    SET_LAYER,
    Setting,
    ground,
    side,
)
from pipeline.impacts.selection import Accepted
from pipeline.impacts.textures import draw_texture

WALL_U = 50.0
"""A wall stands so far from the middle."""
TRIES = 14
"""How often another throw is drawn when a ball would hit too near another hit."""
STAY_S = 4.0
"""A ball that has not left by then is rolled away."""


def bouncing(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One to three balls thrown into the picture that bounce on the floor, sometimes off a wall."""
    floor = rng.uniform(92.0, 112.0)
    gravity = rng.uniform(320.0, 680.0)
    barrier = side(rng) if rng.random() < 0.35 else 0
    room = World(clock, 0.0)
    ground(room, setting, floor, draw_texture(rng, (3.0, 8.0)))
    if barrier:
        face = 64.0 + barrier * WALL_U
        brick = draw_texture(rng, (4.0, 8.0))
        far = barrier * 60.0
        room.draw_still((box(min(far, 0.0), -160.0, max(far, 0.0), 0.0, brick),), face, floor, SET_LAYER)
    material = str(rng.choice(["rubber", "leather", "plastic"]))
    accepted = Accepted(clock)
    parts: list[Part] = list(room.run(last_step=0).parts)
    for slot in range(int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))):
        looks = (disc(1.0, draw_texture(rng, (0.35, 0.7))),)
        step = 0
        while step < clock.n_steps - clock.steps_per_frame * 6:
            for _ in range(TRIES):
                thrown = _throw(rng, clock, setting, looks, (floor, gravity, barrier), step, material)
                if accepted.take(thrown.contacts):
                    parts.extend(thrown.parts)
                    step = thrown.parts[0].first_step + len(thrown.parts[0].poses)
                    break
            step += int(rng.uniform(0.1, 0.9) / clock.step_s)
            if slot and rng.random() < 0.5:
                break
    return Recording(tuple(parts), accepted.contacts)


def _throw(
    rng: np.random.Generator,
    clock: Clock,
    setting: Setting,
    unit_look: Look,
    room: tuple[float, float, int],
    first_step: int,
    material: str,
) -> Recording:
    """One ball from its entry until it has left the picture, in a world of its own."""
    floor, gravity, barrier = room
    world = World(clock, gravity)
    radius = rng.uniform(6.5, 12.0) * setting.scale
    if first_step == 0 and rng.random() < 0.7:
        at = (rng.uniform(34.0, 94.0), rng.uniform(18.0, 60.0))
        velocity = (rng.uniform(-30.0, 30.0), rng.uniform(-90.0, 60.0))
    else:
        coming = -barrier if barrier else side(rng)
        edge = setting.left_u - radius if coming < 0 else setting.right_u + radius
        at = (edge, rng.uniform(20.0, 56.0))
        velocity = (-coming * rng.uniform(35.0, 75.0), rng.uniform(-110.0, 30.0))
    body = ball(world, at, radius, rng.uniform(0.72, 0.92), material)
    body.velocity = velocity
    body.angular_velocity = rng.uniform(-3.0, 3.0)
    wall(world, (-1e4, floor), (1e4, floor))
    if barrier:
        face = 64.0 + barrier * WALL_U
        wall(world, (face, -1e4), (face, floor + 50.0))
    leave = -barrier if barrier else (1 if velocity[0] > 0 else -1)
    start_s = clock.time_s(first_step)

    def roll_away(time_s: float, _step_s: float) -> None:
        if time_s > start_s + STAY_S:
            body.force = (leave * 60.0, 0.0)

    world.controllers.append(roll_away)
    grown = tuple(type(patch)(patch.outline * radius, patch.texture) for patch in unit_look)
    world.draw(body, grown, ACTOR_LAYER)

    def gone() -> bool:
        x = body.position.x
        return x < setting.left_u - 2 * radius - 12.0 or x > setting.right_u + 2 * radius + 12.0

    return world.run(first_step, until=gone)
