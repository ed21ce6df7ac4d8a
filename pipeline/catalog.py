"""The Catalog: one row per window of video to learn from or to score, whatever data set it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.files.atomic import write_text
from pipeline.spans import Spans, checked_spans, frames_in

Split = Literal["train", "val", "eval"]
SPLITS: tuple[Split, ...] = ("train", "val", "eval")

TEXTS = ("row_id", "source", "video_id", "group", "path", "split", "class_name", "fps", "sha256")
"""Entries of a row's JSON object that are text."""

MIN_FRAMES = 5
"""A shorter video has no frame with the whole tuple: v-, v+, a-, a+ exist for t = 2 .. n-3."""


@dataclass(frozen=True)
class Row:
    """One labelled window of one video.

    Attributes:
        row_id: made by us from safe characters; names the row's group in the flow store.
        source: data set it came from (``impacts``, ``csv``).
        video_id: the data set's own name of the video (may repeat: two windows of one film).
        group: rows of one film or one filming session share it; a group is never split.
        path: the video file.
        split: train, val or eval.
        class_name: kind of action, spelt in one way; never used for training.
        labels: frames of the true hits, 0-based, sorted, unique.
        label_positions_px: (x, y) of every label in the video's own pixels, or None where unknown.
        annotated: half-open spans of frames of which the labels tell all; other frames are unknown, not
            silent.
        fps: average frame rate, exact.
        n_frames: frames in the file.
        sha256: of the video file.
    """

    row_id: str
    source: str
    video_id: str
    group: str
    path: str
    split: Split
    class_name: str
    labels: tuple[int, ...]
    label_positions_px: tuple[tuple[float, float], ...] | None
    annotated: Spans
    fps: Fraction
    n_frames: int
    sha256: str

    @property
    def known_labels(self) -> tuple[int, ...]:
        """Labels on annotated frames: what lies elsewhere is unknown, not silent."""
        return frames_in(self.labels, self.annotated)

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object; the frame rate as ``"30000/1001"``."""
        return {**asdict(self), "fps": f"{self.fps.numerator}/{self.fps.denominator}"}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Row:
        """The inverse of ``to_json``.

        Raises:
            ValueError, TypeError, KeyError, ZeroDivisionError: it is not what that writes.
        """
        if "annotated_until" in document:
            raise ValueError("an earlier version of this program wrote it; run the catalog stage again")
        _check_types(document)
        positions, fps = document["label_positions_px"], Fraction(document["fps"])
        if fps <= 0:
            raise ValueError(f"fps is {document['fps']}")
        return cls(
            **{
                **document,
                "labels": tuple(document["labels"]),
                "label_positions_px": None if positions is None else tuple((x, y) for x, y in positions),
                "annotated": checked_spans(document["annotated"]),
                "fps": fps,
            }
        )


def _check_types(document: dict[str, Any]) -> None:
    """Refuse values of other types: rows are used without another look."""
    texts = {name: document[name] for name in TEXTS}
    positions = document["label_positions_px"] or ()
    wrong = [name for name, value in texts.items() if type(value) is not str]
    if type(document["n_frames"]) is not int or document["n_frames"] < 0:
        wrong.append("n_frames")
    if any(type(frame) is not int or frame < 0 for frame in document["labels"]):
        wrong.append("labels")
    if any(type(value) not in (int, float) for place in positions for value in place):
        wrong.append("label_positions_px")
    if wrong or document["split"] not in SPLITS:
        raise ValueError(f"a wrong value of {', '.join(wrong or ['split'])}")


@dataclass(frozen=True)
class Catalog:
    """Rows in the order of their ids."""

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for row in self.rows:
            if row.row_id in seen:
                raise ValueError(f"row id {row.row_id!r} occurs twice")
            seen.add(row.row_id)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def split(self, name: Split) -> Catalog:
        """The rows of one split."""
        return Catalog(tuple(row for row in self.rows if row.split == name))


def write_catalog(catalog: Catalog, path: str | Path) -> None:
    """Write one JSON object per line, atomically."""
    lines = [json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) for row in catalog]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_catalog(path: str | Path) -> Catalog:
    """Read what ``write_catalog`` wrote.

    Raises:
        UserError: the file is missing, a line is not a catalog row, a row comes twice, or there is none.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{file}: no catalog here; run `dvc repro catalog` (or `make flows`) first")
    rows = []
    with file.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            try:
                rows.append(Row.from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError) as error:
                raise UserError(f"{file}, line {number}: not a catalog row ({error})") from error
    if not rows:
        raise UserError(f"{file}: no rows in it; run the catalog stage again")
    try:
        return Catalog(tuple(rows))
    except ValueError as error:
        raise UserError(f"{file}: {error}; run the catalog stage again") from error
