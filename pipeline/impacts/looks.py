"""What things look like: textured outlines in u around a body's own origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.textures import Texture


@dataclass(frozen=True, eq=False)
class Patch:
    """One textured polygon, (n, 2) u."""

    outline: NDArray[np.float64]
    texture: Texture


Look = tuple[Patch, ...]
"""Patches, the first at the bottom."""


def disc(radius: float, texture: Texture, at: tuple[float, float] = (0.0, 0.0), flat: float = 1.0) -> Patch:
    """A disc, or with ``flat`` < 1 an ellipse that much lower than wide."""
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    return Patch(np.stack([at[0] + radius * np.cos(turn), at[1] + flat * radius * np.sin(turn)], 1), texture)


def box(left: float, top: float, right: float, bottom: float, texture: Texture) -> Patch:
    """An upright rectangle."""
    return Patch(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), texture)


def polygon(points: list[tuple[float, float]], texture: Texture) -> Patch:
    """Any simple polygon."""
    return Patch(np.array(points, dtype=float), texture)


def rod(start: tuple[float, float], end: tuple[float, float], radius: float, texture: Texture) -> Patch:
    """A bar with round ends."""
    heading = np.arctan2(end[1] - start[1], end[0] - start[0])
    half = np.linspace(-np.pi / 2, np.pi / 2, 9)
    cap = np.stack([np.cos(heading + half), np.sin(heading + half)], 1)
    return Patch(np.concatenate([np.array(end) + radius * cap, np.array(start) - radius * cap]), texture)


def mirrored(look: Look) -> Look:
    """The look with left and right swapped."""
    return tuple(Patch(patch.outline * np.array([-1.0, 1.0]), patch.texture) for patch in look)


def bounds(look: Look) -> tuple[float, float, float, float]:
    """Left, top, right, bottom (u)."""
    points = np.concatenate([patch.outline for patch in look])
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
