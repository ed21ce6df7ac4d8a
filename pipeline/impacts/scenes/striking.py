"""A hand with a tool, or bare, that comes from any direction and strikes whatever lies in its way."""

from __future__ import annotations

from functools import partial

import numpy as np
import pymunk

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, Patch, box, disc, rod
from pipeline.impacts.physics import Recording, World, wall
from pipeline.impacts.rhythm import strokes_for
from pipeline.impacts.scenes.setting import ACTOR_LAYER, SET_LAYER, Setting, cloth, ground, skin
from pipeline.impacts.sound import MATERIALS
from pipeline.impacts.strikers import sliding
from pipeline.impacts.textures import draw_texture

APART_U = 46.0
"""Two hands strike so far from each other."""


def striking(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One or two hands with sticks, blades or nothing on a board, a box or a wall."""
    world = World(clock, 600.0)
    top = rng.uniform(76.0, 104.0)
    hands = 1 if rng.random() < 0.75 else 2
    middles = [64.0 + rng.uniform(-14.0, 14.0) + APART_U * (hand - (hands - 1) / 2) for hand in range(hands)]
    if rng.random() < 0.5:
        ground(world, setting, top, draw_texture(rng, (3.0, 9.0)))
    else:
        ground(world, setting, top + 30.0, draw_texture(rng, (3.0, 9.0)))
        for x in middles:
            half, deep = rng.uniform(12.0, 22.0), rng.uniform(8.0, 30.0)
            world.draw_still((box(-half, 0.0, half, deep, draw_texture(rng)),), x, top, SET_LAYER)
    wall(world, (-1e3, top), (1e3, top), str(rng.choice(sorted(MATERIALS))))
    bounce = rng.uniform(0.05, 0.6)
    planned = strokes_for(rng, clock, hands, (100.0, 200.0), linger_share=0.25, manner=setting.manner)
    for index, (x, strokes) in enumerate(zip(middles, planned, strict=True)):
        lean = rng.uniform(-0.9, 0.9)
        radius = rng.uniform(2.5, 8.0) * setting.scale
        # with the turn that its way down brings, a hand swings as much as it moves
        turn = rng.uniform(-1.0, 1.0) / 40.0 if rng.random() < 0.7 else 0.0
        shape = partial(pymunk.Circle, radius=radius)
        axis = (float(np.sin(lean)), float(np.cos(lean)))
        touch = (x, top - radius)
        body = sliding(world, touch, axis, shape, bounce, strokes, setting.manner, turn)
        world.draw(body, _arm(rng, setting.scale, radius, lean), ACTOR_LAYER + index)
    return world.run()


def _arm(rng: np.random.Generator, scale: float, radius: float, lean: float) -> Look:
    """A head at the origin, the tool it sits on, the hand at its end, the forearm and the upper arm."""
    length = float(rng.uniform(14.0, 60.0)) * scale if rng.random() < 0.7 else radius
    # upwards, away from what is struck, give or take a right angle less a little
    angle = -np.pi / 2 - lean + rng.uniform(-1.2, 1.2)
    wrist = (length * float(np.cos(angle)), min(length * float(np.sin(angle)), -1.0))
    bend = angle + rng.uniform(-0.7, 0.7)
    elbow = _from(wrist, bend, rng.uniform(28.0, 50.0) * scale)
    shoulder = _from(elbow, bend + rng.uniform(-0.8, 0.8), 90.0)
    tool, thick = draw_texture(rng, (2.0, 4.0)), rng.uniform(1.2, 4.0) * scale
    fist, arm = rng.uniform(5.0, 9.0) * scale, rng.uniform(4.0, 8.0) * scale
    sleeve, tone = cloth(rng), skin(rng)
    patches: list[Patch] = [
        rod(elbow, shoulder, 1.4 * arm, sleeve),
        rod(wrist, elbow, arm, tone if rng.random() < 0.5 else sleeve),
        rod((0.0, 0.0), wrist, thick, tool),
        disc(radius, tool if rng.random() < 0.5 else draw_texture(rng, (2.0, 4.0))),
        disc(fist, tone, wrist, float(rng.uniform(0.7, 1.0))),
    ]
    return tuple(patches)


def _from(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
    return start[0] + length * float(np.cos(angle)), start[1] + length * float(np.sin(angle))
