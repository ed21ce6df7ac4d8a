"""Tools swung about a hand: hammer, drum sticks, knife."""

from __future__ import annotations

import numpy as np

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, box, disc, mirrored, polygon, rod
from pipeline.impacts.physics import Recording, World, wall
from pipeline.impacts.rhythm import strokes_for
from pipeline.impacts.scenes.setting import ACTOR_LAYER, SET_LAYER, Setting, cloth, ground, side, skin
from pipeline.impacts.strikers import turning
from pipeline.impacts.textures import draw_texture, plain


def hammer(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """A hammer on a nail in a bench, now and then swung without striking."""
    world = World(clock, 600.0)
    scale, right = setting.scale, side(rng)
    top = rng.uniform(84.0, 104.0)
    radius, length = 7.0 * scale, rng.uniform(38.0, 50.0)
    x = 64.0 + right * rng.uniform(8.0, 24.0)
    nail = 5.0 * scale
    ground(world, setting, top, draw_texture(rng, (3.0, 7.0)))
    metal = plain(150, 150, 165, int(rng.integers(2**31)))
    world.draw_still(
        (box(-1.4, 0.0, 1.4, nail, metal), box(-3.5, -1, 3.5, 1, metal)), x, top - nail, SET_LAYER
    )
    material = "metal" if rng.random() < 0.6 else "wood"
    wall(world, (x - 12.0, top - nail), (x + 12.0, top - nail), material)
    (strokes,) = strokes_for(rng, clock, 1, (120.0, 220.0), linger_share=0.25, manner=setting.manner)
    pivot = (x - right * length, top - nail - radius)
    bounce = rng.uniform(0.2, 0.45)
    body = turning(world, pivot, (length, radius, right), bounce, strokes, setting.manner)
    head = draw_texture(rng, (2.0, 4.0))
    tool: Look = (
        rod((-12.0, 0.0), (length, 0.0), 2.2 * scale, draw_texture(rng, (2.0, 4.0))),
        box(length - 5.5 * scale, -1.3 * radius, length + 5.5 * scale, radius, head),
        disc(6.5 * scale, skin(rng)),
        rod((-4.0, 2.0), (-50.0, 26.0), 5.5 * scale, cloth(rng)),
    )
    world.draw(body, tool if right > 0 else mirrored(tool), ACTOR_LAYER)
    return world.run()


def drumming(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One to three sticks on one or two drums."""
    world = World(clock, 600.0)
    scale = setting.scale
    sticks = int(rng.choice([1, 2, 3], p=[0.3, 0.55, 0.15]))
    top = rng.uniform(80.0, 98.0)
    ground(world, setting, top + 34.0, draw_texture(rng, (4.0, 8.0)))
    half = rng.uniform(15.0, 20.0)
    places = {1: [64.0], 2: [44.0, 84.0], 3: [44.0, 84.0, 64.0]}[sticks]
    one_drum = sticks > 1 and rng.random() < 0.4
    drums = [(64.0, half + 21.0)] if one_drum else [(x, half) for x in places[:2]]
    shell, hide = draw_texture(rng, (3.0, 6.0)), plain(225, 220, 205, int(rng.integers(2**31)))
    for x, wide in drums:
        world.draw_still(
            (box(-wide, 0.0, wide, 30.0, shell), rod((-wide, 1.5), (wide, 1.5), 2.0, hide)), x, top, SET_LAYER
        )
        wall(world, (x - wide, top), (x + wide, top), "skin")
    bounce = rng.uniform(0.4, 0.7)
    wood, sleeve, hand = draw_texture(rng, (2.0, 4.0)), cloth(rng), skin(rng)
    planned = strokes_for(rng, clock, sticks, (110.0, 200.0), manner=setting.manner)
    for index, strokes in enumerate(planned):
        right = 1 if index == 0 else -1
        if index == 2:
            right = side(rng)
        radius, length = 4.5 * scale, rng.uniform(34.0, 44.0)
        pivot = (places[index] + rng.uniform(-6.0, 6.0) - right * length, top - radius)
        body = turning(world, pivot, (length, radius, right), bounce, strokes, setting.manner)
        stick: Look = (
            rod((-9.0, 0.0), (length, 0.0), 2.4 * scale, wood),
            disc(radius, wood, (length, 0.0)),
            disc(6.0 * scale, hand),
            rod((-3.0, 2.0), (-50.0, 30.0), 5.0 * scale, sleeve),
        )
        world.draw(body, stick if right > 0 else mirrored(stick), ACTOR_LAYER + index)
    return world.run()


def cutting(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """A knife that chops on a board and often stays there for a moment."""
    world = World(clock, 600.0)
    scale, right = setting.scale, side(rng)
    top = rng.uniform(88.0, 104.0)
    ground(world, setting, top + 6.0, draw_texture(rng, (4.0, 8.0)))
    world.draw_still((box(-46.0, 0.0, 46.0, 7.0, draw_texture(rng, (3.0, 6.0))),), 64.0, top, SET_LAYER)
    wall(world, (14.0, top), (114.0, top), "wood")
    (strokes,) = strokes_for(rng, clock, 1, (115.0, 180.0), linger_share=0.35, manner=setting.manner)
    radius, length = 4.0, rng.uniform(30.0, 40.0)
    pivot = (64.0 - right * (length - rng.uniform(4.0, 14.0)), top - radius)
    bounce = rng.uniform(0.05, 0.25)
    body = turning(world, pivot, (length, radius, right), bounce, strokes, setting.manner)
    blade = plain(190, 195, 205, int(rng.integers(2**31)))
    tip = length + 9.0
    knife: Look = (
        polygon(
            [(6.0, -6.0 * scale), (tip - 8, -6.0 * scale), (tip, 0.0), (tip, radius), (6.0, radius)], blade
        ),
        rod((-12.0, -2.0), (8.0, -2.0), 3.2 * scale, draw_texture(rng, (2.0, 4.0))),
        disc(7.0 * scale, skin(rng), (-4.0, -2.0)),
        rod((-6.0, -2.0), (-56.0, -20.0), 6.0 * scale, cloth(rng)),
    )
    world.draw(body, knife if right > 0 else mirrored(knife), ACTOR_LAYER)
    food = disc(8.0 * scale, draw_texture(rng, (2.0, 4.0)), flat=0.7)
    world.draw_still((food,), pivot[0] + right * (tip + 14.0), top - 5.0 * scale, ACTOR_LAYER - 1)
    return world.run()
