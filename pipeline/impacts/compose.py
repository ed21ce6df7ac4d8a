"""One clip of the data set, decided in full before a pixel is drawn: scene, surroundings, camera, light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from pipeline.impacts.camera import Camera, draw_camera, framed
from pipeline.impacts.clock import FRAME_RATES, Clock, clock_for
from pipeline.impacts.film import Film, draw_film
from pipeline.impacts.physics import Contact, Part, Recording
from pipeline.impacts.scenes import SCENES, VARIED_KINDS, VARIED_SCENES
from pipeline.impacts.scenes.setting import Setting
from pipeline.impacts.selection import Accepted
from pipeline.impacts.surroundings import draw_surroundings
from pipeline.impacts.variety import Variety, draw_variety, filmed, repainted

ClipSplit = Literal["train", "eval"]
CLIP_SPLITS: tuple[ClipSplit, ...] = ("train", "eval")
MOST_DRAWS = 400
MOST_VARIETIES, DRAWS_OF_A_VARIETY = 60, 12
"""A scene that will not do in one manner is better drawn in another."""
USUAL_FPS = 30
MARGIN_U = 40.0
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
    variety: float = 0.0

    @property
    def clip_id(self) -> str:
        """The clip's name, and its file's."""
        return f"impacts_{self.split}_{self.index:04d}"

    @property
    def kind(self) -> str:
        """The class of the action it shows."""
        names = VARIED_KINDS if self.variety else tuple(SCENES)
        return names[self.index % len(names)]

    @property
    def px_per_u(self) -> float:
        """Pixels per unit of length when the camera does not zoom."""
        return min(self.size) / 128.0


@dataclass(frozen=True)
class Streams:
    """A clip's own streams of chance."""

    scene: np.random.Generator
    around: np.random.Generator
    film: np.random.Generator
    variety: np.random.Generator


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
    streams = Streams(*(np.random.default_rng(child) for child in root.spawn(4)))
    for _ in range(MOST_VARIETIES if wanted.variety else 1):
        clip = _filmed(wanted, draw_variety(streams.variety, wanted.variety), streams)
        if clip is not None:
            return clip
    raise RuntimeError(f"{wanted.clip_id}: no drawn scene fits into {wanted.duration_s} s")


def _filmed(wanted: Wanted, variety: Variety, streams: Streams) -> Clip | None:
    """A clip of this variety, or None when no scene of many will do."""
    rng, difficulty = streams.film, variety.calm * wanted.difficulty
    usual_fps = FRAME_RATES[int(rng.integers(len(FRAME_RATES)))]
    clock = _clock(wanted, variety, usual_fps)
    setting = _setting(wanted, variety, rng)
    camera = draw_camera(rng, clock, difficulty)
    film = draw_film(rng, difficulty)
    sound_seed = int(rng.integers(2**31))
    for _ in range(DRAWS_OF_A_VARIETY if wanted.variety else MOST_DRAWS):
        recording = _recorded(wanted, variety, clock, setting, streams)
        accepted = Accepted(clock)
        if not accepted.take(recording.contacts) or bool(accepted.contacts) == variety.quiet:
            continue
        contacts, seen_by = accepted.contacts, camera
        if wanted.variety:
            seen_by = framed(streams.variety, camera, contacts, variety, (setting.width_u, setting.height_u))
        positions = project(contacts, seen_by, wanted.size)
        if not _inside(positions, wanted.size):
            continue
        around = draw_surroundings(streams.around, clock, setting, difficulty, contacts)
        parts = tuple(sorted((*recording.parts, *around), key=lambda part: part.layer))
        if wanted.variety:
            film = filmed(streams.variety, film, variety)
            parts = tuple(
                replace(part, look=repainted(streams.variety, part.look, variety.dullness)) for part in parts
            )
        return Clip(wanted, clock, parts, contacts, positions, seen_by, film, sound_seed)
    return None


def _recorded(
    wanted: Wanted, variety: Variety, clock: Clock, setting: Setting, streams: Streams
) -> Recording:
    """The scene played; in a quiet clip whatever can only pretend, or nobody at all."""
    recording = VARIED_SCENES[wanted.kind](streams.scene, clock, setting)
    if variety.quiet and recording.contacts:
        return Recording((), ())
    return recording


def _clock(wanted: Wanted, variety: Variety, usual_fps: Fraction) -> Clock:
    if variety.fps is None:
        return clock_for(wanted.duration_s, usual_fps)
    # as many frames at any rate: what is learnt from are frames, not seconds
    return clock_for(wanted.duration_s * float(USUAL_FPS / variety.fps), variety.fps)


def project(
    contacts: tuple[Contact, ...], camera: Camera, size: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    """Where the camera sees the contacts: (x, y) in pixels of a picture of ``size`` (height, width)."""
    height, width = size
    views = camera.at(np.array([contact.time_s for contact in contacts]))
    positions = []
    for contact, view in zip(contacts, views, strict=True):
        scale = min(size) / 128.0 * camera.near * float(view[2])
        across, down = camera.place(contact.x, contact.y, view)
        positions.append((across * scale + width / 2, down * scale + height / 2))
    return tuple(positions)


def _inside(positions_px: tuple[tuple[float, float], ...], size: tuple[int, int]) -> bool:
    height, width = size
    edge = EDGE_PX_SHARE * min(size)
    return all(edge <= x <= width - edge and edge <= y <= height - edge for x, y in positions_px)


def _setting(wanted: Wanted, variety: Variety, rng: np.random.Generator) -> Setting:
    height, width = (side / wanted.px_per_u for side in wanted.size)
    scale = rng.uniform(1.05 - 0.2 * wanted.difficulty, 1.3)
    if not wanted.variety:
        return Setting(width, height, scale)
    # turned and moved aside, the picture shows up to its own size more on every side
    far = MARGIN_U + max(width, height) / variety.near
    return Setting(width / variety.near, height / variety.near, scale, variety.manner, far)
