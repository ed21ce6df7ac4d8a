"""How a clip is filmed: backdrop, light, shutter, noise and compression, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.impacts.textures import Texture, draw_texture


@dataclass(frozen=True)
class Film:
    """How the picture is taken.

    Attributes:
        backdrop: texture behind everything.
        backdrop_drift: how far (u) it moves to and fro across and down, and how often (Hz).
        light: depth and frequency (Hz) of the changing brightness.
        shadow: depth of the drifting shade, 0..1.
        shutter: share of the time between two frames that the shutter is open.
        noise: standard deviation of the sensor noise, grey levels.
        crf: libx264's compression strength.
        seed: of the random parts of all that.
        blur_px: standard deviation of the lens's blur, pixels.
        subframes: moments averaged into a frame when the shutter is open all the time; fewer when it is open
            shorter.
    """

    backdrop: Texture
    backdrop_drift: tuple[float, float, float]
    light: tuple[float, float]
    shadow: float
    shutter: float
    noise: float
    crf: int
    seed: int
    blur_px: float = 0.0
    subframes: int = 4


def draw_film(rng: np.random.Generator, difficulty: float) -> Film:
    """A way of filming; at difficulty 0 even light, a still backdrop and no noise."""
    drifts = difficulty * rng.uniform(0.0, 24.0) * (rng.random() < 0.5)
    return Film(
        backdrop=draw_texture(rng, (4.0, 12.0), contrast=rng.uniform(0.35, 0.8)),
        backdrop_drift=(drifts, rng.uniform(-0.5, 0.5) * drifts, rng.uniform(0.15, 0.5)),
        light=(0.3 * difficulty * rng.uniform(0.0, 1.0), rng.uniform(0.1, 1.2)),
        shadow=0.5 * difficulty * rng.uniform(0.0, 1.0),
        shutter=float(rng.uniform(0.1, 0.25 + 0.7 * difficulty)),
        noise=6.0 * difficulty * rng.uniform(0.0, 1.0),
        crf=int(rng.integers(18, 23 + round(12 * difficulty))),
        seed=int(rng.integers(2**31)),
    )
