"""Hits of any program against labels, both as files in Audible623's format: metrics.json without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from pipeline.errors import UserError
from pipeline.sources.audible623 import CLASS_NAMES, COLUMNS, EXCLUDED, LABEL, check_id, parse_labels
from pipeline.sources.findings import RowRefusedError, printable
from pipeline.sources.table import Record, read_table
from ta2net.evaluation.metrics import Judged
from ta2net.evaluation.sections import hit_sections, per_class
from ta2net.params import EvaluationParams

SHOWN = 10


@dataclass(frozen=True)
class FramesOfVideo:
    """One record: its line in the file, its frame numbers in order, its class."""

    line: int
    frames: tuple[int, ...]
    class_name: str


@dataclass(frozen=True)
class FrameFile:
    """A file of hits or labels by video id.

    Attributes:
        excluded: ids whose record the authors of the data set excluded (``-1`` or ``-2``).
        notes: what was put in order, one line each.
    """

    videos: dict[str, FramesOfVideo]
    excluded: frozenset[str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Hits beside labels.

    Attributes:
        videos: every labelled video, in the order of the label file.
        notes: what a reader of the figures must know, one line each.
    """

    videos: tuple[Judged, ...]
    notes: tuple[str, ...]


def read_frame_file(path: str | Path, n_frames: int | None) -> FrameFile:
    """Read ``video_id,sound_label,class``; every record that cannot be used is an error.

    Args:
        n_frames: length of every video: a frame number at or past it is an error; None: not known here.

    Raises:
        UserError: the file as a whole is unusable (see ``read_table``), or records are: up to ten of them,
            each with its line.
    """
    videos: dict[str, FramesOfVideo] = {}
    excluded: dict[str, int] = {}
    notes: list[str] = []
    wrong: list[str] = []
    for record in read_table(path, COLUMNS):
        video_id = record.cells.get("video_id", "")
        where = f"{path}, line {record.line} ({printable(video_id[:80])})"
        try:
            earlier = videos[video_id].line if video_id in videos else excluded.get(video_id)
            if earlier is not None:
                raise RowRefusedError(f"video_id stands on line {earlier} already; keep one of the two lines")
            found = _record(record, n_frames, where, notes)
        except RowRefusedError as refusal:
            wrong.append(f"{where}: {refusal}")
            continue
        if found is None:
            excluded[video_id] = record.line
        else:
            videos[video_id] = found
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN} more lines" if len(wrong) > SHOWN else ""
        raise UserError("\n".join(wrong[:SHOWN]) + more)
    return FrameFile(videos, frozenset(excluded), tuple(notes))


def _record(record: Record, n_frames: int | None, where: str, notes: list[str]) -> FramesOfVideo | None:
    """One record; None where the authors excluded it.

    Raises:
        RowRefusedError: it cannot be used.
    """
    if record.missing:
        raise RowRefusedError(f"no cell for {', '.join(record.missing)}")
    check_id(record.cells["video_id"])
    if record.extra:
        if LABEL.fullmatch(record.cells["class"]):
            raise RowRefusedError("more cells than columns: put the frame numbers in double quotes")
        notes.append(f"{where}: cells beyond the header ignored: {', '.join(record.extra)[:80]}")
    if record.cells["sound_label"] in EXCLUDED:
        return None
    labels = parse_labels(record.cells["sound_label"])
    notes += [f"{where}: {message}" for message in (*labels.repairs, *labels.doubts)]
    if n_frames is not None:
        _check_length(labels.frames, n_frames)
    written = record.cells["class"] or "unknown"
    return FramesOfVideo(record.line, labels.frames, CLASS_NAMES.get(written.casefold(), written))


def _check_length(frames: Sequence[int], n_frames: int) -> None:
    beyond = [frame for frame in frames if frame >= n_frames]
    if beyond:
        raise RowRefusedError(
            f"frame {', '.join(map(str, beyond[:SHOWN]))}: a video of {n_frames} frames ends at frame "
            f"{n_frames - 1}; correct the file or give --frames the true length"
        )


def compare_files(hits: str | Path, labels: str | Path, n_frames: int, fps: Fraction) -> Comparison:
    """Pair the videos of two files.

    A labelled video that the hits do not name is one without predictions; the notes say how many. The class
    is the label file's.

    Args:
        n_frames, fps: of every video; frame t is shown at t / fps seconds.

    Raises:
        UserError: a file is unusable (see ``read_frame_file``), has no labelled video, or hits are of videos
            without labels.
    """
    truth, found = read_frame_file(labels, n_frames), read_frame_file(hits, n_frames)
    if not truth.videos:
        raise UserError(f"{labels}: no labelled video in it")
    if found.excluded:
        raise UserError(
            f"{hits}: {_listed(sorted(found.excluded))} with -1 or -2 for frames; leave sound_label empty "
            "for a video without hits"
        )
    foreign = [video_id for video_id in found.videos if video_id not in truth.videos.keys() | truth.excluded]
    if foreign:
        raise UserError(
            f"{hits}: {len(foreign)} videos are not in {labels}: {_listed(foreign)}; label them or leave "
            "them out"
        )
    silent = [video_id for video_id in truth.videos if video_id not in found.videos]
    notes = [*truth.notes, *found.notes]
    if truth.excluded:
        notes.append(f"{labels}: {len(truth.excluded)} videos left out, excluded by -1 or -2")
    if silent:
        notes.append(
            f"{hits}: {len(silent)} of {len(truth.videos)} labelled videos are not in it and count as videos "
            f"without hits: {_listed(silent)}"
        )
    time_s = np.arange(n_frames) * fps.denominator / fps.numerator
    nothing = FramesOfVideo(0, (), "")
    videos = tuple(
        Judged(
            np.array(found.videos.get(video_id, nothing).frames, np.int64),
            np.array(video.frames, np.int64),
            time_s,
            video.class_name,
        )
        for video_id, video in truth.videos.items()
    )
    return Comparison(videos, tuple(notes))


def evaluate_files(hits: str | Path, labels: str | Path, n_frames: int, fps: Fraction) -> dict[str, Any]:
    """The metrics document of hits without scores: ``map_at_*`` is None, there are no thresholds, no rules.

    What was put in order or counted as without hits is said on stderr. Writes nothing.

    Args:
        n_frames, fps: of every video.

    Raises:
        UserError: see ``compare_files``.
    """
    comparison = compare_files(hits, labels, n_frames, fps)
    for note in comparison.notes:
        click.echo(note, err=True)
    videos = comparison.videos
    return {
        **hit_sections(videos, None, EvaluationParams().bootstrap),
        "per_class": per_class(videos),
        "data": {
            "rows": len(videos),
            "frames": n_frames * len(videos),
            "labels": sum(len(video.labelled) for video in videos),
        },
    }


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(printable(name) for name in names[:SHOWN]) + more
