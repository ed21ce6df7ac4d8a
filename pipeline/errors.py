"""Mistakes a user can mend: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

OF_THE_MACHINE = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE),
    }
)
"""Troubles with files that say nothing against the program: full disk, no permission, a folder in the way."""


class ToldError(click.ClickException):
    """An error that is printed as one message, without a traceback, on the command line."""

    def format_message(self) -> str:
        """The message as it is printed: control characters (a file's name may hold them) are escaped."""
        return "".join(
            char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in self.message
        )


class UserError(ToldError):
    """An error in what the user gave us (a file, a row, a parameter), not in the program.

    On the command line it ends the program with exit code 2; from Python it is an ordinary exception.
    """

    exit_code = 2


class InternalError(ToldError):
    """Faults of the program in some of many videos, told after the others were done.

    Each has left its traceback in a file that the message names. Exit code 1.
    """

    exit_code = 1


class ParamsError(UserError):
    """One or several wrong entries in a parameter file, reported together."""


class VideoError(UserError):
    """A video file that cannot be opened or decoded as it claims to be."""


class StoreError(UserError):
    """A flow store, or a row of it, that is missing, foreign, stale or incomplete."""


class StorageError(StoreError):
    """Object storage that did not answer, or refused; asking again later may help."""


class WeightsError(UserError):
    """Model weights that are missing, unreadable or belong to another architecture."""


NO_OPENCV = """OpenCV cannot be loaded ({error}). Without a display, install its build without windows:
pip uninstall --yes opencv-python opencv-python-headless && pip install opencv-python-headless"""
"""ptlflow asks for the build with windows, which needs libGL, and pip puts both into one folder."""


@contextmanager
def telling() -> Iterator[None]:
    """Turn what the machine refuses (disk space, permission, memory, a library) into messages that say so.

    Raises:
        UserError: in the place of an OSError of ``OF_THE_MACHINE``, of a MemoryError, and of an ImportError
            of OpenCV.
    """
    try:
        yield
    except ImportError as error:
        if error.name != "cv2":
            raise
        raise UserError(NO_OPENCV.format(error=error)) from error
    except OSError as error:
        if isinstance(error, click.ClickException) or error.errno not in OF_THE_MACHINE:
            raise
        names = [
            os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
        ]
        where = f"{' -> '.join(names)}: " if names else ""
        raise UserError(
            f"{where}{error.strerror}; fix that and run the command again; finished work is kept"
        ) from error
    except MemoryError as error:
        raise UserError(
            f"not enough memory ({error}); use smaller pictures, batches or fewer workers"
        ) from error


class Command(click.Command):
    """A command that tells what the machine refuses."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        with telling():
            return super().invoke(ctx)


class Group(click.Group):
    """Commands that tell what the machine refuses."""

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        """Run one of them."""
        with telling():
            return super().invoke(ctx)
