"""Files of marks from editors -> moments of a film, on the clock of its presentation times.

The inverse of ``ta2net.deliver.exports``: what is written there for Audacity, REAPER, Resolve and as CSV is
read here, after somebody has moved, added and deleted marks.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pipeline.errors import UserError
from ta2net.media.film import Film
from ta2net.media.timecode import can_drop, editing_rate, frame_of

MAX_BYTES = 64_000_000
NUMBER = re.compile(r"[+-]?\d{1,9}(?:[.,]\d{1,30})?", re.ASCII)
CLOCK = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9}(?:\.\d{1,30})?)", re.ASCII)
FRAME = re.compile(r"\d{1,9}", re.ASCII)
TIMECODE = re.compile(r"\b(\d\d:\d\d:\d\d)([:;.,])(\d{2,4})\b", re.ASCII)
LOCATOR = re.compile(r"\*\s*LOC:\s*(\S+)", re.ASCII)
TIMELINE_START = "01:00:00:00"
"""Where a timeline starts in Resolve and in most editors, unless its user changed that."""


@dataclass(frozen=True)
class Mark:
    """One mark.

    Attributes:
        line: where it stands in its file, from 1.
        written: what stands there.
        time_s: on the clock of the film's presentation times.
    """

    line: int
    written: str
    time_s: Fraction


@dataclass(frozen=True)
class MarkFile:
    """A file of marks and what is known beside it.

    Attributes:
        text: what is in it.
        film: the marks are this film's.
        row_id: which row's marks, where a CSV file holds several.
        start_timecode: of the editor's timeline.
    """

    path: Path
    text: str
    film: Film
    row_id: str | None = None
    start_timecode: str | None = None

    def error(self, line: int, what: str) -> UserError:
        """An error in one line of it."""
        return UserError(f"{self.path}, line {line}: {what}")


def audacity(file: MarkFile) -> Iterator[Mark]:
    """An Audacity label track: ``start<TAB>end<TAB>label``, a player's seconds; a region counts by its start.

    Lines that begin with a backslash hold a label's frequencies and are passed over.
    """
    for line, text in enumerate(file.text.splitlines(), start=1):
        if not text.strip() or text.startswith("\\"):
            continue
        start = text.split("\t")[0].strip()
        if "\t" not in text or not NUMBER.fullmatch(start):
            raise file.error(line, f"{text[:60]!r} is not a label (start, tab, end, tab, text)")
        yield Mark(line, start, _seconds(start) + file.film.player_zero_s)


def reaper(file: MarkFile) -> Iterator[Mark]:
    """The CSV of REAPER's Region/Marker Manager: ``Start`` is a player's time."""
    for line, cells in _records(file):
        start = cells.get("start", "")
        found = CLOCK.fullmatch(start)
        if not found:
            raise file.error(
                line,
                f"Start is {start[:40]!r}, not a time as minutes:seconds; set REAPER's ruler to "
                "Minutes:Seconds and export the markers again",
            )
        hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
        yield Mark(line, start, 3600 * hours + 60 * minutes + seconds + file.film.player_zero_s)


def table(file: MarkFile) -> Iterator[Mark]:
    """CSV with ``frame``, ``time_s`` (presentation time) or both, as hits.csv and the CSV export have them.

    Where both stand they must agree within half a frame; one of two may be left empty.
    """
    times_s = file.film.times_s
    row_ids = set()
    for line, cells in _records(file):
        row_ids.add(cells.get("row_id", ""))
        if file.row_id is not None and cells.get("row_id") != file.row_id:
            continue
        frame, time = cells.get("frame", ""), cells.get("time_s", "")
        if not frame and not time:
            raise file.error(line, "neither frame nor time_s; give one of them")
        if time and not NUMBER.fullmatch(time):
            raise file.error(line, f"time_s is {time[:40]!r}, not a number of seconds")
        if not frame:
            yield Mark(line, f"{time} s", _seconds(time))
            continue
        if not FRAME.fullmatch(frame) or int(frame) >= len(times_s):
            raise file.error(line, f"frame is {frame[:40]!r}; the video's frames are 0 to {len(times_s) - 1}")
        shown_s = times_s[int(frame)]
        if time and abs(_seconds(time) - shown_s) > 1 / file.film.fps / 2:
            raise file.error(
                line,
                f"frame {frame} is shown at {float(shown_s):.6f} s, but time_s is {time}; correct one and "
                "empty the other, or give the video of these marks",
            )
        yield Mark(line, f"frame {frame}", shown_s)
    if file.row_id is None and len(row_ids) > 1:
        raise UserError(f"{file.path}: marks of {len(row_ids)} rows; choose one with --row")
    if file.row_id is not None and file.row_id not in row_ids:
        raise UserError(f"{file.path}: no marks of row {file.row_id!r}")


def edl(file: MarkFile) -> Iterator[Mark]:
    """An edit list in CMX 3600: Resolve's markers (``|M:``), else locators (``* LOC:``), else all events.

    The record timecode of their start counts, from the timeline's own start.
    """
    lines = file.text.splitlines()
    drop = _counting(lines)
    rate = editing_rate(file.film.fps)
    if drop and not can_drop(rate):
        raise UserError(
            f"{file.path}: its timecode is drop-frame, which a video of {float(file.film.fps):.5g} frames/s "
            "cannot have; give the video of these marks"
        )
    start = frame_of(_sign(file.start_timecode or TIMELINE_START, drop), rate)
    for line, timecode in _moments(lines):
        try:
            place = frame_of(_sign(timecode, drop), rate) - start
        except UserError as error:
            raise file.error(line, error.message) from error
        if place < 0:
            raise file.error(
                line,
                f"{timecode} lies before the start of the timeline, {file.start_timecode or TIMELINE_START}; "
                "if the timeline starts elsewhere, give --start-timecode",
            )
        yield Mark(line, timecode, file.film.times_s[0] + place / rate)


def _seconds(number: str) -> Fraction:
    """Of what ``NUMBER`` matches; some programs write a decimal comma."""
    return Fraction(number.replace(",", "."))


def _counting(lines: list[str]) -> bool:
    """Whether an edit list counts drop-frame: it says so in ``FCM:``, or by what stands before the frames."""
    for line in lines:
        if line.strip().upper().startswith("FCM:"):
            return "NON" not in line.upper()
    return any(found[2] in ";," for line in lines for found in TIMECODE.finditer(line))


def _sign(timecode: str, drop: bool) -> str:
    """A timecode written in the way of the list; many editors write a colon whatever they count."""
    return TIMECODE.sub(rf"\1{';' if drop else ':'}\3", timecode)


def _moments(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Line and timecode of everything an edit list marks."""
    markers, locators, events = [], [], []
    record = None
    for number, line in enumerate(lines, start=1):
        times = [found[0] for found in TIMECODE.finditer(line)]
        if line[:1].isdigit() and len(times) == 4:  # source in and out, record in and out
            record = (number, times[2])
            events.append(record)
        elif "|M:" in line and record is not None:
            markers.append(record)
        elif found := LOCATOR.search(line):
            locators.append((number, found[1]))
    yield from markers or locators or events


def _records(file: MarkFile) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column name in lower case of every record of a CSV file."""
    reader = csv.reader(io.StringIO(file.text, newline=""), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise file.error(line, f"not readable as CSV ({error})") from error
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip().casefold() for cell in cells]
        else:
            yield line, {name: cell.strip() for name, cell in zip(header, cells, strict=False)}


FORMATS: Mapping[str, Callable[[MarkFile], Iterator[Mark]]] = {
    "audacity": audacity,
    "csv": table,
    "reaper": reaper,
    "edl": edl,
}


def read_text(path: Path) -> str:
    """A file of marks as text.

    Raises:
        UserError: it is missing, unreadable, too large, or not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: too large for a file of marks (limit {MAX_BYTES} bytes)")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the text is not UTF-8; export the marks again as UTF-8 text") from error


def format_of(path: Path, text: str) -> str:
    """Which of ``FORMATS`` a file is in, by what stands in it.

    Raises:
        UserError: it looks like none.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    header = {cell.strip().casefold() for cell in first.split(",")}
    if path.suffix.lower() == ".edl" or first.startswith(("TITLE:", "FCM:")):
        return "edl"
    if {"#", "name", "start"} <= header:
        return "reaper"
    if header & {"frame", "time_s"}:
        return "csv"
    if NUMBER.fullmatch(first.split("\t")[0].strip()) and "\t" in first:
        return "audacity"
    if not first and path.suffix.lower() == ".txt":  # how Audacity writes a label track without labels
        return "audacity"
    raise UserError(
        f"{path}: neither an Audacity label track, nor CSV with a column frame or time_s, nor REAPER's "
        f"markers, nor an EDL; if it is one of them, say which: --format {'|'.join(FORMATS)}"
    )
