"""Audible623's annotation format: ``video_id,sound_label,class``, one row per labelled window of a video.

``sound_label`` is a quoted list of 0-based frame numbers (``"22,59,83"``), empty for a video without any
sound; ``-1`` or ``-2`` alone marks a row that the authors excluded. The published files hold unsorted,
repeated and mistyped labels, two rows of one id, and several spellings of a class.

A fourth column, ``annotated``, is our own and may be missing: the frames that somebody has looked at
(``0-149 200-260``, both ends included).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.errors import UserError
from pipeline.params import DataParams, SourceParams
from pipeline.sources.findings import Finding, Kind, Labelled, Listing, Part, RowRefusedError
from pipeline.sources.table import Record, read_table
from pipeline.spans import Spans, parse_spans

COLUMNS = ("video_id", "sound_label", "class")
ANNOTATED = "annotated"
"""The optional column of annotated spans; an empty cell is a row without spans of its own."""

CLASS_NAMES = {
    "boxingpunchin": "BoxingPunchingBag",
    "cutting&slicing": "cutting&slicing",
    "drumming": "drumming",
    "slicing": "cutting&slicing",
}
"""One spelling for those classes that the published files spell in several ways; keys in lower case."""

EXCLUDED = frozenset({"-1", "-2"})
UCF101_ID = re.compile(r"(?P<group>v_(?P<folder>.+)_g\d+)_c\d+", re.ASCII)
LABEL = re.compile(r"\d{1,9}", re.ASCII)
MAX_ID_LENGTH = 200


@dataclass(frozen=True)
class Labels:
    """The labels of one row, put in order, and what was done to them."""

    frames: tuple[int, ...]
    repairs: tuple[str, ...]
    doubts: tuple[str, ...]


def read(params: DataParams) -> Listing:
    """Read ``source.train_labels`` and ``source.eval_labels``.

    Raises:
        UserError: neither is given, or a file as a whole is unusable (see ``read_table``).
    """
    return read_label_files(params.source)


def read_label_files(source: SourceParams) -> Listing:
    """Both label files as one listing with class spellings unified.

    Raises:
        UserError: see ``read``.
    """
    rows: list[Labelled] = []
    findings: list[Finding] = []
    files: tuple[tuple[Part, str | None], ...] = (
        ("train", source.train_labels),
        ("eval", source.eval_labels),
    )
    if not any(path for _, path in files):
        raise UserError(
            "source.train_labels and source.eval_labels are both empty: nothing to read labels from"
        )
    for part, path in files:
        if path:
            for record in read_table(path, COLUMNS, (ANNOTATED,)):
                _read_record(record, path, part, rows, findings)
    rows = _without_duplicates(rows, findings)
    return Listing(tuple(_unify_classes(rows, findings)), tuple(findings))


def parse_labels(text: str) -> Labels:
    """Frame numbers from a ``sound_label`` cell; sorts and removes repeats, which are certain repairs.

    A label that stands more than one place off its order (``107,19,120``) may be mistyped: it is kept as
    written and reported as doubtful.

    Raises:
        RowRefusedError: an entry is not a frame number.
    """
    if not text:
        return Labels((), (), ())
    entries = [entry.strip() for entry in text.split(",")]
    for entry in entries:
        if not LABEL.fullmatch(entry):
            raise RowRefusedError(
                f"sound_label holds {entry[:40]!r}: not a frame number (0, 1, 2, ...); correct or delete it"
            )
    written = [int(entry) for entry in entries]
    repeated = sorted(frame for frame, times in Counter(written).items() if times > 1)
    repairs = [f"repeated label removed: {', '.join(map(str, repeated))}"] if repeated else []
    doubts = []
    if written != sorted(written):
        # stable order of places, so that equal labels do not count as moved
        places = sorted(range(len(written)), key=written.__getitem__)
        strays = [written[old] for new, old in enumerate(places) if abs(new - old) > 1]
        repairs.append("labels sorted")
        if strays:
            doubts.append(
                f"label {', '.join(map(str, strays))} is far out of order, perhaps mistyped; kept as written"
            )
    return Labels(tuple(sorted(set(written))), tuple(repairs), tuple(doubts))


def annotated_of(record: Record) -> tuple[Spans | None, tuple[str, ...]]:
    """The spans of a record's ``annotated`` cell, None where it is empty, and what was put in order.

    Raises:
        RowRefusedError: an entry is no span.
    """
    text = record.cells.get(ANNOTATED, "")
    if not text:
        return None, ()
    try:
        return parse_spans(text)
    except ValueError as error:
        raise RowRefusedError(f"{ANNOTATED} holds {error}") from error


def group_of(video_id: str) -> str:
    """The filming session: ``v_<Class>_gNN`` of a UCF101 id, else the id itself."""
    match = UCF101_ID.fullmatch(video_id)
    return match["group"] if match else video_id


def video_folders(row: Labelled) -> tuple[str, ...]:
    """Folders that may hold a row's video, best first: its class; for UCF101 ids ``ucf50`` and their own."""
    match = UCF101_ID.fullmatch(row.video_id)
    return (row.written_class, row.class_name, *(("ucf50", match["folder"]) if match else ()))


def check_id(video_id: str) -> None:
    """Refuse ids that cannot be the name of one file.

    Raises:
        RowRefusedError: it is empty, far too long, or holds a path separator or a control character.
    """
    if not video_id:
        raise RowRefusedError("video_id is empty")
    bad = {"/", "\\"} & set(video_id) or {char for char in video_id if not char.isprintable()}
    if bad or video_id in {".", ".."} or len(video_id) > MAX_ID_LENGTH:
        raise RowRefusedError(
            f"invalid video_id {video_id[:40]!r}: it must be a file name without folder and extension"
        )


def _read_record(
    record: Record, file: str, part: Part, rows: list[Labelled], findings: list[Finding]
) -> None:
    """Append the row of one record, or why there is none."""
    video_id = record.cells.get("video_id", "")

    def found(kind: Kind, message: str) -> None:
        findings.append(Finding(kind, file, record.line, video_id[:80], message))

    try:
        if record.missing:
            raise RowRefusedError(f"no cell for {', '.join(record.missing)}")
        check_id(video_id)
        class_name = record.cells["class"]
        if record.extra and LABEL.fullmatch(class_name):
            raise RowRefusedError("more cells than columns: put the labels in double quotes")
        if record.cells["sound_label"] in EXCLUDED:
            found("left_out", f"excluded by the authors (sound_label {record.cells['sound_label']})")
            return
        labels = parse_labels(record.cells["sound_label"])
        annotated, repairs = annotated_of(record)
    except RowRefusedError as refusal:
        found("refused", str(refusal))
        return
    if record.extra:
        found("noted", f"cells beyond the header ignored: {', '.join(record.extra)[:80]}")
    if not class_name:
        found("repaired", "no class given: called 'unknown'")
        class_name = "unknown"
    for message in (*labels.repairs, *repairs):
        found("repaired", message)
    for message in labels.doubts:
        found("doubtful", message)
    group = group_of(video_id)
    rows.append(
        Labelled(file, record.line, video_id, part, group, class_name, class_name, labels.frames, annotated)
    )


def _without_duplicates(rows: Iterable[Labelled], findings: list[Finding]) -> list[Labelled]:
    """Leave out rows that repeat an earlier one of the same file in every respect."""
    seen: dict[tuple[object, ...], int] = {}
    kept = []
    for row in rows:
        key = (row.file, row.part, row.video_id, row.written_class, row.labels, row.annotated)
        if key in seen:
            findings.append(row.finding("left_out", f"the same as line {seen[key]}"))
            continue
        seen[key] = row.line
        kept.append(row)
    return kept


def _unify_classes(rows: Iterable[Labelled], findings: list[Finding]) -> list[Labelled]:
    """Give every class one spelling: the table's, else the first in alphabetical order of those in use."""
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        spellings[row.written_class.casefold()].add(row.written_class)
    unified = []
    told: set[str] = set()
    for row in rows:
        key = row.written_class.casefold()
        name = CLASS_NAMES.get(key, min(spellings[key]))
        if name != row.written_class and row.written_class not in told:
            told.add(row.written_class)
            findings.append(
                row.finding("repaired", f"class {row.written_class!r} is called {name!r} (here and below)")
            )
        unified.append(replace(row, class_name=name))
    return unified
