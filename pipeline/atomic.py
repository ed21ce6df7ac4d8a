"""Write beside, then rename: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
"""Names that ``beside`` makes."""


def beside(path: Path) -> Path:
    """A fresh hidden name next to ``path``, on the same file system, so that renaming it is atomic."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it becomes ``path``, otherwise it is deleted.

    The data are flushed to the disk before the rename, so that a power cut cannot leave an empty file
    under the final name.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(target)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Delete what killed writers left half written in a folder and below; nobody may be writing there."""
    for path in folder.rglob(".*.tmp"):
        if LEFT_OVER.fullmatch(path.name):
            path.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8) in one step."""
    with written_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """Replace ``path`` by ``document`` as indented JSON in one step; NaN and infinity are refused."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
