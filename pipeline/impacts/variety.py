"""What a network must have seen that is to read real video: other rates, framings, manners, surfaces.

Nothing here touches physics or labels: a varied clip's contacts are as exact as any other's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from pipeline.impacts.clock import FRAME_RATES
from pipeline.impacts.film import Film
from pipeline.impacts.looks import Look, Patch
from pipeline.impacts.rhythm import USUAL, Manner
from pipeline.impacts.textures import Texture

WIDE_FRAME_RATES: tuple[Fraction, ...] = (
    Fraction(12),
    Fraction(15),
    Fraction(20),
    *FRAME_RATES,
    Fraction(50),
    Fraction(60000, 1001),
)
SUBFRAMES = 10
"""Fast things would fall apart into a few copies of themselves."""


@dataclass(frozen=True)
class Variety:
    """How one clip differs from the usual ones.

    Attributes:
        fps: its frame rate; None = one of the usual ones.
        near: enlargement.
        roll: turn of the picture, radian.
        manner: how its actors strike.
        quiet: nothing is struck in it.
        calm: share of its distractors, of its camera's movement and of its noise that is left.
        dullness: how even its surfaces are, 0..1.
    """

    fps: Fraction | None = None
    near: float = 1.0
    roll: float = 0.0
    manner: Manner = USUAL
    quiet: bool = False
    calm: float = 1.0
    dullness: float = 0.0


AS_USUAL = Variety()


def draw_variety(rng: np.random.Generator, amount: float) -> Variety:
    """A variety of strength ``amount`` (0..1); without any, nothing is drawn."""
    if amount == 0.0:
        return AS_USUAL
    quiet = rng.random() < 0.1 * amount
    turned = rng.uniform(-np.pi, np.pi) if rng.random() < 0.4 else rng.normal(0.0, 0.25)
    return Variety(
        fps=WIDE_FRAME_RATES[int(rng.integers(len(WIDE_FRAME_RATES)))],
        near=float(np.exp(amount * rng.uniform(np.log(0.4), np.log(2.0)))),
        roll=float(amount * turned),
        manner=_draw_manner(rng, amount, quiet),
        quiet=quiet,
        calm=float(1.0 - amount * rng.random()),
        dullness=float(amount * rng.random()),
    )


def _draw_manner(rng: np.random.Generator, amount: float, quiet: bool) -> Manner:
    quickness = float(np.exp(amount * rng.uniform(np.log(0.9), np.log(3.5))))
    # quicker hands also take less time, or they would come from outside the picture
    shorter = quickness**-0.7
    return Manner(
        fall_s=(0.15 * shorter, 0.3 * shorter),
        quickness=quickness,
        fall_power=float(2.2 + amount * rng.uniform(-0.9, 0.8)),
        rise_s=float(0.45 * np.exp(amount * rng.uniform(-1.1, 0.5))),
        bounce=float(1.0 - amount * rng.uniform(0.0, 0.95)),
        linger_share=float(amount * rng.uniform(0.0, 1.0)),
        linger_s=(0.1, float(0.2 + 0.5 * rng.random())),
        only_pretends=quiet,
    )


def repainted(rng: np.random.Generator, look: Look, dullness: float) -> Look:
    """The look with evener, coarser surfaces: real walls, boards and sleeves have hardly any pattern."""
    return tuple(Patch(patch.outline, duller(rng, patch.texture, dullness)) for patch in look)


def duller(rng: np.random.Generator, texture: Texture, dullness: float) -> Texture:
    """A texture with less contrast, a coarser grain and more often the pattern of clouds."""
    dark, light = np.array(texture.dark), np.array(texture.light)
    middle, kept = (dark + light) / 2, 1.0 - dullness * float(rng.uniform(0.3, 1.0))
    shift = float(rng.uniform(-40.0, 40.0))
    dark, light = (np.clip(middle + shift + kept * (side - middle), 0, 255) for side in (dark, light))
    return replace(
        texture,
        pattern="clouds" if rng.random() < 0.6 else texture.pattern,
        dark=(float(dark[0]), float(dark[1]), float(dark[2])),
        light=(float(light[0]), float(light[1]), float(light[2])),
        grain_u=float(texture.grain_u * np.exp(rng.uniform(-0.4, 1.0))),
    )


def filmed(rng: np.random.Generator, film: Film, variety: Variety) -> Film:
    """The film with a duller backdrop, any shutter, a softer lens and stronger compression."""
    return replace(
        film,
        backdrop=duller(rng, film.backdrop, variety.dullness),
        shutter=float(rng.uniform(0.05, 1.0)),
        blur_px=float(1.2 * rng.random() ** 2),
        crf=film.crf + int(rng.integers(0, 8)),
        subframes=SUBFRAMES,
    )
