"""What became of many videos, told at the end: mistakes a user can mend, and faults of the program."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InternalError, UserError
from pipeline.files.atomic import write_text

ERROR_LOG = "error.log"


def told_fault(error: Exception, path: Path, folder: Path) -> str:
    """Write the traceback of a fault of the program into a video's folder of results; what to say of it.

    Where it cannot be written (a full disk may be what went wrong) it is part of what is said.
    """
    what = f"{path}: internal error ({type(error).__name__}: {error})"
    trace = "".join(traceback.format_exception(error))
    log = folder / ERROR_LOG
    try:
        write_text(log, f"{path}\n\n{trace}")
    except OSError as refusal:
        return (
            f"{what}; please report it with this, as {log} cannot be written ({refusal.strerror}):\n{trace}"
        )
    return f"{what}; please report it with {log}"


def raise_failures(mistakes: Sequence[str], faults: Sequence[str], videos: int) -> None:
    """Say at the end which of ``videos`` failed; nothing if none did.

    Raises:
        UserError: some did, by what a user can mend alone.
        InternalError: the program was at fault in at least one.
    """
    if not mistakes and not faults:
        return
    lines = [f"{len(mistakes) + len(faults)} of {videos} videos failed:", *mistakes, *faults]
    if faults:
        lines.append(f"{len(faults)} by a bug in the program; the videos themselves may be fine")
    message = "\n  ".join(lines)
    raise InternalError(message) if faults else UserError(message)
