"""Pictures of the moments around hits: frames, motion before and after, its change, where it sounds.

Frames come in order, once; only those around the next few hits are held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from pipeline.flow import resize_frames
from pipeline.kinematics import FORWARD, decode
from ta2net.deliver.report.subject import Subject
from ta2net.evaluation.pictures import flow_colours
from ta2net.media.timeline import Marker

if TYPE_CHECKING:
    from pipeline.video.frames2kinematics import Frames2Kinematics

MOST_STRIPS = 150
STRIPS_BYTES = 2_400_000
"""Of all strips together; those of the least sure hits are left out."""
AROUND_FRAMES = 3
"""Frames shown before and after a hit."""
CELL_PX = (108, 160)
"""Largest height and width of one picture in a strip."""
QUALITY_PERCENT = 60
FULL_QUANTILE = 0.995
"""Of the vectors' lengths, the one that has full colour: a few wild vectors must not darken the rest."""
LEAST_FULL_PX = 0.05
MAP_OPACITY = 0.6
RING_PX = 7

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]


@dataclass(frozen=True)
class Strip:
    """The pictures of one hit.

    Attributes:
        frame: of the hit.
        frames: WebP, seven frames side by side, the hit in the middle.
        fields: WebP, side by side: motion before, motion after, its change, the localisation map.
        motion_frame: whose motion is shown: the hit, or the nearest frame that has a before and an after.
        motion_px, change_px: px of the video per frame that have full colour.
        cell_px: (height, width) of one picture.
    """

    frame: int
    frames: bytes
    fields: bytes
    motion_frame: int
    motion_px: float
    change_px: float
    cell_px: tuple[int, int]

    @property
    def size_bytes(self) -> int:
        """Of its pictures."""
        return len(self.frames) + len(self.fields)


class Strips:
    """Draws the strips of a video's surest hits while its frames go by."""

    def __init__(self, subject: Subject, kinematics: Frames2Kinematics) -> None:
        """Choose the hits and what they need.

        Args:
            kinematics: as the network was shown them.
        """
        self._subject, self._kinematics = subject, kinematics
        self._cell = cell_size(subject.timeline.height_px, subject.timeline.width_px)
        self._due: dict[int, list[Marker]] = defaultdict(list)
        self._wanted: set[int] = set()
        for hit in subject.surest_first[:MOST_STRIPS]:
            around = self._around(hit.frame)
            self._wanted.update(around)
            self._due[around[-1]].append(hit)
        self._held: dict[int, tuple[Picture, Picture]] = {}
        self._made: dict[int, Strip] = {}

    def add(self, frame: int, picture: Picture) -> None:
        """Take the next frame, uint8 RGB (H, W, 3)."""
        if frame in self._wanted:
            self._held[frame] = _sized(picture, self._cell), _sized(picture, self._kinematics.flow_size)
        for hit in self._due.pop(frame, ()):
            self._made[hit.frame] = self._strip(hit)
        self._held.pop(frame - 2 * AROUND_FRAMES, None)

    def finish(self) -> Mapping[int, Strip]:
        """The strips by frame, in order of time: of the surest hits, as many as ``STRIPS_BYTES`` hold."""
        kept, left = {}, STRIPS_BYTES
        for hit in self._subject.surest_first[:MOST_STRIPS]:
            left -= self._made[hit.frame].size_bytes
            if left < 0:
                break
            kept[hit.frame] = self._made[hit.frame]
        return dict(sorted(kept.items()))

    def _around(self, frame: int) -> range:
        """The frames of a strip that there are."""
        first, stop = self._subject.first, self._subject.stop
        return range(max(first, frame - AROUND_FRAMES), min(stop, frame + AROUND_FRAMES + 1))

    def _strip(self, hit: Marker) -> Strip:
        around = self._around(hit.frame)
        blank = np.zeros((*self._cell, 3), np.uint8)
        places = range(hit.frame - AROUND_FRAMES, hit.frame + AROUND_FRAMES + 1)
        frames = [self._held[place][0] if place in around else blank for place in places]
        motion_frame = min(max(hit.frame, self._subject.first + 1), self._subject.stop - 2)
        before, after, change = self._motion(motion_frame)
        motion_px, change_px = full_px(before, after), full_px(change)
        fields = [self._coloured(before, motion_px), self._coloured(after, motion_px)]
        fields += [self._coloured(change, change_px), self._place(hit)]
        return Strip(hit.frame, webp(frames), webp(fields), motion_frame, motion_px, change_px, self._cell)

    def _motion(self, frame: int) -> tuple[Field, Field, Field]:
        """Velocity from the frame before, velocity to the frame after, their difference, in px of the video.

        All are forward in time, (2, H, W), on the grid that the network was shown.
        """
        three = np.stack([self._held[place][1] for place in (frame - 1, frame, frame + 1)])
        chunks = list(self._kinematics([three]))
        coding = self._kinematics.coding
        velocity = decode(np.concatenate([chunk.velocity for chunk in chunks]), coding)
        change = decode(np.concatenate([chunk.inflection for chunk in chunks]), coding)
        height, width = self._kinematics.store_size
        film = self._subject.timeline
        scale = np.array([film.width_px / width, film.height_px / height], np.float32)[:, None, None]
        return velocity[0, FORWARD] * scale, velocity[1, FORWARD] * scale, change[0, FORWARD] * scale

    def _coloured(self, field: Field, full: float) -> Picture:
        return _sized((flow_colours(field, full) * 255).astype(np.uint8), self._cell)

    def _place(self, hit: Marker) -> Picture:
        """The frame under its localisation map, if there is one, and a ring where the hit is."""
        if hit.frame not in self._subject.maps:
            return self._held[hit.frame][0]
        height, width = self._cell
        heat = mpl.colormaps["magma"](self._subject.maps[hit.frame], bytes=True)[..., :3]
        rows, columns = (np.arange(n) * side // n for n, side in zip(self._cell, heat.shape, strict=False))
        cells = heat[rows][:, columns]  # of the map, not blended into one another
        picture = (1 - MAP_OPACITY) * self._held[hit.frame][0] + MAP_OPACITY * cells
        picture = np.rint(picture).astype(np.uint8)
        if hit.x_fraction is not None and hit.y_fraction is not None:
            centre = (round(hit.x_fraction * width), round(hit.y_fraction * height))
            cv2.circle(picture, centre, RING_PX, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.circle(picture, centre, RING_PX, (255, 255, 255), 2, cv2.LINE_AA)
        return picture


def cell_size(height_px: int, width_px: int) -> tuple[int, int]:
    """(height, width) of one picture of a strip, in the video's proportions."""
    scale = min(CELL_PX[0] / height_px, CELL_PX[1] / width_px)
    return max(1, round(height_px * scale)), max(1, round(width_px * scale))


def full_px(*fields: Field) -> float:
    """The length of vector that gets full colour."""
    lengths = np.concatenate([np.hypot(*field).ravel() for field in fields])
    return max(LEAST_FULL_PX, float(np.quantile(lengths, FULL_QUANTILE)))


def thumbnail(picture: Picture) -> bytes:
    """A picture, uint8 RGB (H, W, 3), no larger than one of a strip, as WebP."""
    return webp([_sized(picture, cell_size(*picture.shape[:2]))])


def _sized(picture: Picture, size: tuple[int, int]) -> Picture:
    return resize_frames(picture[None], size)[0]


def webp(pictures: Collection[Picture]) -> bytes:
    """RGB pictures of one height side by side as a WebP file."""
    joined = cv2.cvtColor(np.hstack(list(pictures)), cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".webp", joined, [cv2.IMWRITE_WEBP_QUALITY, QUALITY_PERCENT])
    if not written:
        raise RuntimeError(f"OpenCV wrote no WebP file of {joined.shape}")
    return data.tobytes()
