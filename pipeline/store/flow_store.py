"""Open, read and edit a flow store."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from pipeline.atomic import write_json
from pipeline.errors import StoreError
from pipeline.kinematics import Coding
from pipeline.params import StoreParams
from pipeline.store.schema import (
    COMPLETE,
    ROOT_KEY,
    SAFE_ROW_ID,
    SCHEMA,
    RowAttributes,
    Window,
    check_row_id,
)
from pipeline.store.validation import row_problems
from pipeline.store.writer import RowWriter, hidden_path, put_in_place, remove_row

Arrays = dict[str, Any]


class FlowStore:
    """A flow store on disk. Reading is safe from several threads; every process opens its own."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open an existing store.

        Raises:
            StoreError: nothing is there, it is not a flow store, or a newer program wrote it.
        """
        self.path = Path(path)
        _check_root(self.path)
        self._opened: dict[str, tuple[tuple[int, int, int], Arrays]] = {}
        self._lock = Lock()

    def row_ids(self) -> list[str]:
        """The complete rows, sorted."""
        return sorted(
            entry.name
            for entry in self.path.iterdir()
            if not entry.name.startswith(".") and self.fingerprint(entry.name) is not None
        )

    def fingerprint(self, row_id: str) -> str | None:
        """The fingerprint of what a row was made from; None where there is no complete row."""
        try:
            attributes = _read_document(self.path / check_row_id(row_id))["attributes"]
        except StoreError:
            return None
        fingerprint = attributes.get("fingerprint")
        return None if fingerprint is None else str(fingerprint)

    def attributes(self, row_id: str) -> RowAttributes:
        """A row's attributes.

        Raises:
            StoreError: no such row, or its attributes are not what this version writes.
        """
        document = _read_document(self.path / check_row_id(row_id))
        try:
            return RowAttributes.from_json(document["attributes"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.path}: the attributes of row {row_id} are damaged ({error})") from error

    @cached_property
    def coding(self) -> Coding:
        """The coding all rows share, looked up once.

        Raises:
            StoreError: the store has no rows, or rows of several codings.
        """
        codings = {self.attributes(row_id).coding for row_id in self.row_ids()}
        if len(codings) != 1:
            found = "no rows" if not codings else f"rows of {len(codings)} codings"
            raise StoreError(f"{self.path}: {found}; run the flows stage (`dvc repro flows`) again")
        return codings.pop()

    def read(self, row_id: str, start: int, stop: int) -> Window:
        """Frames [start, stop) of a row, as stored.

        Raises:
            StoreError: no such row.
            IndexError: the row has no such frames.
        """
        arrays = self._arrays(row_id)
        n = arrays["frames"].shape[0]
        if not 0 <= start <= stop <= n:
            raise IndexError(f"row {row_id} has frames 0 to {n - 1}; asked for [{start}, {stop})")
        return Window(
            *(np.asarray(arrays[name][start:stop]) for name in ("frames", "velocity", "inflection", "time"))
        )

    def reader(self, row_id: str) -> Callable[[int, int], Window]:
        """``read`` of one row: (start, stop) -> its frames."""
        return lambda start, stop: self.read(row_id, start, stop)

    def times_s(self, row_id: str) -> npt.NDArray[np.float64]:
        """float64 (n,): the presentation times of a row in seconds."""
        return np.asarray(self._arrays(row_id)["time"][:])

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
        target, temporary = self.path / check_row_id(row_id), hidden_path(self.path, "writing")
        try:
            row = RowWriter(temporary, attributes, times_s, layout)
            yield row
            row.finish()
            put_in_place(temporary, target)
        finally:
            if temporary.exists():
                shutil.rmtree(temporary)

    def update_labels(self, row_id: str, hits: Sequence[int], annotated_until: int) -> None:
        """Replace a row's labels in one step; its arrays and fingerprint stay."""
        path = self.path / check_row_id(row_id)
        document = _read_document(path)
        document["attributes"].update(hits=list(hits), annotated_until=annotated_until)
        write_json(path / "zarr.json", document)

    def remove(self, row_id: str) -> None:
        """Remove a row, if it is there."""
        remove_row(self.path / check_row_id(row_id))

    def validate(self, *, deep: bool = False) -> list[str]:
        """What is wrong with the store, one message each; an empty list means nothing is.

        Args:
            deep: also decode every row and rebuild its inflection, which must come out bit for bit.
        """
        found = []
        for entry in sorted(self.path.iterdir()):
            if entry.name.startswith(".") or entry.name == "zarr.json":
                continue
            if not entry.is_dir() or not SAFE_ROW_ID.fullmatch(entry.name):
                found.append(f"{entry.name}: not a row of a flow store")
                continue
            try:
                of_row = row_problems(entry, self.attributes(entry.name), deep=deep)
            except StoreError as error:
                of_row = [error.message]
            found += [f"{entry.name}: {problem}" for problem in of_row]
        return found

    def _arrays(self, row_id: str) -> Arrays:
        """The row's arrays, opened once for as long as the row is not replaced."""
        path = self.path / check_row_id(row_id)
        try:
            found = (path / "zarr.json").stat()
        except OSError as error:
            raise StoreError(f"{self.path}: there is no row {row_id}") from error
        version = (found.st_mtime_ns, found.st_ino, found.st_size)
        with self._lock:
            opened = self._opened.get(row_id)
        if opened is not None and opened[0] == version:
            return opened[1]
        _read_document(path)
        arrays = dict(zarr.open_group(str(path), mode="r").arrays())
        with self._lock:
            self._opened[row_id] = (version, arrays)
        return arrays


def create_store(path: str | os.PathLike[str]) -> FlowStore:
    """Open the store at ``path``; make an empty one where there is none.

    Raises:
        StoreError: something else is there.
    """
    root = Path(path)
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        root.mkdir(parents=True, exist_ok=True)
        write_json(
            root / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {ROOT_KEY: SCHEMA}}
        )
    return FlowStore(root)


def _check_root(path: Path) -> None:
    if not path.exists():
        raise StoreError(
            f"{path}: there is no flow store here; run `dvc repro flows` (or `make flows`) first"
        )
    foreign = f"{path}: this is not a flow store; give store.path another place"
    try:
        document = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        schema = document["attributes"][ROOT_KEY]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(foreign) from error
    if not isinstance(schema, int) or schema < 1:
        raise StoreError(foreign)
    if schema > SCHEMA:
        raise StoreError(f"{path}: written by a newer version (schema {schema}, this one knows {SCHEMA})")


def _read_document(row: Path) -> dict[str, Any]:
    """A complete row's group metadata, checked to have attributes; StoreError where there is none."""
    try:
        document: dict[str, Any] = json.loads((row / "zarr.json").read_text(encoding="utf-8"))
        complete = document["attributes"]["state"] == COMPLETE
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"{row.parent}: there is no row {row.name}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{row}: this is not a row of a flow store ({error})") from error
    if not complete:
        raise StoreError(f"{row}: this row is not complete")
    return document
