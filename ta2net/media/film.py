"""What the exports must know of a video file, and hits laid on it.

``pipeline.video.probe`` gives presentation times as floating point numbers; here they become exact again, as
multiples of the stream's time base.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ta2net.media.belonging import HitLike, check_hits
from ta2net.media.timecode import TIMECODE
from ta2net.media.timeline import Marker, Timeline

if TYPE_CHECKING:
    from pipeline.video.probe import VideoInfo


@dataclass(frozen=True)
class Film:
    """A video file.

    Attributes:
        path: absolute.
        fps: average frame rate.
        height_px, width_px: of the picture as shown, after rotation.
        times_s: presentation time of every frame in s, the container's own, exact.
        player_zero_s: the container's time that a player shows as 0:00.
        start_timecode: of the first frame, from the file; None: the file has none.
    """

    path: str
    fps: Fraction
    height_px: int
    width_px: int
    times_s: tuple[Fraction, ...]
    player_zero_s: Fraction
    start_timecode: str | None


def look_at(video: str | os.PathLike[str] | VideoInfo) -> Film:
    """What the exports must know of a video file, or of one that ``probe`` has read already.

    Raises:
        VideoError: see ``pipeline.video.probe.probe``.
    """
    from pipeline.video.probe import VideoInfo, probe  # PyAV; the exports themselves do without it

    info = video if isinstance(video, VideoInfo) else probe(video)
    times_s, found = exact_times(info), info.start_timecode
    return Film(
        path=str(Path(info.path).absolute()),
        fps=info.fps,
        height_px=info.height,
        width_px=info.width,
        times_s=times_s,
        # a sound track below 0 starts with its encoder's run-in, which is not played
        player_zero_s=min([times_s[0], *(max(start_s, Fraction(0)) for start_s in info.sound_starts_s)]),
        start_timecode=found if found and TIMECODE.fullmatch(found) else None,
    )


def exact_times(info: VideoInfo) -> tuple[Fraction, ...]:
    """Presentation times in s as the container stores them: whole multiples of its time base.

    Where the container has no usable times (``time_source`` is ``index``), frame number / frame rate.
    """
    if info.time_source == "index":
        return tuple(frame / info.fps for frame in range(info.n_frames))
    base = info.time_base
    return tuple(round(Fraction(time_s) / base) * base for time_s in info.times_s.tolist())


def timeline_of(film: Film, hits: Iterable[HitLike], *, class_name: str = "", **more: Any) -> Timeline:
    """A film with its hits.

    Args:
        hits: of this film, in any order; their times are replaced by the exact ones of their frames.
        class_name: of all of them, and what editors show; empty: ``hit``.
        more: further fields of ``Timeline`` (``model``, ``versions``, ``drop_frame``, ...).

    Raises:
        UserError: a hit is at no frame of the film or at another time than its frame, or see ``Timeline``.
    """
    name = Path(film.path).name
    ordered = sorted(hits, key=lambda hit: hit.frame)
    check_hits(ordered, name, film.times_s)
    markers = []
    for hit in ordered:
        where = (hit.x_fraction, hit.y_fraction)
        label = class_name or "hit"
        time_s = film.times_s[hit.frame]
        markers.append(Marker(hit.frame, time_s, hit.probability, *where, label, class_name))
    known: dict[str, Any] = {
        "name": name,
        "fps": film.fps,
        "n_frames": len(film.times_s),
        "height_px": film.height_px,
        "width_px": film.width_px,
        "first_frame_s": film.times_s[0],
        "last_frame_s": film.times_s[-1],
        "markers": tuple(markers),
        "player_zero_s": film.player_zero_s,
        "path": film.path,
        "start_timecode": film.start_timecode,
    }
    return Timeline(**(known | more))
