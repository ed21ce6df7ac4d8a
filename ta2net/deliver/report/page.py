"""One video's page: its film, its score curve, its hits, the pictures around them, how they were found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ta2net.deliver.report.curve import path_of
from ta2net.deliver.report.preview import FilmWriter, Plan, chosen_coder, plan_of
from ta2net.deliver.report.strips import AROUND_FRAMES, Strip, Strips, thumbnail
from ta2net.deliver.report.subject import LABEL_TOLERANCE_FRAMES, Comparison, Subject
from ta2net.evaluation.pictures import flow_colours
from ta2net.media.html import as_data, as_json, clock, in_base64, page, write_page
from ta2net.media.timeline import Marker

if TYPE_CHECKING:
    from pipeline.video.frames2kinematics import Frames2Kinematics

VIEW_S = 10.0
"""Of the film, that the curve shows in detail at first."""
GLOW_S = 0.15
"""A ring marks a hit's place in the player from so long before it until so long after."""
MISSED_SHOWN = 100
WHEEL_PX = 72
SCORE_STEPS = 10_000
"""A score is sent as so many whole steps: short, and still round to the two digits that the table shows."""


@dataclass(frozen=True)
class Shown:
    """One hit in words.

    Attributes:
        time: as a player shows it.
        place: from the left and from the top.
        label: how far its label is away; empty: it has none.
        judged: whether its frame is annotated, so that labels can tell of it.
    """

    frame: int
    probability: float
    time: str
    timecode: str
    place: str
    label: str
    judged: bool


def write_report(
    subject: Subject,
    pictures: Iterable[NDArray[np.uint8]],
    kinematics: Frames2Kinematics,
    path: Path,
    *,
    index: str = "",
    quiet: bool = True,
) -> bytes:
    """Write the page of one video.

    Args:
        pictures: chunks (k, H, W, 3) uint8 RGB of the frames from ``subject.first`` on; read once, in order.
        kinematics: as the network was shown them; for the pictures of motion.
        path: the HTML file.
        index: address of the page that lists all videos; empty: there is none.

    Returns:
        A small picture of the surest hit, or of the middle of a video without hits, as WebP.

    Raises:
        UserError: the page cannot be written, or no coder for its film is installed.
        VideoError: whatever ``pictures`` raises.
    """
    plan = plan_of(subject.timeline, subject.shown_s, chosen_coder())
    strips = Strips(subject, kinematics)
    hits = subject.surest_first
    chosen = hits[0].frame if hits else (subject.first + subject.stop) // 2
    small = b""
    # not beside the page: if the program is killed, the system clears it away
    with tempfile.TemporaryDirectory(prefix="ta2net-") as folder:
        film = Path(folder) / "film"
        with FilmWriter(film, plan) as writer:
            for frame, picture in enumerate(_counted(pictures, subject, quiet), subject.first):
                writer.add(picture)
                strips.add(frame, picture)
                if frame == chosen:
                    small = thumbnail(picture)
        write_page(path, _pieces(subject, plan, film, strips.finish(), index))
    return small


def _counted(
    pictures: Iterable[NDArray[np.uint8]], subject: Subject, quiet: bool
) -> Iterator[NDArray[np.uint8]]:
    name = f"{Path(subject.timeline.name).stem}: report"
    total = subject.stop - subject.first
    with tqdm(total=total, desc=name, unit="frame", disable=True if quiet else None) as bar:
        for chunk in pictures:
            yield from chunk
            bar.update(len(chunk))


def _pieces(
    subject: Subject, plan: Plan, film: Path, strips: Mapping[int, Strip], index: str
) -> Iterator[str]:
    """The page, whose film is read while it is written."""
    comparison = subject.comparison
    shown = [_shown(hit, subject) for hit in subject.hits]
    by_frame = {hit.frame: hit for hit in shown}
    middles = np.array([plan.middle_s(frame) for frame in range(len(plan.starts))])
    at = middles * plan.coder.ticks_per_s / (plan.starts[-1] + plan.lengths[-1])
    score = subject.score[subject.first : subject.stop]
    missed = () if comparison is None else comparison.missed
    return page(
        "page.html",
        ("shell.css", "page.css"),
        ("page.js",),
        name=subject.timeline.name,
        index=index,
        summary=summary(subject),
        labels_summary=labels_summary(comparison, len(subject.judged)) + _unknown(subject),
        comparison=comparison is not None,
        hits=shown,
        nothing=_nothing(subject),
        missed=[{"frame": f, "time": _time(subject, f)} for f in missed[:MISSED_SHOWN]],
        missed_more=max(0, len(missed) - MISSED_SHOWN),
        plan=plan,
        threshold=subject.threshold,
        curve=path_of(score, at),
        ticks="".join(f"M{at[hit.frame - subject.first]:.4f} 0V.22" for hit in shown),
        label_marks=[f"{at[f - subject.first]:.4f}" for f in (comparison.labelled if comparison else ())],
        strips=[_strip(strip, by_frame[frame]) for frame, strip in strips.items()],
        strips_summary=_strips_summary(len(strips), len(shown)),
        wheel=as_data("image/webp", thumbnail(_wheel())),
        facts=subject.facts,
        data=as_json(_data(subject, plan, shown)),
        film=in_base64(film),
    )


def _data(subject: Subject, plan: Plan, shown: list[Shown]) -> dict[str, Any]:
    """What the script on the page works with."""
    score = subject.score[subject.first : subject.stop]
    inside = [f for f in subject.labels or () if subject.first <= f < subject.stop]
    return {
        "first": subject.first,
        "begin_s": float(subject.shown_s[0]) - float(subject.timeline.zero_s),
        "ticks_per_s": plan.coder.ticks_per_s,
        "ticks": plan.lengths.tolist(),
        "media_type": plan.coder.media_type,
        "score": [None if np.isnan(value) else round(SCORE_STEPS * value) for value in score.tolist()],
        "score_steps": SCORE_STEPS,
        "threshold": subject.threshold,
        "hits": [
            {
                "frame": hit.frame,
                "probability": round(hit.probability, 4),
                "time": said.time,
                "x": hit.x_fraction,
                "y": hit.y_fraction,
            }
            for hit, said in zip(subject.hits, shown, strict=True)
        ],
        "labels": [[run[0] - subject.first, run[-1] - subject.first] for run in _runs(inside)],
        "view_s": VIEW_S,
        "glow_s": GLOW_S,
    }


def _runs(frames: list[int]) -> Iterator[list[int]]:
    """Consecutive frames together."""
    for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0]):
        yield [frame for _, frame in run]


def _shown(hit: Marker, subject: Subject) -> Shown:
    place = ""
    if hit.x_fraction is not None and hit.y_fraction is not None:
        place = f"{hit.x_fraction:.0%}, {hit.y_fraction:.0%}"
    comparison = subject.comparison
    distance = None if comparison is None else comparison.distance_frames.get(hit.frame)
    return Shown(
        hit.frame,
        hit.probability,
        _time(subject, hit.frame),
        subject.timeline.timecode(hit),
        place,
        "" if distance is None else distance_text(distance),
        hit.frame in subject.judged,
    )


def distance_text(frames: int) -> str:
    """How a hit lies to its label."""
    if frames == 0:
        return "on the frame"
    many = f"{abs(frames)} frame{'s' if abs(frames) > 1 else ''}"
    return f"{many} {'late' if frames > 0 else 'early'}"


def _time(subject: Subject, frame: int) -> str:
    return clock(float(subject.times_s[frame]) - float(subject.timeline.zero_s))


def summary(subject: Subject) -> str:
    """Length, rate and hits in one line."""
    film = subject.timeline
    shown = subject.stop - subject.first
    part = "" if shown == film.n_frames else f"frames {subject.first} to {subject.stop - 1} of "
    hits = f"{len(subject.hits)} hit{'' if len(subject.hits) == 1 else 's'}"
    rate = f"{float(film.fps):.3f}".rstrip("0").rstrip(".")
    return (
        f"{hits} in {clock(subject.duration_s)}, {part}{film.n_frames} frames at {rate} a second, "
        f"{film.width_px} \u00d7 {film.height_px} px"
    )


def labels_summary(comparison: Comparison | None, hits: int) -> str:
    """What the labels say of the hits; empty without labels."""
    if comparison is None:
        return ""
    found, labelled = comparison.found, len(comparison.labelled)
    return (
        f"{found} of {labelled} labelled hits found within {LABEL_TOLERANCE_FRAMES} frames, "
        f"{labelled - found} missed; {hits - found} of {hits} hits without a label"
    )


def _unknown(subject: Subject) -> str:
    """How many hits lie where nobody has annotated; empty without such hits."""
    unknown = len(subject.hits) - len(subject.judged)
    return f"; {unknown} more on frames that are not annotated" if unknown and subject.comparison else ""


def labels_in_short(comparison: Comparison | None, hits: int) -> str:
    """The same for the list of videos."""
    if comparison is None:
        return ""
    return f"{comparison.found} of {len(comparison.labelled)} found, {hits - comparison.found} hits without"


def _nothing(subject: Subject) -> str:
    if not np.isfinite(subject.score).any():
        return "no frame has a score"
    best = int(np.nanargmax(subject.score))
    return (
        f"no score reaches the threshold of {subject.threshold:.3f}; the highest is "
        f"{subject.score[best]:.3f}, at {_time(subject, best)}, frame {best}"
    )


def _strips_summary(shown: int, hits: int) -> str:
    return (
        f"all {hits}, in order of time"
        if shown == hits
        else f"the {shown} most probable of {hits}, in order of time"
    )


def _strip(strip: Strip, hit: Shown) -> dict[str, Any]:
    """One strip as the template takes it."""
    height, width = strip.cell_px
    offsets = range(-AROUND_FRAMES, AROUND_FRAMES + 1)
    return {
        "hit": hit,
        "frames": as_data("image/webp", strip.frames),
        "fields": as_data("image/webp", strip.fields),
        "width": width,
        "height": height,
        "offsets": [f"{offset:+d}".replace("-", "\u2212") if offset else "hit" for offset in offsets],
        "motion": f"{strip.motion_px:.1f}",
        "change": f"{strip.change_px:.1f}",
    }


def _wheel() -> NDArray[np.uint8]:
    """The colour of every direction: a vector is drawn where it points to from the middle."""
    y, x = (np.indices((WHEEL_PX, WHEEL_PX)) + 0.5) / WHEEL_PX * 2 - 1
    return (flow_colours(np.stack([x, y]).astype(np.float32), 1.0) * 255).astype(np.uint8)
