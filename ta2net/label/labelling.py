"""Videos with sound -> labels: onsets of the sound track on the frames that were shown at that moment."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.errors import UserError, VideoError, telling
from pipeline.files.atomic import write_text
from pipeline.video.probe import VideoInfo, probe
from ta2net.hits.peaks import spaced
from ta2net.label.heard import Heard, Onset
from ta2net.label.label_csv import LabelRow, check_label_file, merge_labels, video_id_of
from ta2net.label.listening_page import PAGE, write_label_page
from ta2net.label.onsets import novelty, onsets
from ta2net.label.snap import nearest_frames
from ta2net.label.sound import Mono, sound_blocks
from ta2net.media.faults import ERROR_LOG, told_fault
from ta2net.media.inputs import folders_of

LABELS, ONSETS = "labels.csv", "onsets.csv"
ONSET_COLUMNS = ("frame", "frame_time_s", "onset_time_s", "above_db", "confidence")


@dataclass(frozen=True)
class Outcome:
    """What became of one video; ``failure`` says why there are no labels.

    With ``fault`` that is a fault of the program, whose traceback is where ``failure`` says.
    """

    path: Path
    folder: Path
    heard: Heard | None = None
    failure: str | None = None
    fault: bool = False


def hear(path: str | Path, *, threshold: float, min_distance: int, quiet: bool = True) -> Heard:
    """Label one video by its sound.

    Args:
        threshold: least confidence of an onset.
        min_distance: least distance of two labels in frames; of nearer ones the surest stays.

    Raises:
        VideoError: the file cannot be read, or has no sound.
        UserError: its sound is too short.
    """
    info = probe(path)
    if info.n_frames < 2:
        raise VideoError(f"{path}: {info.n_frames} frame; labels need a moving picture")
    sound = novelty(_counted(path, info, quiet), str(path))
    found = onsets(sound, threshold)
    frames, inside = nearest_frames(info.times_s, found.times_s)
    surest: dict[int, int] = {}
    for index in np.flatnonzero(inside):
        held = surest.setdefault(int(frames[index]), int(index))
        if found.confidence[index] > found.confidence[held]:
            surest[int(frames[index])] = int(index)
    shown = np.array(sorted(surest), np.int64)
    heights = np.array([found.confidence[surest[frame]] for frame in shown.tolist()], np.float64)
    kept, _ = spaced(shown, heights, min_distance)
    labels = tuple(
        Onset(
            frame,
            float(info.times_s[frame]),
            float(found.times_s[surest[frame]]),
            float(found.above_db[surest[frame]]),
            float(found.confidence[surest[frame]]),
        )
        for frame in kept.tolist()
    )
    return Heard(info, sound, labels, int((~inside).sum()), threshold)


def label_videos(
    paths: Sequence[Path], out: Path, *, threshold: float, min_distance: int, class_name: str | None
) -> Iterator[Outcome]:
    """Label videos one by one into ``out``: labels.csv, and per video a folder with onsets.csv and a page.

    A video that fails stops none of the others. labels.csv keeps the rows of other videos.

    Raises:
        UserError: two videos have one name, or a name cannot be an id, or labels.csv is something else.
    """
    _check_names(paths)
    labels = out / LABELS
    check_label_file(labels)
    for path, folder in folders_of(paths, out).items():
        try:
            with telling():
                heard = hear(path, threshold=threshold, min_distance=min_distance, quiet=False)
                (folder / ERROR_LOG).unlink(missing_ok=True)
                write_onsets(heard.onsets, folder / ONSETS)
                write_label_page(heard, folder / PAGE)
                frames = tuple(onset.frame for onset in heard.onsets)
                merge_labels(labels, [LabelRow(path.stem, frames, class_name)])
        except UserError as error:
            yield Outcome(path, folder, failure=error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the file, and the rest go on
            yield Outcome(path, folder, failure=told_fault(error, path, folder), fault=True)
        else:
            yield Outcome(path, folder, heard)


def write_onsets(found: Sequence[Onset], path: Path) -> None:
    """The labels of one video with all that is known of them, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ONSET_COLUMNS)
    for one in found:
        times = (f"{one.frame_time_s:.6f}", f"{one.time_s:.6f}")
        writer.writerow([one.frame, *times, f"{one.above_db:.2f}", f"{one.confidence:.4f}"])
    write_text(path, text.getvalue())


def _check_names(paths: Sequence[Path]) -> None:
    by_id: dict[str, Path] = {}
    for path in paths:
        other = by_id.setdefault(video_id_of(path), path)
        if other is not path:
            raise UserError(
                f"{other} and {path} have the same name, which labels refer to; rename one, or label them "
                "into two folders"
            )


def _counted(path: str | Path, info: VideoInfo, quiet: bool) -> Iterator[tuple[float, Mono]]:
    length_s = round(float(info.times_s[-1] - info.times_s[0]) + 1 / float(info.fps))
    name = Path(path).stem
    with tqdm(total=length_s, desc=name, unit="s", disable=True if quiet else None) as bar:
        for start_s, block in sound_blocks(path):
            yield start_s, block
            bar.update(1)
