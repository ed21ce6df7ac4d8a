"""Where the rows of a flow store lie: a folder of this machine, or object storage."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from zarr.abc.store import Store

DOCUMENT = "zarr.json"
"""A Zarr group's metadata. A row is there when its document is, and says that the row is complete."""


class Attempt(Protocol):
    """A row being written, seen by nobody until it is committed."""

    @property
    def store(self) -> Store:
        """Where its arrays are written."""

    def commit(self, document: Mapping[str, Any]) -> None:
        """Make the row appear, or replace the old one, in one step; ``document`` is its group's metadata."""


@runtime_checkable
class Place(Protocol):
    """The operations a flow store asks of its place.

    Keys are relative, with ``/``. What a place cannot read or write raises OSError; on object storage
    StorageError, a missing key excepted, which is FileNotFoundError everywhere.
    """

    shown: str
    """The place's name in messages."""

    def is_empty(self) -> bool:
        """Whether nothing at all is there."""

    def names(self) -> list[str]:
        """What lies at the top, sorted, without the root document and hidden things."""

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """(name, document) of all that has one at the top, sorted by name; read concurrently if that pays."""

    def read(self, keys: Sequence[str]) -> list[bytes]:
        """The contents of several keys, read concurrently if that pays."""

    def write(self, key: str, content: bytes) -> None:
        """Replace a small object in one step."""

    def edit(self, row_id: str, change: Callable[[bytes], bytes]) -> None:
        """Replace a row's document by ``change`` of it, in one step, unless the row itself is being replaced.

        Raises:
            FileNotFoundError: no such row.
            StoreError: it was replaced at the same time, and nothing of the change is left.
        """

    def version(self, row_id: str) -> Hashable:
        """A value that changes whenever data already read could mix with a replaced row's; cheap to ask for.

        Raises:
            FileNotFoundError: no such row; only a place whose rows can change under one key need tell.
        """

    def sizes(self, prefix: str) -> dict[str, int]:
        """Key below ``prefix``, relative to it -> bytes, of all that is stored there."""

    def has_data(self, name: str) -> bool:
        """Whether arrays of a row of that name are there, whatever its document says."""

    def attempt(self, row_id: str) -> AbstractContextManager[Attempt]:
        """Begin to write a row; what was not committed when the block ends is deleted."""

    def remove(self, row_id: str) -> None:
        """Make a row unreadable in one step, then delete it; nothing happens where there is none."""

    def leftovers(self) -> list[str]:
        """What killed builders left behind: keys of unfinished or replaced rows that nobody works on.

        Those whose owner on this machine is dead, or in which nothing changed for a day; what a builder is
        at work on, here or on another machine, is not among them.
        """

    def discard(self, leftover: str) -> None:
        """Delete a leftover; another builder may be doing the same."""
