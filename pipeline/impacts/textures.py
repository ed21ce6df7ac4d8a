"""Procedural textures: pictures with enough grain for optical flow to hold on to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Pattern = Literal["noise", "checker", "stripes", "dots", "clouds"]
PATTERNS: tuple[Pattern, ...] = ("noise", "checker", "stripes", "dots")
Colour = tuple[float, float, float]
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Texture:
    """What a surface looks like.

    Attributes:
        pattern: its kind.
        dark, light: the two colours it runs between (RGB, 0-255).
        grain_u: width of a stripe, a square, a blob (u).
        seed: of its random part.
    """

    pattern: Pattern
    dark: Colour
    light: Colour
    grain_u: float
    seed: int


def draw_texture(
    rng: np.random.Generator, grain_u: tuple[float, float] = (2.5, 6.0), contrast: float = 1.0
) -> Texture:
    """A random texture; ``contrast`` 0..1 scales how far its two colours lie apart."""
    base = rng.uniform(40.0, 215.0, 3)
    towards = rng.uniform(0.0, 255.0, 3)
    # two near colours would leave nothing to follow: push brightness apart to the farther end
    away = 255.0 if base.mean() < 128 else 0.0
    other = base + contrast * 0.75 * (0.5 * (towards - base) + 0.5 * (away - base))
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    grain = float(rng.uniform(*grain_u))
    return Texture(pattern, _colour(base), _colour(other), grain, int(rng.integers(2**31)))


def plain(red: float, green: float, blue: float, seed: int = 0) -> Texture:
    """A nearly even colour with a fine grain."""
    colour = np.array([red, green, blue], dtype=float)
    return Texture("noise", _colour(colour * 0.78), _colour(np.minimum(colour * 1.15, 255)), 2.0, seed)


def paint(texture: Texture, height: int, width: int, px_per_u: float) -> Image:
    """The texture as an image, (height, width, 3) float32, 0-255."""
    rng = np.random.default_rng(texture.seed)
    grain_px = max(texture.grain_u * px_per_u, 1.0)
    share = _share(texture.pattern, rng, height, width, grain_px)
    # a broad unevenness tells two neighbouring squares apart
    share = np.clip(share * 0.75 + 0.35 * _blobs(rng, height, width, 3.5 * grain_px) - 0.05, 0.0, 1.0)
    dark, light = np.array(texture.dark, np.float32), np.array(texture.light, np.float32)
    return np.asarray(dark + share[..., None] * (light - dark), dtype=np.float32)


def _share(
    pattern: Pattern, rng: np.random.Generator, height: int, width: int, grain_px: float
) -> NDArray[np.float32]:
    """How much of the light colour there is, (height, width), 0..1."""
    if pattern == "noise":
        fine = _blobs(rng, height, width, grain_px)
        return np.asarray(np.clip((fine - 0.5) * 1.6 + 0.5, 0, 1), dtype=np.float32)
    if pattern == "clouds":
        return _clouds(rng, height, width, grain_px)
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(grain_px)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    if pattern == "stripes":
        wave = np.sin(np.pi * along)
    elif pattern == "checker":
        wave = np.sin(np.pi * along) * np.sin(np.pi * across) * 1.6
    else:
        wave = np.cos(np.pi * along) + np.cos(np.pi * across) - 0.6
    return np.asarray(1.0 / (1.0 + np.exp(-4.0 * wave)), dtype=np.float32)


def _clouds(rng: np.random.Generator, height: int, width: int, grain_px: float) -> NDArray[np.float32]:
    """Light and dark of all sizes, the larger the stronger, as most surfaces have it: (height, width)."""
    total, weights, size = np.zeros((height, width), np.float32), 0.0, 8.0 * grain_px
    while size >= max(0.5 * grain_px, 1.0):
        weight = size / grain_px
        total += np.float32(weight) * _blobs(rng, height, width, size)
        weights, size = weights + weight, size / 2
    return np.asarray(np.clip((total / max(weights, 1e-6) - 0.5) * 1.8 + 0.5, 0, 1), dtype=np.float32)


def _blobs(rng: np.random.Generator, height: int, width: int, grain_px: float) -> NDArray[np.float32]:
    """Smooth random light and dark of the given size, (height, width), 0..1."""
    rows = max(2, round(height / grain_px) + 2)
    columns = max(2, round(width / grain_px) + 2)
    coarse = rng.random((rows, columns), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = (float(value) for value in np.clip(values, 0, 255))
    return red, green, blue
