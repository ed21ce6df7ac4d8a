"""What a source had to say about single rows: repaired, left out, refused. Nothing of it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.spans import Spans

Kind = Literal["refused", "left_out", "doubtful", "repaired", "noted"]
KINDS: tuple[Kind, ...] = ("refused", "left_out", "doubtful", "repaired", "noted")
"""refused: cannot be used, someone should mend it; left_out: not used, by rule; doubtful: used as it is,
worth a look; repaired: used after a certain correction; noted: nothing to do."""

Part = Literal["train", "eval"]


@dataclass(frozen=True)
class Finding:
    """One remark on one row of an annotation file.

    Attributes:
        kind: what became of the row.
        file: the annotation file.
        line: 1-based line in it where the row starts.
        video_id: as written there.
        message: what was found.
    """

    kind: Kind
    file: str
    line: int
    video_id: str
    message: str

    def __str__(self) -> str:
        """The remark as one line for people."""
        return printable(f"{self.file}, line {self.line} ({self.video_id}): {self.message}")

    def document(self) -> dict[str, Any]:
        """The remark as a JSON object; its kind is the list it stands in."""
        return {
            "file": printable(self.file),
            "line": self.line,
            "video_id": printable(self.video_id),
            "message": printable(self.message),
        }


@dataclass(frozen=True)
class Labelled:
    """One usable row of an annotation file, before its video has been looked at.

    Attributes:
        file, line, video_id: where it stands, as in ``Finding``.
        part: the file it came from.
        group: rows of one film or filming session share it.
        class_name: kind of action in its one spelling.
        written_class: as the file spells it; names the class's folder of videos.
        labels: 0-based frame numbers, sorted, unique, not yet compared with the video's length.
        annotated: half-open spans, not yet compared with the video's length; None: the file gives none.
        positions_px: (x, y) of the hit at each frame in the video's pixels; None where the set gives none.
    """

    file: str
    line: int
    video_id: str
    part: Part
    group: str
    class_name: str
    written_class: str
    labels: tuple[int, ...]
    annotated: Spans | None = None
    positions_px: Mapping[int, tuple[float, float]] | None = None

    def finding(self, kind: Kind, message: str) -> Finding:
        """A remark on this row."""
        return Finding(kind, self.file, self.line, self.video_id, message)


@dataclass(frozen=True)
class Listing:
    """All rows of a data set's annotation files, in the order of the files, and what was found in them."""

    rows: tuple[Labelled, ...]
    findings: tuple[Finding, ...]


def printable(text: str) -> str:
    """Text with control characters and bytes that are no text escaped: safe for a terminal and for UTF-8."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class RowRefusedError(Exception):
    """One row cannot be used; becomes a ``refused`` finding, never ends the others."""
