"""One clip of the data set, decided in full before a pixel is drawn: scene, surroundings, camera, light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.impacts.camera import Camera, draw_camera
from pipeline.impacts.clock import FRAME_RATES, Clock, clock_for
from pipeline.impacts.film import Film, draw_film
from pipeline.impacts.physics import Contact, Part
from pipeline.impacts.scenes import SCENES
from pipeline.impacts.scenes.setting import Setting
from pipeline.impacts.selection import Accepted
from pipeline.impacts.surroundings import draw_surroundings

ClipSplit = Literal["train", "eval"]
CLIP_SPLITS: tuple[ClipSplit, ...] = ("train", "eval")
MOST_DRAWS = 400
EDGE_PX_SHARE = 0.03
"""A contact nearer to the border than this share of the picture would not be seen."""


@dataclass(frozen=True)
class Wanted:
    """Everything a clip depends on; the number of clips and of processes is not among it."""

    split: ClipSplit
    index: int
    duration_s: float
    size: tuple[int, int]
    seed: int
    difficulty: float
    silent: bool

    @property
    def clip_id(self) -> str:
        """The clip's name, and its file's."""
        return f"impacts_{self.split}_{self.index:04d}"

    @property
    def kind(self) -> str:
        """The class of the action it shows."""
        names = list(SCENES)
        return names[self.index % len(names)]

    @property
    def px_per_u(self) -> float:
        """Pixels per unit of length when the camera does not zoom."""
        return min(self.size) / 128.0


@dataclass(frozen=True)
class Clip:
    """A clip ready to be rendered.

    Attributes:
        wanted: what was asked for.
        clock: frame rate and length.
        parts: everything to draw, the farthest first.
        contacts: audible contacts, by time.
        positions_px: (x, y) of every contact in the picture, pixels.
        camera, film: how the picture is taken.
        sound_seed: of the sounds' own variation.
    """

    wanted: Wanted
    clock: Clock
    parts: tuple[Part, ...]
    contacts: tuple[Contact, ...]
    positions_px: tuple[tuple[float, float], ...]
    camera: Camera
    film: Film
    sound_seed: int

    @property
    def hits(self) -> tuple[int, ...]:
        """The labels: the frame nearest to every contact."""
        return tuple(self.clock.frame_of(contact.time_s) for contact in self.contacts)


def compose(wanted: Wanted) -> Clip:
    """Draw the clip ``wanted`` from its own stream of chance: the same on every machine.

    Scenes whose hits are too close, too near an end of the clip or outside the picture are drawn anew.

    Raises:
        RuntimeError: no drawn scene will do (a clip far too short for its kind).
    """
    root = np.random.SeedSequence([wanted.seed, "te".index(wanted.split[0]), wanted.index])
    scene_rng, around_rng, film_rng = (np.random.default_rng(child) for child in root.spawn(3))
    clock = clock_for(wanted.duration_s, FRAME_RATES[int(film_rng.integers(len(FRAME_RATES)))])
    setting = _setting(wanted, film_rng)
    camera = draw_camera(film_rng, clock, wanted.difficulty)
    film = draw_film(film_rng, wanted.difficulty)
    sound_seed = int(film_rng.integers(2**31))
    for _ in range(MOST_DRAWS):
        recording = SCENES[wanted.kind](scene_rng, clock, setting)
        accepted = Accepted(clock)
        if not accepted.take(recording.contacts) or not accepted.contacts:
            continue
        positions = project(accepted.contacts, camera, wanted.size)
        if not _inside(positions, wanted.size):
            continue
        around = draw_surroundings(around_rng, clock, setting, wanted.difficulty, accepted.contacts)
        parts = sorted((*recording.parts, *around), key=lambda part: part.layer)
        return Clip(wanted, clock, tuple(parts), accepted.contacts, positions, camera, film, sound_seed)
    raise RuntimeError(f"{wanted.clip_id}: none of {MOST_DRAWS} drawn scenes fits into {wanted.duration_s} s")


def project(
    contacts: tuple[Contact, ...], camera: Camera, size: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    """Where the camera sees the contacts: (x, y) in pixels of a picture of ``size`` (height, width)."""
    height, width = size
    views = camera.at(np.array([contact.time_s for contact in contacts]))
    positions = []
    for contact, (x, y, zoom) in zip(contacts, views, strict=True):
        scale = min(size) / 128.0 * zoom
        positions.append(
            (float((contact.x - x) * scale + width / 2), float((contact.y - y) * scale + height / 2))
        )
    return tuple(positions)


def _inside(positions_px: tuple[tuple[float, float], ...], size: tuple[int, int]) -> bool:
    height, width = size
    edge = EDGE_PX_SHARE * min(size)
    return all(edge <= x <= width - edge and edge <= y <= height - edge for x, y in positions_px)


def _setting(wanted: Wanted, rng: np.random.Generator) -> Setting:
    height, width = wanted.size
    scale = rng.uniform(1.05 - 0.2 * wanted.difficulty, 1.3)
    return Setting(width / wanted.px_per_u, height / wanted.px_per_u, scale)
