"""Open, read and edit a flow store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import StoreError
from pipeline.kinematics import Coding, Field
from pipeline.params import StoreParams
from pipeline.spans import Spans
from pipeline.store.chunks import StoredArray, read_frames
from pipeline.store.local import LocalPlace
from pipeline.store.place import DOCUMENT, Place
from pipeline.store.row import DAMAGED, RowDocument
from pipeline.store.schema import ARRAYS, ROOT_KEY, SCHEMA, RowAttributes, Window, as_bytes, check_row_id
from pipeline.store.validation import examine
from pipeline.store.writer import RowWriter

MAX_OPENED = 20_000
"""Rows whose layout is kept in memory, some 3 kB each."""

MAX_REPLACED = 5
"""How often in a row a reader puts up with a row being replaced while it reads."""


class FlowStore:
    """A flow store. Reading is safe from several threads; every process opens its own.

    Attributes:
        place: where it lies.
        name: the place's name in messages.
    """

    def __init__(self, place: str | os.PathLike[str] | Place) -> None:
        """Open an existing store: a folder, or any place.

        Raises:
            StoreError: nothing is there, it is not a flow store, or a newer program wrote it.
        """
        self.place: Place = LocalPlace(place) if isinstance(place, (str, os.PathLike)) else place
        self.name = self.place.shown
        _check_root(self.place)
        self._opened: dict[str, _Opened] = {}
        self._lock = Lock()

    @property
    def path(self) -> Path:
        """The folder of a store on this machine.

        Raises:
            StoreError: it lies on object storage.
        """
        if not isinstance(self.place, LocalPlace):
            raise StoreError(f"{self.name}: this store is not a folder")
        return self.place.path

    def row_ids(self) -> list[str]:
        """The complete rows, sorted."""
        return list(self.fingerprints())

    def fingerprints(self) -> dict[str, str]:
        """Row -> the fingerprint of what it was made from, of all complete rows, sorted."""
        found = {}
        for row_id, document in self.documents():
            fingerprint = None if document is None else document.attributes.get("fingerprint")
            if fingerprint is not None:
                found[row_id] = str(fingerprint)
        return found

    def documents(self) -> Iterator[tuple[str, RowDocument | None]]:
        """(row, what its document says) of all that looks like a row, sorted; None: not a complete row's.

        One pass, with many requests at once on object storage; nothing is kept.
        """
        for row_id, content in self.place.documents():
            try:
                yield row_id, RowDocument.parse(row_id, content)
            except DAMAGED:
                yield row_id, None

    def rows(self) -> Iterator[tuple[str, RowAttributes]]:
        """(row, its attributes) of all complete rows, sorted; in one pass.

        Raises:
            StoreError: a row's attributes are damaged.
        """
        for row_id, document in self.documents():
            if document is not None:
                yield row_id, self._typed(row_id, document)

    def fingerprint(self, row_id: str) -> str | None:
        """The fingerprint of what a row was made from; None where there is no complete row."""
        try:
            fingerprint = self.document(row_id).attributes.get("fingerprint")
        except StoreError:
            return None
        return None if fingerprint is None else str(fingerprint)

    def attributes(self, row_id: str) -> RowAttributes:
        """A row's attributes.

        Raises:
            StoreError: no such row, or its attributes are not what this version writes.
        """
        return self._typed(row_id, self.document(row_id))

    def document(self, row_id: str) -> RowDocument:
        """What a complete row's document says; StoreError where there is none."""
        try:
            (content,) = self.place.read([f"{check_row_id(row_id)}/{DOCUMENT}"])
        except FileNotFoundError as error:
            raise StoreError(f"{self.name}: there is no row {row_id}") from error
        except OSError as error:
            raise StoreError(f"{self.name}: row {row_id} cannot be read ({error})") from error
        return self._parsed(row_id, content)

    @cached_property
    def coding(self) -> Coding:
        """The coding all rows share, looked up once.

        Raises:
            StoreError: the store has no rows, rows of several codings, or rows with damaged attributes.
        """
        codings = {attributes.coding for _, attributes in self.rows()}
        if len(codings) != 1:
            found = "no rows" if not codings else f"rows of {len(codings)} codings"
            raise StoreError(f"{self.name}: {found}; run the flows stage (`dvc repro flows`) again")
        return codings.pop()

    def read(self, row_id: str, start: int, stop: int) -> Window:
        """Frames [start, stop) of a row, as stored; all from the same row, even if it is being replaced.

        Raises:
            StoreError: no such row, or a part of it is missing or damaged.
            IndexError: the row has no such frames.
        """
        frames, velocity, inflection, time_s = self._frames(row_id, start, stop, ARRAYS)
        return Window(frames, velocity, inflection, time_s)

    def frames_and_velocity(self, row_id: str, start: int, stop: int) -> tuple[npt.NDArray[np.uint8], Field]:
        """Frames [start, stop) and their velocity, as stored: an inflection can be made of it.

        Raises:
            StoreError, IndexError: as in ``read``.
        """
        frames, velocity = self._frames(row_id, start, stop, ("frames", "velocity"))
        return frames, velocity

    def reader(self, row_id: str) -> Callable[[int, int], Window]:
        """``read`` of one row: (start, stop) -> its frames."""
        return lambda start, stop: self.read(row_id, start, stop)

    def times_s(self, row_id: str) -> npt.NDArray[np.float64]:
        """float64 (n,): the presentation times of a row in seconds."""
        (time_s,) = self._frames(row_id, 0, None, ("time",))
        return time_s

    @contextmanager
    def writer(
        self, row_id: str, attributes: RowAttributes, times_s: npt.NDArray[np.float64], layout: StoreParams
    ) -> Iterator[RowWriter]:
        """Write a row; it appears (or replaces the old one) when the block ends well, otherwise not at all.

        Args:
            attributes: of the row; the saturation counts are filled in from the chunks that come.
            times_s: (n,) presentation times in seconds.
            layout: codec and frames per chunk.

        Raises:
            VideoError: another number of frames came than ``attributes.n_frames``.
        """
        with self.place.attempt(check_row_id(row_id)) as attempt:
            row = RowWriter(attempt.store, attributes, times_s, layout)
            yield row
            attempt.commit(row.finish())

    def update_labels(self, row_id: str, labels: Sequence[int], annotated: Spans) -> None:
        """Replace a row's labels in one step; its arrays and fingerprint stay.

        Raises:
            StoreError: no such row, it is damaged, or another builder has just replaced it.
        """

        def change(content: bytes) -> bytes:
            document = self._parsed(row_id, content)
            try:
                return as_bytes(document.with_labels(labels, annotated).to_json())
            except DAMAGED as error:
                raise StoreError(
                    f"{self.name}: row {row_id} is damaged ({error}); `ta2net repair` removes it"
                ) from error

        try:
            self.place.edit(check_row_id(row_id), change)
        except FileNotFoundError as error:
            raise StoreError(f"{self.name}: there is no row {row_id}") from error

    def remove(self, row_id: str, *, unless: str | None = None) -> None:
        """Remove a row, if it is there.

        Args:
            unless: a fingerprint; a row that carries it stays (another builder has just made it right).
        """
        if unless is None or self.fingerprint(row_id) != unless:
            self.place.remove(check_row_id(row_id))

    def remove_leftovers(self) -> int:
        """Delete what killed builders left behind, and return how many rows' beginnings that were.

        What a builder is at work on, here or on another machine, is left alone.
        """
        leftovers = self.place.leftovers()
        for leftover in leftovers:
            self.place.discard(leftover)
        return len(leftovers)

    def validate(self, *, deep: bool = False) -> list[str]:
        """What is wrong with the store, one message each; an empty list means nothing is.

        Args:
            deep: also read every byte, compare checksums, and rebuild every inflection.
        """
        return [str(problem) for problem in examine(self.place, deep=deep).problems]

    def _parsed(self, row_id: str, content: bytes) -> RowDocument:
        try:
            return RowDocument.parse(row_id, content)
        except DAMAGED as error:
            raise StoreError(f"{self.name}: {row_id} is not a row of a flow store ({error})") from error

    def _typed(self, row_id: str, document: RowDocument) -> RowAttributes:
        try:
            return document.row_attributes()
        except DAMAGED as error:
            raise StoreError(f"{self.name}: the attributes of row {row_id} are damaged ({error})") from error

    def _frames(
        self, row_id: str, start: int, stop: int | None, names: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Frames [start, stop) (to the end: None) of some arrays, all of one version of the row."""
        for _ in range(MAX_REPLACED):
            opened = self._open(row_id)
            n = opened.arrays["frames"].shape[0]
            end = n if stop is None else stop
            if not 0 <= start <= end <= n:
                raise IndexError(f"row {row_id} has frames 0 to {n - 1}; asked for [{start}, {end})")
            try:
                frames = read_frames(self.place, [opened.arrays[name] for name in names], start, end)
                if self.place.version(row_id) == opened.version:
                    return frames
            except FileNotFoundError as error:
                # the row has just been replaced or removed; if it has not, it lacks a chunk
                if self._open(row_id, anew=True) == opened:
                    raise StoreError(f"{self._damaged(row_id)}: {error} is missing") from error
            except ValueError as error:
                if self._open(row_id, anew=True) == opened:
                    raise StoreError(f"{self._damaged(row_id)}: {error}") from error
        raise StoreError(f"{self.name}: other processes keep replacing row {row_id}")

    def _open(self, row_id: str, *, anew: bool = False) -> _Opened:
        """The row's arrays, looked up once for as long as the row is not replaced."""
        try:
            version = self.place.version(check_row_id(row_id))
        except FileNotFoundError as error:
            raise StoreError(f"{self.name}: there is no row {row_id}") from error
        with self._lock:
            opened = self._opened.get(row_id)
        if opened is not None and opened.version == version and not anew:
            return opened
        try:
            opened = _Opened(version, self.document(row_id).arrays())
        except DAMAGED as error:
            raise StoreError(f"{self._damaged(row_id)}: {error}") from error
        with self._lock:
            if len(self._opened) >= MAX_OPENED:
                self._opened.clear()
            self._opened[row_id] = opened
        return opened

    def _damaged(self, row_id: str) -> str:
        cure = "`ta2net repair` removes it, the next build computes it again"
        return f"{self.name}: row {row_id} is damaged ({cure})"


@dataclass(frozen=True)
class _Opened:
    version: Hashable
    arrays: dict[str, StoredArray]


def create_store(place: str | os.PathLike[str] | Place) -> FlowStore:
    """Open the store at ``place``; make an empty one where there is none.

    Raises:
        StoreError: something else is there.
    """
    if not isinstance(place, Place):
        place = LocalPlace(place)
    if place.is_empty():
        place.write(
            DOCUMENT, as_bytes({"zarr_format": 3, "node_type": "group", "attributes": {ROOT_KEY: SCHEMA}})
        )
    return FlowStore(place)


def _check_root(place: Place) -> None:
    if place.is_empty():
        raise StoreError(
            f"{place.shown}: there is no flow store here; run `dvc repro flows` (or `make flows`) first"
        )
    foreign = f"{place.shown}: this is not a flow store; give store.path (or store.url) another place"
    try:
        (content,) = place.read([DOCUMENT])
        schema = json.loads(content)["attributes"][ROOT_KEY]
    except StoreError:
        raise
    except (OSError, *DAMAGED) as error:
        raise StoreError(foreign) from error
    if not isinstance(schema, int) or schema < 1:
        raise StoreError(foreign)
    if schema > SCHEMA:
        raise StoreError(
            f"{place.shown}: written by a newer version (schema {schema}, this one knows {SCHEMA})"
        )
