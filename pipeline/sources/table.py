"""Reading a CSV file that people have edited: every defect is told with file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files.plain import read_bytes

MAX_BYTES = 64_000_000


@dataclass(frozen=True)
class Record:
    """One record: its first line (1-based), the wanted cells by column name, cells beyond the header.

    ``missing`` names wanted columns for which the record has no cell.
    """

    line: int
    cells: dict[str, str]
    extra: tuple[str, ...]
    missing: tuple[str, ...]


def read_table(
    path: str | Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[Record]:
    """Yield the records of a comma-separated file with a header line.

    A byte-order mark, any line ends, blank lines, columns in any order and further columns are fine; cells
    are stripped of surrounding blanks.

    Args:
        columns: have to be there.
        optional: columns that need not be there, nor have a cell in each record.

    Raises:
        UserError: the file is missing, unreadable, too large, empty, not UTF-8, lacks a column, or its quotes
            do not close.
    """
    text = _text(Path(path))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    where: dict[str, int] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}, line {line}: not readable as CSV ({error}); a field with commas needs one pair of "
                "double quotes"
            ) from error
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if where is None:
            where = _header(path, cells, columns, optional)
            width = len(cells)
            continue
        yield Record(
            line,
            {name: cells[at].strip() for name, at in where.items() if at < len(cells)},
            tuple(cell.strip() for cell in cells[width:] if cell.strip()),
            tuple(name for name in columns if where[name] >= len(cells)),
        )
    if where is None:
        raise UserError(f"{path}: no header line; expected the columns {', '.join(columns)}")


def _text(path: Path) -> str:
    try:
        data = read_bytes(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such annotation file; check the path") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not data.strip():
        raise UserError(f"{path}: the file is empty")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: the text is UTF-16; save the file as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8; save the file as CSV in UTF-8"
        ) from error


def _header(
    path: str | Path, cells: list[str], columns: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, int]:
    names = [cell.strip().casefold() for cell in cells]
    twice = [name for name in (*columns, *optional) if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}: the header names {', '.join(twice)} twice")
    absent = [name for name in columns if name not in names]
    if absent:
        shown = ", ".join(cells)[:200]
        raise UserError(
            f"{path}: the header lacks {', '.join(absent)}; expected {', '.join(columns)}, found: {shown}"
        )
    return {name: names.index(name) for name in (*columns, *optional) if name in names}


def header_of(path: str | Path) -> tuple[str, ...]:
    """The names of a file's columns as ``read_table`` compares them: in lower case, without blanks around.

    Raises:
        UserError: the file is missing, unreadable, too large, empty or not UTF-8.
    """
    for line in _text(Path(path)).splitlines():
        if line.strip(", \t"):
            return tuple(cell.strip().casefold() for cell in next(csv.reader([line])))
    return ()
