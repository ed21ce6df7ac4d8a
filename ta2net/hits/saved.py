"""What the network said of every frame, on disk: scores.csv and maps.npz, from which figures come again."""

from __future__ import annotations

import csv
import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files.atomic import write_text, written_beside
from pipeline.files.plain import read_text
from ta2net.hits.scoring import Scores

SCORES, MAPS = "scores.csv", "maps.npz"
COLUMNS = ("row_id", "frame", "time_s", "probability", "offset_frames")
SAVED = np.float16
"""The type of maps in maps.npz."""
MAX_SCORES_BYTES = 1 << 32
"""Some hundred bytes a frame."""
DAMAGED_ARCHIVE = (
    *(OSError, ValueError, EOFError, TypeError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What NumPy and zipfile may raise over an archive with other bytes in it."""
AGAIN = "write it again with `ta2net evaluate --checkpoint ...`"


@dataclass
class SavedRow:
    """One row of scores.csv: what it says of each frame, NaN where it says nothing; see ``Scores``."""

    time_s: list[float] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)
    offset_frames: list[float] = field(default_factory=list)

    def scores(self, localization: NDArray[np.floating] | None) -> Scores:
        """As the method gave them, with the row's maps (n, h, w), if it has any."""
        offset = np.array(self.offset_frames)
        return Scores(
            np.array(self.probability),
            None if localization is None else localization.astype(np.float32),
            offset if np.isfinite(offset).any() else None,
        )


def write_scores(rows: Iterable[tuple[str, NDArray[np.float64], Scores]], path: str | Path) -> None:
    """Raw scores as CSV, one line per frame, every digit kept.

    ``row_id,frame,time_s,probability,offset_frames``; the last two are empty for a frame that the network was
    not shown, the last one also for a network that gives no offsets.

    Args:
        rows: (row id, presentation times (n,) in s, scores).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row_id, time_s, scores in rows:
        offset = np.full(len(time_s), np.nan) if scores.offset is None else scores.offset
        columns = (time_s, scores.probability, offset)
        for frame, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            # repr of a float is the shortest text that reads back as the same float
            writer.writerow([row_id, frame, *("" if math.isnan(x) else repr(x) for x in values)])
    write_text(path, text.getvalue())


def read_scores(path: str | Path) -> dict[str, SavedRow]:
    """What ``write_scores`` wrote, by row id.

    Raises:
        UserError: the file is missing or another thing, a line of it is no score, or frames are missing.
    """
    file = Path(path)
    try:
        text = read_text(file, MAX_SCORES_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{file}: no scores here; run `ta2net evaluate` first") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error})") from error
    lines = csv.reader(io.StringIO(text))
    rows: dict[str, SavedRow] = {}
    try:
        if tuple(next(lines, ())) != COLUMNS:
            raise UserError(f"{file}, line 1: not a scores file; its header must be {','.join(COLUMNS)}")
        for cells in lines:
            _add(rows, cells, f"{file}, line {lines.line_num}")
    except csv.Error as error:
        raise UserError(f"{file}, line {lines.line_num}: not readable as CSV ({error}); {AGAIN}") from error
    if not rows:
        raise UserError(f"{file}: holds no scores; {AGAIN}")
    return rows


def _add(rows: dict[str, SavedRow], cells: list[str], where: str) -> None:
    """Append one line of scores.csv to its row."""
    try:
        row_id, frame_text, *texts = cells
        frame = int(frame_text)
        time_s, probability, offset = (float(text) if text else math.nan for text in texts)
    except ValueError as error:
        raise UserError(f"{where}: not a score ({error}); {AGAIN}") from error
    silent = math.isnan(probability) and math.isnan(offset)
    if not math.isfinite(time_s) or not (silent or 0.0 <= probability <= 1.0) or math.isinf(offset):
        raise UserError(f"{where}: not a score ({', '.join(texts)} is out of range); {AGAIN}")
    row = rows.setdefault(row_id, SavedRow())
    if frame != len(row.time_s):
        raise UserError(
            f"{where}: frame {frame} of row {row_id!r} where frame {len(row.time_s)} must stand: every frame "
            f"has one line, in order; {AGAIN}"
        )
    row.time_s.append(time_s)
    row.probability.append(probability)
    row.offset_frames.append(offset)


def as_saved(localization: NDArray[np.floating] | None) -> NDArray[np.float16] | None:
    """Maps as maps.npz holds them: half precision, good to three digits."""
    return None if localization is None else localization.astype(SAVED)


def write_maps(rows: Iterable[tuple[str, NDArray[np.floating] | None]], path: str | Path) -> None:
    """Localisation maps (n, h, w) as a compressed NumPy archive of float16 arrays, one per row id.

    Empty where the method has none. ``np.load`` reads it; ``np.savez`` takes ids as argument names and so
    refuses a row called ``file``.
    """
    with (
        written_beside(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for row_id, localization in rows:
            if localization is None:
                continue
            with archive.open(zipfile.ZipInfo(f"{row_id}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, localization.astype(SAVED), allow_pickle=False)


def read_maps(path: str | Path, n_frames: Mapping[str, int]) -> dict[str, NDArray[np.float16]]:
    """What ``write_maps`` wrote, of the rows in ``n_frames``; nothing where the method had no maps.

    Raises:
        UserError: the file is damaged, or has not one map per frame of a row.
    """
    file = Path(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            maps = {row_id: archive[row_id] for row_id in n_frames} if archive.files else {}
    except KeyError as error:
        raise UserError(f"{file}: no maps of a row that has scores ({error}); {AGAIN}") from error
    except DAMAGED_ARCHIVE as error:
        raise UserError(f"{file}: not an archive of maps ({error}); {AGAIN}") from error
    for row_id, found in maps.items():
        if not isinstance(found, np.ndarray):
            raise UserError(f"{file}: row {row_id!r} holds no array; {AGAIN}")
        if found.ndim != 3 or len(found) != n_frames[row_id] or found.dtype != np.float16:
            raise UserError(
                f"{file}: row {row_id!r} holds {found.dtype} {found.shape} where {n_frames[row_id]} maps of "
                f"float16 are expected; {AGAIN}"
            )
    return maps
