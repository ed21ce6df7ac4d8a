"""Bare hands that move along a line: tapping fingers, clapping palms, fists on a bag."""

from __future__ import annotations

import numpy as np
import pymunk

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, disc, mirrored, rod
from pipeline.impacts.physics import Recording, World, add_shape, wall
from pipeline.impacts.rhythm import strokes_for
from pipeline.impacts.scenes.setting import ACTOR_LAYER, Setting, cloth, ground, side, skin
from pipeline.impacts.strikers import sliding
from pipeline.impacts.textures import draw_texture

BAG_MASS = 8.0
BAG_DAMPING_PER_S = 2.5


def tapping(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One to three fingers that tap on a table; some stay down for a while."""
    world = World(clock, 600.0)
    scale, manner = setting.scale, setting.manner
    fingers = int(rng.choice([1, 2, 3], p=[0.4, 0.3, 0.3]))
    top = rng.uniform(84.0, 102.0)
    ground(world, setting, top, draw_texture(rng, (3.0, 7.0)))
    material = "wood" if rng.random() < 0.6 else "plastic"
    wall(world, (0.0, top), (128.0, top), material)
    apart = 24.0 * scale
    first = 64.0 - apart * (fingers - 1) / 2 + rng.uniform(-12.0, 12.0)
    tone, bounce = skin(rng), rng.uniform(0.1, 0.45)
    lean = rng.uniform(-0.35, 0.35)
    planned = strokes_for(rng, clock, fingers, (100.0, 170.0), linger_share=0.2, manner=manner)
    for index, strokes in enumerate(planned):
        radius = rng.uniform(5.5, 7.0) * scale
        touch = (first + apart * index, top - radius)

        def tip(body: pymunk.Body, radius: float = radius) -> pymunk.Shape:
            return pymunk.Circle(body, radius)

        axis = (float(np.sin(lean)), float(np.cos(lean)))
        body = sliding(world, touch, axis, tip, bounce, strokes, manner)
        knuckle = (-np.sin(lean) * 26.0 * scale, -26.0 * scale)
        far = (knuckle[0] + rng.uniform(-20.0, 20.0), knuckle[1] - 70.0)
        finger: Look = (
            rod(knuckle, far, radius * 1.15, cloth(rng)),
            rod((0.0, 0.0), knuckle, radius, tone),
            disc(radius * 0.6, draw_texture(rng, (1.5, 3.0)), (0.0, 1.0), 0.8),
        )
        world.draw(body, finger, ACTOR_LAYER + index)
    return world.run()


def clapping(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """Two hands that clap, or nearly."""
    world = World(clock, 600.0)
    manner = setting.manner
    (strokes,) = strokes_for(rng, clock, 1, (100.0, 170.0), linger_share=0.2, manner=manner)
    x, y = 64.0 + rng.uniform(-16.0, 16.0), rng.uniform(44.0, 84.0)
    height, thick = 15.0 * setting.scale, 4.0 * setting.scale
    tilt, tone, bounce = rng.uniform(-0.35, 0.35), skin(rng), rng.uniform(0.3, 0.6)
    sleeve = cloth(rng)
    for toward in (1, -1):
        axis = (toward * float(np.cos(tilt)), toward * float(np.sin(tilt)))

        def palm(body: pymunk.Body, angle: float = tilt) -> pymunk.Shape:
            up = pymunk.Vec2d(-np.sin(angle), np.cos(angle)) * height
            return pymunk.Segment(body, -up, up, thick)

        touch = (x - axis[0] * thick, y - axis[1] * thick)
        body = sliding(world, touch, axis, palm, bounce, list(strokes), manner)
        body.angle = 0.0
        for shape in body.shapes:
            world.materials[shape] = "palm"
        turned = (-float(np.sin(tilt)) * height, float(np.cos(tilt)) * height)
        hand = (
            rod((-toward * 4.0, 6.0), (-toward * 34.0, 64.0), 6.0 * setting.scale, sleeve),
            rod(turned, (-turned[0], -turned[1]), thick, tone),
            disc(1.9 * thick, tone, (-toward * thick * 0.5, 3.0)),
        )
        world.draw(body, hand, ACTOR_LAYER)
    return world.run()


def boxing(rng: np.random.Generator, clock: Clock, setting: Setting) -> Recording:
    """One or two fists on a hanging bag that gives way and swings back."""
    world = World(clock, 600.0)
    scale, right = setting.scale, side(rng)
    radius = 12.0 * scale
    x = 64.0 + right * rng.uniform(14.0, 26.0)
    low = rng.uniform(78.0, 96.0)
    bag = pymunk.Body(BAG_MASS, BAG_MASS * 70.0**2)
    bag.position = (x, -6.0)
    add_shape(world, pymunk.Segment(bag, (0.0, 36.0), (0.0, low), radius), 1.0, "leather")
    hook = pymunk.PivotJoint(world.space.static_body, bag, (x, -6.0))
    world.space.add(hook)
    spring = pymunk.DampedRotarySpring(
        world.space.static_body,
        bag,
        0.0,
        BAG_MASS * 70.0**2 * 40.0,
        BAG_MASS * 70.0**2 * 2 * BAG_DAMPING_PER_S,
    )
    world.space.add(spring)
    cover = draw_texture(rng, (4.0, 7.0))
    chain = rod((0.0, -40.0), (0.0, 30.0), 1.2, cover)
    world.draw(bag, (chain, rod((0.0, 36.0), (0.0, low), radius, cover)), ACTOR_LAYER)
    fists = 1 if rng.random() < 0.5 else 2
    glove, sleeve, bounce = draw_texture(rng, (2.5, 4.0)), skin(rng), rng.uniform(0.15, 0.35)
    manner = setting.manner
    for index, strokes in enumerate(strokes_for(rng, clock, fists, (130.0, 220.0), manner=manner)):
        size = 8.0 * scale
        y = low - rng.uniform(8.0, 20.0) - 24.0 * scale * index

        def fist(body: pymunk.Body, size: float = size) -> pymunk.Shape:
            return pymunk.Circle(body, size)

        touch = (x - right * (radius + size), y)
        body = sliding(world, touch, (right, 0.0), fist, bounce, strokes, manner)
        arm: Look = (
            rod((-2.0, 0.0), (-80.0, rng.uniform(4.0, 18.0)), 5.0 * scale, sleeve),
            disc(size, glove),
        )
        world.draw(body, arm if right > 0 else mirrored(arm), ACTOR_LAYER + 1 + index)
    return world.run()
