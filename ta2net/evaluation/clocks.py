"""How long each video is and when its frames are shown: one rate for all, a CSV file, or the files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.errors import UserError
from pipeline.sources.findings import printable
from pipeline.sources.table import Record, header_of, read_table
from pipeline.video.probe import probe
from ta2net.media.inputs import videos_of

COLUMNS = ("video_id", "fps", "frames")
RATE = re.compile(r"\d{1,6}(\.\d{1,12})?|\d{1,9}/\d{1,9}", re.ASCII)
LENGTH = re.compile(r"\d{1,9}", re.ASCII)
SHOWN = 10
SAME_RATE = 1e-3
"""Relative: 29.97 and 30000/1001 are one rate, 30 and 30000/1001 hardly matter, 25 and 24 do."""


@dataclass(frozen=True)
class Clock:
    """One video's length and times.

    Attributes:
        fps: average frame rate.
        where: it is said, for messages.
        times_s: presentation times (n_frames,) in seconds, of a file; None: frame t is shown at t / fps.
    """

    n_frames: int
    fps: Fraction
    where: str
    times_s: NDArray[np.float64] | None = None

    def until(self, stop: int) -> NDArray[np.float64]:
        """Presentation times (stop,) of the first frames in seconds."""
        if self.times_s is not None:
            return self.times_s[:stop]
        return np.arange(stop, dtype=np.float64) * self.fps.denominator / self.fps.numerator

    def contradicts(self, other: Clock) -> bool:
        """Whether the two cannot be of one video; a file of variable rate has no rate to contradict."""
        rates_differ = abs(float(self.fps / other.fps) - 1) > SAME_RATE
        return self.n_frames != other.n_frames or (rates_differ and self._steady() and other._steady())

    def _steady(self) -> bool:
        if self.times_s is None or len(self.times_s) < 2:
            return True
        return float(np.ptp(np.diff(self.times_s)) * self.fps) < 0.5

    def __str__(self) -> str:
        return f"{self.n_frames} frames at {float(self.fps):.6g} ({self.where})"


def frame_rate(text: str) -> Fraction:
    """``25``, ``29.97`` or ``30000/1001`` as an exact rate.

    Raises:
        ValueError: it is none above 0.
    """
    try:
        rate = Fraction(text) if RATE.fullmatch(text) else Fraction(0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if rate <= 0:
        raise ValueError(f"{text[:40]!r} is not a frame rate; give a number above 0 like 25 or 30000/1001")
    return rate


def clocks_of(
    labels: str | Path,
    ids: Iterable[str],
    n_frames: int | None = None,
    fps: Fraction | None = None,
    videos: Sequence[str] = (),
) -> dict[str, Clock]:
    """The clock of every video in ``ids``, from all that is said of it.

    Args:
        labels: CSV of the labels; columns ``fps`` and ``frames`` in it count.
        n_frames, fps: of every video, both or neither.
        videos: a CSV with ``video_id,fps,frames``, or video files, folders and patterns, whose presentation
            times are read from the files; only videos in ``ids`` are looked at.

    Raises:
        UserError: a source is unusable, contradicts another, or says nothing of some of the videos: all of
            them at once.
    """
    wanted = dict.fromkeys(ids)
    sources: list[Mapping[str, Clock]] = []
    if n_frames is not None and fps is not None:
        sources.append(dict.fromkeys(wanted, Clock(n_frames, fps, "--frames and --fps")))
    if videos:
        table = len(videos) == 1 and Path(videos[0]).suffix.lower() == ".csv"
        sources.append(_of_table(videos[0], wanted) if table else _of_files(videos, wanted))
    if set(COLUMNS) <= set(header_of(labels)):
        sources.append(_of_table(labels, wanted))
    if not sources:
        raise UserError(
            f"{labels}: the length and frame rate of its videos are unknown; give --frames and --fps, or "
            "--videos (the files, or a CSV with video_id,fps,frames), or add columns fps and frames to it"
        )
    found: dict[str, Clock] = {}
    wrong = []
    for video_id in wanted:
        said = [source[video_id] for source in sources if video_id in source]
        if not said:
            wrong.append(f"{printable(video_id)}: its frame rate and length are unknown")
            continue
        found[video_id] = said[0]
        wrong += [f"{printable(video_id)}: {said[0]}, but {x}" for x in said[1:] if said[0].contradicts(x)]
    where = ", ".join(videos[:3]) or str(labels)
    _refuse(f"{where}: cannot be used for {len(wrong)} of {len(wanted)} labelled videos:", wrong)
    return found


def _of_table(path: str | Path, wanted: Mapping[str, None]) -> dict[str, Clock]:
    """Clocks from a CSV file with the columns ``COLUMNS``."""
    clocks: dict[str, Clock] = {}
    wrong = []
    for record in read_table(path, COLUMNS):
        video_id = record.cells.get("video_id", "")
        if video_id not in wanted:
            continue
        where = f"{path}, line {record.line}"
        try:
            clock = _of_record(record, where)
        except ValueError as error:
            wrong.append(f"{where} ({printable(video_id)}): {error}")
            continue
        if video_id in clocks:
            wrong.append(f"{where} ({printable(video_id)}): stands at {clocks[video_id].where} already")
        clocks.setdefault(video_id, clock)
    _refuse(f"{path}: {len(wrong)} lines cannot be used:", wrong)
    return clocks


def _of_record(record: Record, where: str) -> Clock:
    """One line of such a file; ValueError: what is wrong with it."""
    length = record.cells.get("frames", "")
    if not LENGTH.fullmatch(length) or int(length) < 1:
        raise ValueError(f"{length[:40]!r} is not a number of frames; give a whole one above 0")
    return Clock(int(length), frame_rate(record.cells.get("fps", "")), where)


def _of_files(inputs: Sequence[str], wanted: Mapping[str, None]) -> dict[str, Clock]:
    """Clocks with the presentation times of the files themselves; nothing is decoded but a first frame."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in videos_of(inputs):
        if path.stem in wanted:
            files[path.stem].append(path)
    clocks: dict[str, Clock] = {}
    wrong = []
    for video_id, paths in tqdm(files.items(), desc="times", unit="video", disable=None):
        if len(paths) > 1:
            wrong.append(f"{printable(video_id)}: several files, {paths[0]} and {paths[1]}; give one of them")
            continue
        try:
            info = probe(paths[0])
        except UserError as error:
            wrong.append(error.message)
            continue
        clocks[video_id] = Clock(info.n_frames, info.fps, str(paths[0]), info.times_s)
    _refuse(f"{len(wrong)} videos cannot be used:", wrong)
    return clocks


def _refuse(head: str, wrong: Sequence[str]) -> None:
    """UserError with ``head`` and up to ten lines; nothing without lines."""
    if wrong:
        more = [f"... and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise UserError("\n  ".join([head, *wrong[:SHOWN], *more]))
