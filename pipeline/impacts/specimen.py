"""A single clip with a known answer, for tests of whatever looks at pictures: a ball bounces, no more."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.camera import draw_camera
from pipeline.impacts.clock import clock_for
from pipeline.impacts.compose import Clip, Wanted, project
from pipeline.impacts.film import draw_film
from pipeline.impacts.finish import Frame
from pipeline.impacts.looks import disc
from pipeline.impacts.physics import Recording, World, ball, wall
from pipeline.impacts.render import render
from pipeline.impacts.scenes.setting import ACTOR_LAYER, Setting, ground
from pipeline.impacts.textures import Texture

FLOOR_U = 108.0


@dataclass(frozen=True, eq=False)
class BounceClip:
    """A ball let fall from rest one frame before frame 0, before a still backdrop, filmed by a still camera.

    Attributes:
        frames: (n, height, width, 3) uint8 RGB; frame t is shown at t / fps.
        fps: frames per second.
        contact_times_s: (k,) exact times at which the ball meets the floor.
        contact_frames: the frames nearest to them.
        contact_positions_px: (k, 2) x, y of the contacts in the picture.
    """

    frames: NDArray[np.uint8]
    fps: Fraction
    contact_times_s: NDArray[np.float64]
    contact_frames: tuple[int, ...]
    contact_positions_px: NDArray[np.float64]


def bounce_clip(
    size: tuple[int, int] = (128, 128),
    fps: Fraction = Fraction(30),
    duration_s: float = 2.0,
    fall_u: float = 60.0,
    gravity: float = 500.0,
    bounce: float = 0.85,
    radius_u: float = 12.0,
) -> BounceClip:
    """Render a ball that falls ``fall_u`` to the floor and bounces; the same pixels every time.

    Lengths are in u, 1/128 of the shorter side of the picture. The first contact comes
    ``sqrt(2 fall_u / gravity)`` after the release at ``-1 / fps``, and each flight is ``bounce`` times as
    long as the one before, the first one ``2 bounce sqrt(2 fall_u / gravity)``.

    Args:
        size: (height, width) of the picture, pixels.
        fps: frames per second.
        duration_s: length, seconds.
        fall_u: how far the ball falls before the first contact.
        gravity: u/s^2.
        bounce: share of its speed that the floor gives back.
        radius_u: of the ball.
    """
    wanted = Wanted("train", 0, duration_s, size, seed=0, difficulty=0.0, silent=True)
    clock = clock_for(duration_s, fps)
    recording = _drop(wanted, World(clock, gravity), fall_u, bounce, radius_u)
    contacts = tuple(
        contact for contact in recording.contacts if clock.frame_of(contact.time_s) < clock.n_frames
    )
    rng = np.random.default_rng(0)
    camera = draw_camera(rng, clock, 0.0)
    positions = project(contacts, camera, size)
    clip = Clip(wanted, clock, recording.parts, contacts, positions, camera, draw_film(rng, 0.0), 0)
    frames: list[Frame] = list(render(clip))
    return BounceClip(
        frames=np.stack(frames),
        fps=fps,
        contact_times_s=np.array([contact.time_s for contact in contacts]),
        contact_frames=clip.hits,
        contact_positions_px=np.array(positions).reshape(-1, 2),
    )


def _drop(wanted: Wanted, world: World, fall_u: float, bounce: float, radius_u: float) -> Recording:
    height, width = wanted.size
    setting = Setting(width / wanted.px_per_u, height / wanted.px_per_u, 1.0)
    ground(world, setting, FLOOR_U, Texture("checker", (70, 60, 50), (190, 180, 160), 5.0, 1))
    wall(world, (-1e4, FLOOR_U), (1e4, FLOOR_U))
    body = ball(world, (64.0, FLOOR_U - radius_u - fall_u), radius_u, bounce, "rubber")
    world.draw(body, (disc(radius_u, Texture("noise", (130, 20, 20), (255, 220, 90), 4.0, 2)),), ACTOR_LAYER)
    return world.run()
