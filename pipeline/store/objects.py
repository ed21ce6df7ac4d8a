"""Rows on object storage (S3, Google Cloud Storage, ...): visible by one PUT of their document.

There is no renaming there. A row's arrays are written under a key of their own that no other builder uses,
``.data/<row>~<machine>~<process>~<id>``, and never change; ``<row>/zarr.json`` then says where they are.
Replacing a row is one PUT of that document, after which the old arrays are deleted. A reader that comes upon
deleted arrays asks the document again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import fsspec
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from pipeline.errors import StorageError, StoreError
from pipeline.files.owner import is_abandoned, owner_tag, tag_pattern
from pipeline.store.place import DOCUMENT
from pipeline.store.row import data_key_of, pointing_document
from pipeline.store.schema import as_bytes

DATA_FOLDER = ".data"
ATTEMPT = re.compile(rf"(?P<row_id>.+)~{tag_pattern('~')}")

OPTIONS = {"use_listings_cache": False}
"""For every file system: others write there, too, so what was listed once is not to be believed."""

DOCUMENTS_AT_ONCE = 1000

EXTRAS = {"s3": "ta2net[s3]", "s3a": "ta2net[s3]"}
"""Protocol -> what to install for it; of others fsspec knows the package."""


class ObjectPlace:
    """A prefix of a bucket, through any fsspec file system.

    Credentials come from where the file system looks for them by itself: the environment and its files.
    """

    def __init__(self, url: str) -> None:
        """Raises StoreError if the protocol is unknown or its package is not installed."""
        self.shown = url.rstrip("/")
        protocol = self.shown.partition("://")[0]
        try:
            self._fs, root = fsspec.url_to_fs(self.shown, **OPTIONS)
        except ImportError as error:
            package = EXTRAS.get(protocol)
            advice = f"pip install '{package}'" if package else str(error)
            raise StoreError(
                f"{self.shown}: the package for {protocol}:// is not installed; {advice}"
            ) from error
        except ValueError as error:
            raise StoreError(f"{self.shown}: {error}") from error
        self._root = root.rstrip("/")

    def is_empty(self) -> bool:
        """Whether no object has this prefix."""
        with self.told("list"):
            try:
                return not self._fs.ls(self._root, detail=False)
            except FileNotFoundError:
                return True

    def names(self) -> list[str]:
        """The first parts of all keys."""
        return [name for name in self._listed("") if not name.startswith(".") and name != DOCUMENT]

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """The documents, many at once."""
        names = self.names()
        for start in range(0, len(names), DOCUMENTS_AT_ONCE):
            some = names[start : start + DOCUMENTS_AT_ONCE]
            contents = self._read_many([f"{name}/{DOCUMENT}" for name in some])
            for name, content in zip(some, contents, strict=True):
                if content is not None:
                    yield name, content

    def read(self, keys: Sequence[str]) -> list[bytes]:
        """The objects' contents, all asked for at once."""
        contents = []
        for key, content in zip(keys, self._read_many(keys), strict=True):
            if content is None:
                raise FileNotFoundError(key)
            contents.append(content)
        return contents

    def write(self, key: str, content: bytes) -> None:
        """One PUT."""
        with self.told(f"write {key}", absence_passes=False):
            self._fs.pipe_file(f"{self._root}/{key}", content)

    def edit(self, row_id: str, change: Callable[[bytes], bytes]) -> None:
        """GET, then PUT."""
        (content,) = self.read([f"{row_id}/{DOCUMENT}"])
        changed = change(content)
        self.write(f"{row_id}/{DOCUMENT}", changed)
        try:
            self.read([f"{data_key_of(changed)}/{DOCUMENT}"])
        except FileNotFoundError as error:
            # another builder replaced the row in between, and deleted the arrays of which this one speaks
            self.remove(row_id)
            raise StoreError(f"{self.shown}: row {row_id} was just replaced; run the build again") from error

    def version(self, row_id: str) -> int:  # noqa: ARG002 - arrays under one key never change
        """Always the same."""
        return 0

    def sizes(self, prefix: str) -> dict[str, int]:
        """All objects whose keys begin with the prefix."""
        folder = f"{self._root}/{prefix}".rstrip("/")
        with self.told(f"list {prefix}"):
            found = self._fs.find(folder, detail=True)
        return {name.removeprefix(f"{folder}/"): int(info["size"]) for name, info in found.items()}

    def has_data(self, name: str) -> bool:
        """Whether any builder wrote arrays for a row of that name."""
        attempts = (ATTEMPT.fullmatch(key) for key in self._listed(DATA_FOLDER))
        return any(attempt is not None and attempt["row_id"] == name for attempt in attempts)

    @contextmanager
    def attempt(self, row_id: str) -> Iterator[ObjectAttempt]:
        """A fresh key for the row's arrays."""
        attempt = ObjectAttempt(self, row_id)
        try:
            yield attempt
        finally:
            if not attempt.committed:
                with suppress(StorageError):  # what ended the attempt is the error to report; see leftovers
                    self.delete(attempt.key)

    def remove(self, row_id: str) -> None:
        """Delete the document, then the arrays that it named; others may be being written."""
        try:
            data_key = self.data_key(row_id)
        except FileNotFoundError:
            return
        with self.told(f"delete {row_id}"):
            self._fs.rm_file(f"{self._root}/{row_id}/{DOCUMENT}")
        if data_key is not None:
            self.delete(data_key)

    def leftovers(self) -> list[str]:
        """Arrays that no document names and nobody works on."""
        attempts = {name: match for name in self._listed(DATA_FOLDER) if (match := ATTEMPT.fullmatch(name))}
        per_row = Counter(match["row_id"] for match in attempts.values())
        rows = set(self.names())
        return [
            f"{DATA_FOLDER}/{name}"
            for name, match in attempts.items()
            # a row's only arrays are those that its document names: no need to ask
            if (per_row[match["row_id"]] > 1 or match["row_id"] not in rows)
            and not self._is_named(match["row_id"], f"{DATA_FOLDER}/{name}")
            and is_abandoned(match, partial(self._last_change_s, name))
        ]

    def discard(self, leftover: str) -> None:
        """Delete arrays."""
        self.delete(leftover)

    def data_key(self, row_id: str) -> str | None:
        """Where the row's arrays are; None if its document is damaged. FileNotFoundError without one."""
        (content,) = self.read([f"{row_id}/{DOCUMENT}"])
        return data_key_of(content)

    def arrays_at(self, key: str) -> Store:
        """Zarr's view of a key, for writing."""
        url = f"{self.shown}/{key}"
        return _ToldStore(FsspecStore.from_url(url, storage_options=OPTIONS), self)

    def _is_named(self, row_id: str, data_key: str) -> bool:
        try:
            return self.data_key(row_id) == data_key
        except FileNotFoundError:
            return False

    def _last_change_s(self, attempt: str) -> float:
        """When something of it was last written, in seconds since 1970."""
        folder = f"{self._root}/{DATA_FOLDER}/{attempt}"
        with self.told("list"):
            written = [self._fs.modified(path).timestamp() for path in self._fs.find(folder)]
        return max(written, default=0.0)

    def _listed(self, prefix: str) -> list[str]:
        folder = f"{self._root}/{prefix}".rstrip("/")
        with self.told(f"list {prefix}"):
            try:
                paths = self._fs.ls(folder, detail=False)
            except FileNotFoundError:
                return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def _read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The contents; None for keys that are not there."""
        # a range from 0 spares the question for the size that some file systems ask first
        with self.told("read"):
            contents = self._fs.cat_ranges(
                [f"{self._root}/{key}" for key in keys], 0, None, on_error="return"
            )
        found: list[bytes | None] = []
        for key, content in zip(keys, contents, strict=True):
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                with self.told(f"read {key}"):
                    raise content
            found.append(None if isinstance(content, FileNotFoundError) else content)
        return found

    def delete(self, key: str) -> None:
        """Delete everything below a key; another builder may be doing the same."""
        with self.told(f"delete {key}"):
            try:
                self._fs.rm(f"{self._root}/{key}", recursive=True)
            except FileNotFoundError:
                return

    @contextmanager
    def told(self, doing: str, *, absence_passes: bool = True) -> Iterator[None]:
        """Report what goes wrong as StorageError.

        Args:
            doing: what is being done, for the message.
            absence_passes: FileNotFoundError passes; where something is written it means that the bucket is
                missing, and is an error like others.
        """
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if absence_passes and isinstance(error, FileNotFoundError):
                raise
            raise StorageError(
                f"{self.shown}: cannot {doing.strip()} ({type(error).__name__}: {error}); "
                "look at the address, the network, and the credentials in the environment"
            ) from error


class ObjectAttempt:
    """A row being written under a key of its own."""

    def __init__(self, place: ObjectPlace, row_id: str) -> None:
        self._place, self._row_id = place, row_id
        self.key = f"{DATA_FOLDER}/{row_id}~{owner_tag('~')}"
        self.store = place.arrays_at(self.key)
        self.committed = False

    def commit(self, document: Mapping[str, Any]) -> None:
        """PUT the arrays' group, so that any Zarr program can open it, then the row's document."""
        place = self._place
        place.write(f"{self.key}/{DOCUMENT}", as_bytes(document))
        try:
            replaced = place.data_key(self._row_id)
        except FileNotFoundError:
            replaced = None
        place.write(f"{self._row_id}/{DOCUMENT}", as_bytes(pointing_document(document, self.key)))
        self.committed = True
        if replaced is not None:
            with suppress(StorageError):  # the row is in its place; what stays of the old one is a leftover
                place.delete(replaced)


class _ToldStore(WrapperStore[Store]):
    """Reports the errors of an object store as those of its place."""

    def __init__(self, store: Store, place: ObjectPlace) -> None:
        super().__init__(store)
        self._place = place

    async def set(self, key: str, value: Buffer) -> None:
        """Write one object."""
        with self._place.told(f"write {key}", absence_passes=False):
            await super().set(key, value)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read one object."""
        with self._place.told(f"read {key}"):
            return await super().get(key, prototype, byte_range)
