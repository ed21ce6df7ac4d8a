"""Reading small files whole: plain files only, and only up to a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_bytes(path: str | os.PathLike[str], limit_bytes: int) -> bytes:
    """The bytes of a plain file.

    Raises:
        OSError: it is missing, cannot be read, is larger than ``limit_bytes``, or is a folder, a pipe or a
            device: reading one of those may never end.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError("a folder, not a file" if stat.S_ISDIR(mode) else "a pipe or device, not a file")
    with Path(path).open("rb") as handle:
        data = handle.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(f"larger than {limit_bytes} bytes")
    return data


def read_text(path: str | os.PathLike[str], limit_bytes: int) -> str:
    """The text of a plain UTF-8 file.

    Raises:
        OSError: see ``read_bytes``.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, limit_bytes).decode("utf-8")
