"""What a killed run leaves, in files or in a bucket: its states, its rows, and how it is compared."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from pipeline.store.row import RowDocument
from tests.object_storage import new_bucket

STORE, FAILURES, DOCUMENT, MANIFEST = "flows.zarr", "failures.json", "zarr.json", "manifest.json"
ROW_DOCUMENT = re.compile(rf"([^/.][^/]*)/{DOCUMENT}")
State = tuple[str, int, Any]


class Output(Protocol):
    """The place to which a kind of work writes, in a folder of its own each time."""

    def remove(self, work: Path) -> None:
        """Take away what the work makes."""

    def states(self, work: Path) -> set[State]:
        """The files that are there, as they are just now."""

    def digests(self, work: Path) -> dict[str, str]:
        """File -> SHA-256 of what is in it."""

    def wanted(self, base: Path) -> dict[str, str]:
        """``digests`` of an undisturbed run, by the base."""

    def rows(self, work: Path) -> dict[str, object]:
        """Finished row -> which version of it."""

    def unfinished(self, work: Path) -> int:
        """Rows that were begun and will never be finished."""


@dataclass(frozen=True)
class Files:
    """Files and folders of these names."""

    names: tuple[str, ...]

    def remove(self, work: Path) -> None:
        """Delete them."""
        for name in self.names:
            path = work / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def states(self, work: Path) -> set[State]:
        """Sizes and times."""
        found = set()
        for output in self.names:
            for folder, _, files in os.walk(work / output):
                for name in files:
                    with suppress(FileNotFoundError):
                        path = Path(folder, name)
                        status = path.stat()
                        found.add((str(path), status.st_size, status.st_mtime_ns))
        return found

    def digests(self, work: Path) -> dict[str, str]:
        """Of their bytes.

        Of a checkpoint: of its numbers, and of its document without how long steps took and which commit made
        it. ``live/`` holds such times beside the curves that are compared, and nothing else.
        """
        found = {}
        for output in self.names:
            top = work / output
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                name = path.relative_to(work).as_posix()
                if path.is_file() and "/live/" not in f"/{name}":
                    whole = path.suffix != ".safetensors" or path.name.startswith(".")
                    found[name] = sha256(path.read_bytes()).hexdigest() if whole else _of_checkpoint(path)
        return found

    def wanted(self, base: Path) -> dict[str, str]:
        """The same."""
        return self.digests(base)

    def rows(self, work: Path) -> dict[str, object]:
        """By their documents' files."""
        found: dict[str, object] = {}
        for path in (work / STORE).glob(f"[!.]*/{DOCUMENT}"):
            status = path.stat()
            found[path.parent.name] = (status.st_ino, status.st_mtime_ns)
        return found

    def unfinished(self, work: Path) -> int:
        """By their hidden folders."""
        return len(list((work / STORE).glob(".writing@*")))


class Bucket:
    """A store in a bucket of its own for every folder, besides the list of failures and the manifest."""

    def remove(self, work: Path) -> None:
        """Give the folder a fresh bucket; delete the files."""
        Files((STORE, FAILURES)).remove(work)
        (work / "bucket.json").write_text(json.dumps(f"{new_bucket()}/flows"))

    def url(self, work: Path) -> str:
        """Of the store."""
        return str(json.loads((work / "bucket.json").read_text()))

    def states(self, work: Path) -> set[State]:
        """Sizes and entity tags."""
        return {(key, info["size"], info["ETag"]) for key, info in self._objects(work).items()}

    def digests(self, work: Path) -> dict[str, str]:
        """Of all objects, under the names that they would have in a folder, and what the manifest says.

        A row's document tells where its arrays are; the rest of it by the checksum that it carries.
        """
        contents = self._contents(work)
        documents = {
            match[1]: RowDocument.parse(match[1], content)
            for key, content in contents.items()
            if (match := ROW_DOCUMENT.fullmatch(key))
        }
        row_at = {document.data_key: row for row, document in documents.items()}
        found = {f"{STORE}/{row}/{DOCUMENT}": str(one.checksum()) for row, one in documents.items()}
        for key, content in contents.items():
            attempt, rest = "/".join(key.split("/")[:2]), "/".join(key.split("/")[2:])
            # an attempt's own document is there for other programs only
            if not ROW_DOCUMENT.fullmatch(key) and (attempt not in row_at or rest != DOCUMENT):
                name = f"{row_at[attempt]}/{rest}" if attempt in row_at else key
                found[f"{STORE}/{name}"] = sha256(content).hexdigest()
        found[FAILURES] = sha256((work / FAILURES).read_bytes()).hexdigest()
        listed = json.loads((work / STORE / MANIFEST).read_text())["rows"]
        return found | {f"{MANIFEST} {row}": one["checksum"] for row, one in listed.items()}

    def wanted(self, base: Path) -> dict[str, str]:
        """From the store in a folder that the base has."""
        found = Files((STORE, FAILURES)).digests(base)
        for path in (base / STORE).glob(f"[!.]*/{DOCUMENT}"):
            row = path.parent.name
            checksum = str(RowDocument.parse(row, path.read_bytes()).checksum())
            found[f"{STORE}/{row}/{DOCUMENT}"] = found[f"{MANIFEST} {row}"] = checksum
        return found

    def rows(self, work: Path) -> dict[str, object]:
        """By their documents."""
        objects = self._objects(work)
        return {
            match[1]: info["ETag"] for key, info in objects.items() if (match := ROW_DOCUMENT.fullmatch(key))
        }

    def unfinished(self, work: Path) -> int:
        """Of all that were begun, those without a document."""
        objects = self._objects(work)
        return len({key.split("/")[1] for key in objects if key.startswith(".data/")}) - len(self.rows(work))

    def _objects(self, work: Path) -> dict[str, Any]:
        root = self.url(work).removeprefix("s3://")
        listed = _s3().find(root, detail=True).items()
        # while the first objects come, s3fs may answer with the prefix itself
        return {key.removeprefix(f"{root}/"): info for key, info in listed if info["type"] == "file"}

    def _contents(self, work: Path) -> dict[str, bytes]:
        root = self.url(work).removeprefix("s3://")
        contents = _s3().cat([f"{root}/{key}" for key in self._objects(work)])
        return {key.removeprefix(f"{root}/"): content for key, content in contents.items()}


@cache
def _s3() -> Any:
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


def _of_checkpoint(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="np") as handle:
        document = json.loads(handle.metadata()["ta2net"])
        parts = [(name, handle.get_tensor(name)) for name in sorted(handle.keys())]
    del document["provenance"]
    for timed in ("stalls", "wall_s", "waited_s"):
        document.get("progress", {}).pop(timed, None)
    digest = sha256(json.dumps(document, sort_keys=True).encode())
    for name, values in parts:
        digest.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
    return digest.hexdigest()
