"""Rows in a folder: written beside the others under a hidden name, then renamed into place in one step."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from pipeline.errors import StoreError
from pipeline.files.atomic import beside, sweep, written_beside
from pipeline.files.owner import is_abandoned, owner_tag, tag_pattern
from pipeline.store.place import DOCUMENT
from pipeline.store.schema import ARRAYS, as_bytes

HIDDEN = re.compile(rf"\.(?:writing|trash)@{tag_pattern('@')}")


class LocalPlace:
    """A folder. Reading is safe while others write: a row is replaced by renaming."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.shown = str(self.path)

    def is_empty(self) -> bool:
        """Whether there is no such folder, or nothing in it but a root document that another just writes."""
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(
            entry.name.startswith(f".{DOCUMENT}.") for entry in self.path.iterdir()
        )

    def names(self) -> list[str]:
        """All entries, whatever they are, but hidden ones."""
        with os.scandir(self.path) as entries:
            return sorted(
                entry.name for entry in entries if not entry.name.startswith(".") and entry.name != DOCUMENT
            )

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """The document of every folder that has one."""
        for name in self.names():
            try:
                yield name, (self.path / name / DOCUMENT).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue

    def read(self, keys: Sequence[str]) -> list[bytes]:
        """The files' contents."""
        contents = []
        for key in keys:
            try:
                with open(f"{self.path}/{key}", "rb", buffering=0) as file:  # noqa: PTH123 - read often: twice as fast
                    contents.append(file.read())
            except (FileNotFoundError, NotADirectoryError) as error:
                raise FileNotFoundError(key) from error
        return contents

    def write(self, key: str, content: bytes) -> None:
        """Write beside, then rename."""
        with written_beside(self.path / key) as temporary:
            temporary.write_bytes(content)

    def edit(self, row_id: str, change: Callable[[bytes], bytes]) -> None:
        """Within the row's folder as it is now, wherever it may be moved meanwhile: write beside, rename."""
        try:
            folder = os.open(self.path / row_id, os.O_RDONLY | os.O_DIRECTORY)
        except NotADirectoryError as error:
            raise FileNotFoundError(row_id) from error
        temporary = beside(Path(DOCUMENT)).name

        def opener(name: str, flags: int) -> int:
            return os.open(name, flags, 0o666, dir_fd=folder)

        try:
            sweep(folder)
            with open(DOCUMENT, "rb", opener=opener) as file:
                content = file.read()
            with open(temporary, "xb", opener=opener) as changed:
                changed.write(change(content))
                changed.flush()
                os.fsync(changed.fileno())
            os.replace(temporary, DOCUMENT, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            os.close(folder)

    def version(self, row_id: str) -> tuple[int, int, int]:
        """Of the file that a replaced row, or one with new labels, has anew."""
        try:
            found = os.stat(f"{self.path}/{row_id}/{DOCUMENT}")  # noqa: PTH116 - asked for twice per clip
        except NotADirectoryError as error:
            raise FileNotFoundError(row_id) from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    def sizes(self, prefix: str) -> dict[str, int]:
        """All files below, at any depth."""
        return {
            path.relative_to(self.path / prefix).as_posix(): path.stat().st_size
            for path in (self.path / prefix).rglob("*")
            if path.is_file()
        }

    def has_data(self, name: str) -> bool:
        """Whether the folder has a subfolder of an array's name."""
        return any((self.path / name / array).is_dir() for array in ARRAYS)

    @contextmanager
    def attempt(self, row_id: str) -> Iterator[LocalAttempt]:
        """A hidden folder beside the row's."""
        temporary = hidden_path(self.path, "writing")
        try:
            yield LocalAttempt(temporary, self.path / row_id)
        finally:
            if temporary.exists():
                shutil.rmtree(temporary)

    def remove(self, row_id: str) -> None:
        """Rename, then delete."""
        old = _renamed_away(self.path / row_id)
        if old is not None:
            shutil.rmtree(old)

    def leftovers(self) -> list[str]:
        """Hidden folders that nobody works on."""
        found = []
        for path in self.path.iterdir():
            match = HIDDEN.fullmatch(path.name)
            if match is not None and is_abandoned(match, partial(_last_change_s, path)):
                found.append(path.name)
        return sorted(found)

    def discard(self, leftover: str) -> None:
        """Delete a hidden folder."""
        shutil.rmtree(self.path / leftover, ignore_errors=True)  # another builder may be deleting it, too


class LocalAttempt:
    """A row being written into a hidden folder."""

    def __init__(self, temporary: Path, target: Path) -> None:
        self._temporary, self._target = temporary, target
        self.store = LocalStore(temporary)

    def commit(self, document: Mapping[str, Any]) -> None:
        """Write the document, flush all to the disk, rename the folder."""
        (self._temporary / DOCUMENT).write_bytes(as_bytes(document))
        _flush_to_disk(self._temporary)
        _put_in_place(self._temporary, self._target)


def hidden_path(store: Path, purpose: str) -> Path:
    """A fresh hidden name in the store that tells its owner: ``.writing@machine@process@id``."""
    return store / f".{purpose}@{owner_tag('@')}"


def _put_in_place(finished: Path, target: Path) -> None:
    """Rename a finished row to its name; a row that is there already makes way first.

    A reader never finds half a row: it sees the old one, for an instant none, then the new one.
    """
    for _ in range(10):
        old = _renamed_away(target)
        try:
            finished.rename(target)
        except OSError:
            # another builder put the same row here in between: its row makes way, too
            if not target.exists():
                raise
            continue
        finally:
            if old is not None:
                shutil.rmtree(old)
        _fsync(target.parent)
        return
    raise StoreError(f"{target}: other processes keep writing this row")


def _renamed_away(row: Path) -> Path | None:
    trash = hidden_path(row.parent, "trash")
    try:
        row.rename(trash)
    except FileNotFoundError:
        return None
    return trash


def _last_change_s(path: Path) -> float:
    newest = 0.0
    for folder, _, _ in os.walk(path):
        try:
            newest = max(newest, Path(folder).stat().st_mtime)
        except FileNotFoundError:  # its owner has just renamed or deleted it
            return time.time()
    return newest


def _flush_to_disk(path: Path) -> None:
    """fsync every file and directory below ``path``: the rename must not survive what it names."""
    for folder, _, files in os.walk(path):
        for name in files:
            _fsync(Path(folder) / name)
        _fsync(Path(folder))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
