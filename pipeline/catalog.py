"""The Catalog: one row per window of video to learn from or to score, whatever data set it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pipeline.atomic import write_text
from pipeline.errors import UserError

Split = Literal["train", "val", "eval"]
SPLITS: tuple[Split, ...] = ("train", "val", "eval")

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
        hits: 0-based frame numbers, sorted, unique.
        hit_positions_px: (x, y) of every hit in the video's own pixels, or None where unknown.
        annotated_until: frames from here on are unknown, not silent.
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
    hits: tuple[int, ...]
    hit_positions_px: tuple[tuple[float, float], ...] | None
    annotated_until: int
    fps: Fraction
    n_frames: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object; the frame rate as ``"30000/1001"``."""
        return {**asdict(self), "fps": f"{self.fps.numerator}/{self.fps.denominator}"}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Row:
        """The inverse of ``to_json``."""
        positions = document["hit_positions_px"]
        return cls(
            **{
                **document,
                "hits": tuple(document["hits"]),
                "hit_positions_px": None if positions is None else tuple((x, y) for x, y in positions),
                "fps": Fraction(document["fps"]),
            }
        )


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
