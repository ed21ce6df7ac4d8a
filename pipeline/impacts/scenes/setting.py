"""What every scene is told about the picture it plays in, and the furniture scenes share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.impacts.looks import Look, Patch, box
from pipeline.impacts.physics import World
from pipeline.impacts.rhythm import USUAL, Manner
from pipeline.impacts.textures import Texture, draw_texture, plain

SET_LAYER = 20
ACTOR_LAYER = 30


@dataclass(frozen=True)
class Setting:
    """The world as the picture shows it at rest.

    Scenes play in the square (0, 0)-(128, 128); a picture that is wider or higher shows more around it.

    Attributes:
        width_u, height_u: size of the picture; the shorter one is 128.
        scale: size of the actors, 1 = usual.
        manner: how actors strike.
        margin_u: furniture reaches so far beyond the picture that no movement of the camera uncovers its end.
    """

    width_u: float
    height_u: float
    scale: float
    manner: Manner = USUAL
    margin_u: float = 40.0

    @property
    def left_u(self) -> float:
        """Left edge of the picture."""
        return 64.0 - self.width_u / 2

    @property
    def right_u(self) -> float:
        """Right edge of the picture."""
        return 64.0 + self.width_u / 2

    @property
    def bottom_u(self) -> float:
        """Lower edge of the picture."""
        return 64.0 + self.height_u / 2


def ground(world: World, setting: Setting, top: float, texture: Texture) -> None:
    """Draw a floor or table as wide as the picture, from ``top`` (u) down; it touches nothing itself."""
    half = setting.width_u / 2 + setting.margin_u
    slab = box(-half, 0.0, half, setting.bottom_u + setting.margin_u - top, texture)
    edge = box(-half, 0.0, half, 1.2, plain(*texture.light))
    world.draw_still((slab, edge), 64.0, top, SET_LAYER)


def side(rng: np.random.Generator) -> int:
    """Right (1) or left (-1), by chance."""
    return 1 if rng.random() < 0.5 else -1


def skin(rng: np.random.Generator) -> Texture:
    """The colour of a hand, with some grain."""
    tone = rng.uniform(0.45, 1.0)
    return plain(235 * tone, 185 * tone, 155 * tone, int(rng.integers(2**31)))


def cloth(rng: np.random.Generator) -> Texture:
    """A sleeve."""
    return draw_texture(rng, (2.0, 4.0))


def look(*patches: Patch) -> Look:
    """Patches from the bottom up."""
    return patches
