"""Write beside, then rename: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.files.owner import is_abandoned, owner_tag, tag_pattern

LEFT_OVER = re.compile(rf"\..+\.{tag_pattern('@')}\.tmp")
"""Names that ``beside`` makes."""

SHOWN_CHARACTERS = 40
"""Of a file's name in the hidden one: file systems take 255 bytes, and a character may have four."""


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of writing to an open file."""


def beside(path: Path) -> Path:
    """A fresh hidden name next to ``path``, on the same file system, so that renaming it is atomic."""
    return path.with_name(f".{path.name[:SHOWN_CHARACTERS]}.{owner_tag('@')}.tmp")


@contextmanager
def written_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it becomes ``path``, otherwise it is deleted.

    The data are flushed to the disk before the rename, so that a power cut cannot leave an empty file
    under the final name. What killed processes left half written in the folder goes with the first file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(target.parent.absolute())
    temporary = beside(target)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    except OSError as error:
        if error.errno in NO_ROOM and error.filename is None:
            error.filename = str(target)  # the kernel says what, not where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path | int) -> None:
    """Delete what abandoned writers left half written in a folder: its path, or its descriptor."""
    # what cannot be seen or deleted is another user's: no reason not to write
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = LEFT_OVER.fullmatch(entry.name)
            if match is not None:
                with suppress(OSError):
                    _delete_if_abandoned(entry, match, folder if isinstance(folder, int) else None)


def _delete_if_abandoned(entry: os.DirEntry[str], match: re.Match[str], folder: int | None) -> None:
    if is_abandoned(match, lambda: entry.stat(follow_symlinks=False).st_mtime):
        os.unlink(entry.path, dir_fd=folder)


_sweep_once = cache(sweep)


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
