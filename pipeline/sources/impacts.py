"""The embedded data set: Audible623's format, and ``contacts.csv``: where in the picture each hit is."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import DataParams
from pipeline.sources.audible623 import LABEL, read_label_files
from pipeline.sources.findings import Listing
from pipeline.sources.table import Record, read_table

CONTACT_COLUMNS = ("video_id", "frame", "x_px", "y_px", "impulse")

Positions = dict[str, dict[int, tuple[float, float]]]


def read(params: DataParams) -> Listing:
    """The label files named in ``source`` with the positions of ``impacts.dir``/contacts.csv.

    Raises:
        UserError: a file is missing or unusable.
    """
    contacts = Path(params.impacts.dir) / "contacts.csv"
    if not contacts.is_file():
        raise UserError(f"{contacts}: no such file; render the data set first (`dvc repro impacts`)")
    listing = read_label_files(params.source)
    positions = read_positions(contacts)
    rows = tuple(replace(row, positions_px=positions.get(row.video_id, {})) for row in listing.rows)
    return Listing(rows, listing.findings)


def read_positions(contacts: Path) -> Positions:
    """For every video and frame the (x, y) in px of its contact; the hardest where several share a frame.

    Raises:
        UserError: an entry is not a number.
    """
    positions: defaultdict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    hardest: dict[tuple[str, int], float] = {}
    for record in read_table(contacts, CONTACT_COLUMNS):
        if record.missing or not LABEL.fullmatch(record.cells["frame"]):
            raise UserError(f"{contacts}, line {record.line}: frame is missing or not a frame number")
        video_id, frame = record.cells["video_id"], int(record.cells["frame"])
        x_px, y_px, impulse = (_number(contacts, record, name) for name in ("x_px", "y_px", "impulse"))
        if impulse > hardest.get((video_id, frame), -math.inf):
            hardest[video_id, frame] = impulse
            positions[video_id][frame] = (x_px, y_px)
    return dict(positions)


def _number(contacts: Path, record: Record, name: str) -> float:
    text = record.cells[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{contacts}, line {record.line}: {name} is {text[:40]!r}, not a finite number")
    return value
