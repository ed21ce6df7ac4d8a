"""The hand-held camera: where it looks, how near, and how that trembles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.clock import Clock
from pipeline.impacts.physics import Contact
from pipeline.impacts.variety import Variety

Track = NDArray[np.float64]

AROUND_U = 22.0
"""So much around every contact is to be seen: what strikes, and what is struck."""


@dataclass(frozen=True, eq=False)
class Camera:
    """At every step boundary: the point in the middle of the picture (u) and the enlargement.

    Attributes:
        step_times_s: (n,) seconds.
        x, y: (n,) u.
        zoom: (n,) 1 = the whole picture is as wide as its setting.
        near: enlargement that lasts the whole clip; 1 = the shorter side of the picture is 128 u.
        roll: angle (radian) by which the picture is turned.
        aside: how far (u) the scene's middle lies from the middle of the picture, before it is turned.
    """

    step_times_s: Track
    x: Track
    y: Track
    zoom: Track
    near: float = 1.0
    roll: float = 0.0
    aside: tuple[float, float] = (0.0, 0.0)

    def at(self, times_s: Track) -> Track:
        """x, y, zoom at the given times, (n, 3); without ``near``."""
        return np.stack(
            [np.interp(times_s, self.step_times_s, track) for track in (self.x, self.y, self.zoom)], axis=1
        )

    def place(self, x: float, y: float, view: Track) -> tuple[float, float]:
        """A point of the scene (u) as ``view``, a row of ``at``, shows it: from the picture's middle, u."""
        across, down = x - view[0], y - view[1]
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        return (
            float(cosine * across - sine * down + self.aside[0]),
            float(sine * across + cosine * down + self.aside[1]),
        )


def draw_camera(rng: np.random.Generator, clock: Clock, difficulty: float) -> Camera:
    """A camera that pans, zooms and shakes; at difficulty 0 it stands still."""
    times = clock.times_s()
    pan = difficulty * rng.uniform(0.0, 12.0) * (rng.random() < 0.6)
    tremble = difficulty * rng.uniform(0.0, 1.3) * (rng.random() < 0.7)
    x = 64.0 + pan * _wander(rng, times, (0.1, 0.45), 2) + tremble * _wander(rng, times, (1.0, 5.0), 4)
    y = 64.0 + 0.4 * pan * _wander(rng, times, (0.1, 0.45), 2) + tremble * _wander(rng, times, (1.0, 5.0), 4)
    zoom = 1.0 + difficulty * rng.uniform(0.0, 0.14) * _wander(rng, times, (0.1, 0.5), 2)
    if rng.random() < difficulty:
        for _ in range(1 + int(rng.poisson(clock.duration_s / 3))):
            # a knock against the camera: away and back within a quarter of a second, without a sound
            when, width = rng.uniform(0.0, clock.duration_s), rng.uniform(0.05, 0.11)
            bump = np.exp(-0.5 * ((times - when) / width) ** 2)
            x = x + difficulty * rng.uniform(-4.0, 4.0) * bump
            y = y + difficulty * rng.uniform(-4.0, 4.0) * bump
    return Camera(times, x, y, zoom)


def framed(
    rng: np.random.Generator,
    camera: Camera,
    contacts: tuple[Contact, ...],
    variety: Variety,
    size_u: tuple[float, float],
) -> Camera:
    """The camera turned, nearer or farther, and so placed that every contact is well inside the picture.

    Args:
        rng: source of chance: where, within what that leaves free.
        camera: its movement.
        contacts: what must be seen.
        variety: ``near`` (less is taken where the contacts lie too far apart) and ``roll``.
        size_u: (width, height) of the picture at that enlargement.
    """
    turned = replace(camera, near=variety.near, roll=variety.roll)
    if not contacts:
        return turned
    views = camera.at(np.array([contact.time_s for contact in contacts]))
    seen = np.array([turned.place(c.x, c.y, view) for c, view in zip(contacts, views, strict=True)])
    room = np.array(size_u) / views[:, 2].max() - 2 * AROUND_U
    smaller = max(1.0, float(((np.ptp(seen, axis=0) + 2 * AROUND_U + 1.0) / (room + 2 * AROUND_U)).max()))
    half = (room / 2 + AROUND_U) * smaller - AROUND_U
    least, most = -half - seen.min(axis=0), half - seen.max(axis=0)
    # the mean of two: what is filmed is more often in the middle than at an edge
    across, down = least + (most - least) * rng.random((2, 2)).mean(axis=0)
    return replace(turned, near=variety.near / smaller, aside=(float(across), float(down)))


def _wander(rng: np.random.Generator, times_s: Track, hertz: tuple[float, float], waves: int) -> Track:
    """A sum of sine waves of random frequency and phase, between -1 and 1."""
    total = np.zeros_like(times_s)
    for _ in range(waves):
        total += np.sin(2 * np.pi * (rng.uniform(*hertz) * times_s + rng.random()))
    return np.asarray(total / waves)
