"""Marks that somebody has set or corrected -> a video's row of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from ta2net.label.label_csv import LabelRow, check_label_file, merge_labels, video_id_of
from ta2net.label.marks import FORMATS, MarkFile, format_of, read_text
from ta2net.label.snap import nearest_frames
from ta2net.media.film import look_at

SHOWN = 5


@dataclass(frozen=True)
class Imported:
    """What was taken over.

    Attributes:
        format: of the file, one of ``ta2net.label.marks.FORMATS``.
        frames: 0-based, ascending, each once.
        marks: in the file; more than frames where several lie on one frame.
    """

    format: str
    frames: tuple[int, ...]
    marks: int


def read_marks(
    path: Path,
    video: Path,
    *,
    format: str | None = None,
    row_id: str | None = None,
    start_timecode: str | None = None,
) -> Imported:
    """The labelled frames of a video from a file of marks.

    Each mark goes to the frame that is shown nearest to it.

    Args:
        format: one of ``FORMATS``; None: by what stands in the file.
        row_id: which row's, where a CSV file holds several.
        start_timecode: where an editor's timeline starts; None: at 01:00:00:00.

    Raises:
        UserError: the file is in no such format, a line of it is no mark, or marks lie outside the video.
        VideoError: the video cannot be read.
    """
    text = read_text(path)
    chosen = format or format_of(path, text)
    film = look_at(video)
    marks = list(FORMATS[chosen](MarkFile(path, text, film, row_id, start_timecode)))
    times_s = np.array([float(time_s) for time_s in film.times_s])
    if len(times_s) < 2:
        raise UserError(f"{video}: {len(times_s)} frame; labels need a moving picture")
    frames, inside = nearest_frames(times_s, np.array([float(mark.time_s) for mark in marks]))
    outside = [mark for mark, known in zip(marks, inside, strict=True) if not known]
    if outside:
        listed = "".join(f"\n  line {mark.line}: {mark.written}" for mark in outside[:SHOWN])
        listed += f"\n  and {len(outside) - SHOWN} more" if len(outside) > SHOWN else ""
        first_s, last_s = (
            float(time_s - film.player_zero_s) for time_s in (film.times_s[0], film.times_s[-1])
        )
        raise UserError(
            f"{path}: {len(outside)} of {len(marks)} marks lie outside {video}, whose frames a player shows "
            f"from {first_s:.3f} to {last_s:.3f} s; delete them, or give the video of these marks:{listed}"
        )
    return Imported(chosen, tuple(sorted(set(frames.tolist()))), len(marks))


def import_labels(
    path: Path, video: Path, out: Path, *, class_name: str | None = None, **how: str | None
) -> Imported:
    """Read the marks of a video (``how``: see ``read_marks``) and put them into a label file.

    The video's row in it is replaced, every other stays; a missing file is made.

    Raises:
        UserError: see ``read_marks`` and ``ta2net.label.label_csv.merge_labels``.
    """
    video_id = video_id_of(video)
    check_label_file(out)
    found = read_marks(path, video, **how)
    merge_labels(out, [LabelRow(video_id, found.frames, class_name)])
    return found
