"""A label file in Audible623's format, ``video_id,sound_label,class[,annotated]``, that grows row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files.atomic import write_text
from pipeline.sources.audible623 import COLUMNS, check_id
from pipeline.sources.findings import RowRefusedError
from pipeline.sources.table import read_table

UNKNOWN = "unknown"
"""The class of what nobody has named; ``source.train_labels`` reads an empty cell as the same."""


@dataclass(frozen=True)
class LabelRow:
    """The labels of one video.

    Attributes:
        video_id: the file's name without extension.
        frames: 0-based, ascending.
        class_name: None: as the file has it already, else ``unknown``.
    """

    video_id: str
    frames: tuple[int, ...]
    class_name: str | None = None


def video_id_of(path: Path) -> str:
    """The id under which a video's labels stand.

    Raises:
        UserError: its name cannot be one.
    """
    try:
        check_id(path.stem)
    except RowRefusedError as refusal:
        raise UserError(f"{path}: {refusal}; rename the video") from refusal
    return path.stem


def check_label_file(path: Path) -> None:
    """See to it that rows can be put into a file: it is one of labels, or not there yet.

    Raises:
        UserError: it is something else (see ``read_table``).
    """
    _existing(path)


def merge_labels(path: Path, rows: Sequence[LabelRow]) -> None:
    """Put rows into a label file, in the place of those of the same videos; everything else in it stays.

    So do further cells of the replaced rows: annotated spans tell who has looked where, whatever was found.
    The file is made where it is missing, and replaced in one step.

    Raises:
        UserError: it is there and no label file (see ``read_table``), or cannot be written.
    """
    header, lines = _existing(path)
    places = [[name.strip().casefold() for name in header].index(column) for column in COLUMNS]
    fresh = {row.video_id: row for row in rows}
    merged, placed = [], set()
    for cells in lines:
        row_id = cells[places[0]].strip() if len(cells) > places[0] else ""
        if row_id not in fresh:
            merged.append(cells)
        elif row_id not in placed:  # of several records of one video the first takes the new labels
            merged.append(_filled(cells, places, fresh[row_id]))
            placed.add(row_id)
    merged += [_filled([""] * len(header), places, row) for row in rows if row.video_id not in placed]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *merged])
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); check the folder") from error


def _existing(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and records as they are."""
    if not path.exists():
        return list(COLUMNS), []
    for _ in read_table(path, COLUMNS):  # says what is wrong with it
        pass
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *lines = (cells for cells in csv.reader(file) if any(cell.strip() for cell in cells))
    return header, lines


def _filled(cells: list[str], places: Sequence[int], row: LabelRow) -> list[str]:
    filled = cells + [""] * (max(places) + 1 - len(cells))
    class_name = row.class_name or filled[places[2]].strip() or UNKNOWN
    for place, value in zip(places, (row.video_id, ",".join(map(str, row.frames)), class_name), strict=True):
        filled[place] = value
    return filled
