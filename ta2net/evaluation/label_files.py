"""Hits of any program against labels, both as files in Audible623's format: metrics.json without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from pipeline.errors import UserError
from pipeline.sources.audible623 import (
    ANNOTATED,
    CLASS_NAMES,
    COLUMNS,
    EXCLUDED,
    LABEL,
    annotated_of,
    check_id,
    parse_labels,
)
from pipeline.sources.findings import RowRefusedError, printable
from pipeline.sources.table import Record, read_table
from pipeline.spans import Spans, clipped_spans, format_spans, frames_in
from ta2net.evaluation.clocks import Clock, clocks_of
from ta2net.evaluation.metrics import Judged
from ta2net.evaluation.sections import hit_sections, per_class
from ta2net.params import EvaluationParams

SHOWN = 10


@dataclass(frozen=True)
class FramesOfVideo:
    """One record: its line in the file, its frame numbers in order, its class.

    Attributes:
        annotated: half-open spans of frames of which the record tells all; None: of all frames.
    """

    line: int
    frames: tuple[int, ...]
    class_name: str
    annotated: Spans | None = None

    def known(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Those of the frames of which the record tells."""
        return tuple(frames) if self.annotated is None else frames_in(frames, self.annotated)


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
        n_frames: of all videos.
    """

    videos: tuple[Judged, ...]
    notes: tuple[str, ...]
    n_frames: int


def read_frame_file(path: str | Path, n_frames: int | None) -> FrameFile:
    """Read ``video_id,sound_label,class[,annotated]``; every record that cannot be used is an error.

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
    for record in read_table(path, COLUMNS, (ANNOTATED,)):
        video_id = record.cells.get("video_id", "")
        where = f"{path}, line {record.line} ({printable(video_id[:80])})"
        try:
            earlier = videos[video_id].line if video_id in videos else excluded.get(video_id)
            if earlier is not None:
                raise RowRefusedError(f"video_id is already on line {earlier}; keep one of the two lines")
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
    annotated = _annotated(record, labels.frames, n_frames, where, notes)
    return FramesOfVideo(record.line, labels.frames, CLASS_NAMES.get(written.casefold(), written), annotated)


def _check_length(frames: Sequence[int], n_frames: int) -> None:
    beyond = [frame for frame in frames if frame >= n_frames]
    if beyond:
        raise RowRefusedError(
            f"frame {', '.join(map(str, beyond[:SHOWN]))}: a video of {n_frames} frames ends at frame "
            f"{n_frames - 1}; correct the file or give --frames the true length"
        )


def compare_files(
    hits: str | Path,
    labels: str | Path,
    n_frames: int | None = None,
    fps: Fraction | None = None,
    videos: Sequence[str] = (),
) -> Comparison:
    """Pair the videos of two files.

    A labelled video that the hits do not name is one without predictions; the notes say how many. The class
    is the label file's, and so are the annotated spans: hits on other frames are left out before any is
    paired with a label.

    Args:
        n_frames, fps, videos: how long each video is, and when its frames are shown: see ``clocks_of``.

    Raises:
        UserError: a file is unusable (see ``read_frame_file``, ``clocks_of``), has no labelled video, or hits
            are of videos without labels.
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
    clocks = clocks_of(labels, truth.videos, n_frames, fps, videos)
    _check_lengths(clocks, {str(labels): truth, str(hits): found})
    nothing = FramesOfVideo(0, (), "")
    judged = []
    for video_id, video in truth.videos.items():
        predicted = video.known(found.videos.get(video_id, nothing).frames)
        stop = max((*video.frames, *predicted), default=-1) + 1  # later times nobody asks for
        judged.append(
            Judged(
                np.array(predicted, np.int64),
                np.array(video.known(video.frames), np.int64),
                clocks[video_id].until(stop),
                video.class_name,
            )
        )
    return Comparison(tuple(judged), tuple(notes), sum(clock.n_frames for clock in clocks.values()))


def _check_lengths(clocks: Mapping[str, Clock], files: Mapping[str, FrameFile]) -> None:
    """Refuse frames past the ends of their videos.

    Raises:
        UserError: up to ten lines of the files.
    """
    wrong = [
        f"{path}, line {video.line} ({printable(video_id)}): frame {video.frames[-1]}: the video has "
        f"{clock.n_frames} frames and ends at frame {clock.n_frames - 1} (by {clock.where}); correct either"
        for path, file in files.items()
        for video_id, video in file.videos.items()
        if (clock := clocks.get(video_id)) and video.frames and video.frames[-1] >= clock.n_frames
    ]
    if wrong:
        more = f"\n... and {len(wrong) - SHOWN} more lines" if len(wrong) > SHOWN else ""
        raise UserError("\n".join(wrong[:SHOWN]) + more)


def evaluate_files(
    hits: str | Path,
    labels: str | Path,
    n_frames: int | None = None,
    fps: Fraction | None = None,
    videos: Sequence[str] = (),
) -> dict[str, Any]:
    """The metrics document of hits without scores: ``map_at_*`` is None, there are no thresholds, no rules.

    What was put in order or counted as without hits is said on stderr. Writes nothing.

    Args:
        n_frames, fps, videos: see ``compare_files``.

    Raises:
        UserError: see ``compare_files``.
    """
    comparison = compare_files(hits, labels, n_frames, fps, videos)
    for note in comparison.notes:
        click.echo(note, err=True)
    judged = comparison.videos
    return {
        **hit_sections(judged, None, EvaluationParams().bootstrap),
        "per_class": per_class(judged),
        "data": {
            "rows": len(judged),
            "frames": comparison.n_frames,
            "labels": sum(len(video.labelled) for video in judged),
        },
    }


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(printable(name) for name in names[:SHOWN]) + more


def _annotated(
    record: Record, frames: Sequence[int], n_frames: int | None, where: str, notes: list[str]
) -> Spans | None:
    """A record's own annotated spans within the video; None where it has none.

    Raises:
        RowRefusedError: an entry is no span, or all lie behind the video's end.
    """
    written, repairs = annotated_of(record)
    notes += [f"{where}: {message}" for message in repairs]
    if written is None:
        return None
    spans = written if n_frames is None else clipped_spans(written, n_frames)
    if n_frames is not None and spans != written:
        if not spans:
            raise RowRefusedError(
                f"a video of {n_frames} frames ends before all annotated spans "
                f"({format_spans(written)[:80]}); correct the file or give --frames the true length"
            )
        notes.append(
            f"{where}: annotated spans cut at the last frame ({n_frames - 1}): {format_spans(spans)[:80]}"
        )
    outside = len(frames) - len(frames_in(frames, spans))
    if outside:
        notes.append(f"{where}: {outside} frames outside the annotated spans left out")
    return spans
