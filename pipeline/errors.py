"""Mistakes a user can mend: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

import click


class UserError(click.ClickException):
    """An error in what the user gave us (a file, a row, a parameter), not in the program.

    On the command line it is printed as one message, without a traceback, and ends the program with
    exit code 2; from Python it is an ordinary exception.
    """

    exit_code = 2

    def format_message(self) -> str:
        """The message as it is printed: control characters (a file's name may hold them) are escaped."""
        return "".join(
            char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in self.message
        )


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
