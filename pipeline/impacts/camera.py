"""The hand-held camera: where it looks, how near, and how that trembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.clock import Clock

Track = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """At every step boundary: the point in the middle of the picture (u) and the enlargement.

    Attributes:
        step_times_s: (n,) seconds.
        x, y: (n,) u.
        zoom: (n,) 1 = the whole picture is as wide as its setting.
    """

    step_times_s: Track
    x: Track
    y: Track
    zoom: Track

    def at(self, times_s: Track) -> Track:
        """x, y, zoom at the given times, (n, 3)."""
        return np.stack(
            [np.interp(times_s, self.step_times_s, track) for track in (self.x, self.y, self.zoom)], axis=1
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


def _wander(rng: np.random.Generator, times_s: Track, hertz: tuple[float, float], waves: int) -> Track:
    """A sum of sine waves of random frequency and phase, between -1 and 1."""
    total = np.zeros_like(times_s)
    for _ in range(waves):
        total += np.sin(2 * np.pi * (rng.uniform(*hertz) * times_s + rng.random()))
    return np.asarray(total / waves)
