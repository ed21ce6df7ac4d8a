"""Which code made a result, so that results follow the code: a revision of each part that numbers come from.

A part has a number, which is raised when what it computes changes, and a digest of its source without
comments and docstrings. Both stand in a file beside the code. While the source is the recorded one, the
number alone
tells results apart: tidying up costs nobody a row. Once the source is edited, the digest belongs to the
revision, and an experiment's rows and networks are its own. ``make revisions`` records the source as it is,
and raises the numbers of the parts whose results on pinned inputs have changed (tests/revisions).
"""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from pipeline.files.atomic import write_text

SOURCE = Path(__file__).resolve().parents[1]
"""The folder that the packages lie in."""
DIGITS = 16
"""Of a digest; the parts are few."""


class Revisions:
    """Parts of the code and what is recorded of each.

    Attributes:
        record: the JSON file: part -> {revision, code}.
        parts: name -> its files and folders, relative to ``SOURCE``.
    """

    def __init__(self, record: Path, parts: Mapping[str, Iterable[str]]) -> None:
        self.record = record
        self.parts = {name: tuple(paths) for name, paths in parts.items()}

    def of(self, part: str) -> str:
        """``3``, or ``3+0f1e...`` where the source is not the recorded one."""
        recorded = self.recorded()[part]
        code = code_digest(self.parts[part])
        number = str(recorded["revision"])
        return number if code == recorded["code"] else f"{number}+{code}"

    def recorded(self) -> dict[str, dict[str, str | int]]:
        """What the file says."""
        known: dict[str, dict[str, str | int]] = json.loads(self.record.read_text(encoding="utf-8"))
        return known

    def write(self, numbers: Mapping[str, int]) -> None:
        """Record the source as it is, with these numbers."""
        document = {
            part: {"revision": numbers[part], "code": code_digest(paths)}
            for part, paths in self.parts.items()
        }
        write_text(self.record, json.dumps(document, indent=2, sort_keys=True) + "\n")


@cache
def code_digest(paths: tuple[str, ...]) -> str:
    """A digest of what Python files say, whatever stands in their comments and docstrings.

    Args:
        paths: files, and folders with all in them, relative to ``SOURCE``.
    """
    digest = sha256()
    for path in paths:
        place = SOURCE / path
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(SOURCE).as_posix().encode() + b"\0")
            digest.update(bare_code(file.read_text(encoding="utf-8")).encode() + b"\0")
    return digest.hexdigest()[:DIGITS]


def bare_code(text: str) -> str:
    """Python source without comments, docstrings, blank lines and trailing blanks.

    By the places of both in the text, as a tree written out anew differs from one Python to the next.

    Example:
        >>> bare_code('def f():  # why\\n    "What."\\n\\n    return 1')
        'def f():\\n    return 1'
    """
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for first, last in _docstrings(text):
        if not lines[first - 1].strip().startswith(('"', "'", "r")):
            continue  # behind something else in its line
        lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _docstrings(text: str) -> list[tuple[int, int]]:
    """First and last line of every string that stands alone: docstrings of functions, classes, attributes."""
    return [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


ROWS = Revisions(
    Path(__file__).with_name("revisions.json"),
    {
        "decoding": ("pipeline/video/decode.py", "pipeline/video/container.py", "pipeline/video/probe.py"),
        "dis": ("pipeline/flow/dis.py",),
        "gmflow": (
            "pipeline/flow/gmflow",
            "pipeline/flow/gmflow_models.py",
            "pipeline/flow/networks.py",
        ),
        "networks": (
            "pipeline/flow/networks.py",
            "pipeline/flow/ptlflow_models.py",
            "pipeline/flow/torchvision_models.py",
        ),
        "resampling": ("pipeline/flow/resampling.py",),
        "kinematics": ("pipeline/kinematics.py", "pipeline/video/frames2kinematics.py"),
    },
)
"""What the arrays of a row are made by. How they are laid out in the store is the schema's number."""


def row_code(flow_model: str) -> dict[str, str]:
    """The revisions that a row's arrays depend on, with one flow model; those of version 0.1 are left out.

    So its rows, which tell of no revisions, are kept where nothing has changed.
    """
    engine = next((name for name in ("dis", "gmflow") if flow_model.startswith(name)), "networks")
    found = {part: ROWS.of(part) for part in ("decoding", engine, "resampling", "kinematics")}
    return {part: revision for part, revision in found.items() if revision != "1"}
