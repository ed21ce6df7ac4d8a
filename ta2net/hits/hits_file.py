"""Reading hits.csv back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.sources.audible623 import LABEL
from pipeline.sources.findings import printable
from pipeline.sources.table import Record, read_table

if TYPE_CHECKING:
    from ta2net.hits.hit import Hit

COLUMNS = ("row_id", "frame", "time_s", "probability", "x_fraction", "y_fraction")
SHOWN = 5


def read_hits(path: str | Path, row_id: str | None = None) -> list[Hit]:
    """The hits of one video in a file that ``ta2net.hits.hit.write_hits`` wrote, or one like it.

    Args:
        row_id: which row's; None where the file holds only one row, or none.

    Raises:
        UserError: the file cannot be read (see ``read_table``), a line of it is no hit, it holds several rows
            and none was chosen, or not the chosen one.
    """
    if not Path(path).exists():
        raise UserError(f"{path}: no such file of hits; check the path, or write it with `ta2net evaluate`")
    lines: dict[tuple[str, int], int] = {}
    hits = []
    for record in read_table(path, COLUMNS):
        where = f"{path}, line {record.line}"
        hit = _hit(record, where)
        first = lines.setdefault((hit.row_id, hit.frame), record.line)
        if first != record.line:
            raise UserError(f"{where}: frame {hit.frame} is already on line {first}; keep one of the two")
        hits.append(hit)
    rows = list(dict.fromkeys(hit.row_id for hit in hits))
    listed = ", ".join(map(printable, rows[:SHOWN]))
    listed += f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    if row_id is None:
        if len(rows) > 1:
            raise UserError(f"{path}: hits of {len(rows)} rows; choose one with --row: {listed}")
        return hits
    if row_id not in rows:
        raise UserError(f"{path}: no hits of row {row_id!r}; there are: {listed or 'none'}")
    return [hit for hit in hits if hit.row_id == row_id]


def _hit(record: Record, where: str) -> Hit:
    from ta2net.hits.hit import Hit  # loads torch, which takes seconds

    if record.missing:
        raise UserError(f"{where}: no cell for {', '.join(record.missing)}")
    cells = record.cells
    try:
        if not LABEL.fullmatch(cells["frame"]):
            raise ValueError(f"frame {cells['frame'][:40]!r}")
        frame = int(cells["frame"])
        time_s, probability = (float(cells[name]) for name in COLUMNS[2:4])
        x, y = (float(cells[name]) if cells[name].strip() else None for name in COLUMNS[4:])
    except ValueError as error:
        raise UserError(f"{where}: not a hit ({error}); correct the line or leave it out") from error
    if not math.isfinite(time_s) or not 0.0 <= probability <= 1.0:
        raise UserError(
            f"{where}: not a hit: time_s {time_s}, probability {probability}; a time is finite, a "
            "probability between 0 and 1"
        )
    return Hit(cells["row_id"], frame, time_s, probability, x, y)
