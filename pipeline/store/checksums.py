"""SHA-256 of what a row consists of, taken from the very bytes that were handed over to be stored.

Per array: over one line ``<sha256>  <key>`` per stored object (its metadata and its chunks), sorted by key,
as ``sha256sum`` prints them. Of the document: over its attributes and the arrays' metadata as canonical JSON.
Neither depends on the machine, on the order of writing, or on where the row lies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from pipeline.store.place import DOCUMENT
from pipeline.store.schema import fingerprint_of

CHECKSUMS = "checksums"
"""The attribute that holds them; rows written by earlier versions have none."""
DATA = "data"
"""The attribute that names where a row's arrays lie, if not right below its document."""


@dataclass(frozen=True)
class ArrayChecksum:
    """Of one array.

    Attributes:
        objects: how many files or objects it is stored in, its metadata among them.
        size: bytes of all of them.
        sha256: of the list of their checksums.
    """

    objects: int
    size: int
    sha256: str

    @classmethod
    def of(cls, objects: Mapping[str, tuple[int, str]]) -> ArrayChecksum:
        """From key within the array -> (bytes, SHA-256) of each object."""
        lines = "".join(f"{objects[key][1]}  {key}\n" for key in sorted(objects))
        size = sum(size for size, _ in objects.values())
        return cls(len(objects), size, hashlib.sha256(lines.encode()).hexdigest())


class RecordingStore(WrapperStore[Store]):
    """Passes all on to another store; keeps size and SHA-256 of what is written, and arrays' metadata."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._known: dict[str, tuple[int, str]] = {}
        self._metadata: dict[str, Any] = {}

    async def set(self, key: str, value: Buffer) -> None:
        """Write one object."""
        await super().set(key, value)
        content = value.to_bytes()
        self._known[key] = (len(content), hashlib.sha256(content).hexdigest())
        if key.endswith(f"/{DOCUMENT}"):
            self._metadata[key.removesuffix(f"/{DOCUMENT}")] = json.loads(content)

    def metadata(self, array: str) -> Any:
        """The Zarr metadata of an array, as written."""
        return self._metadata[array]

    def checksum(self, array: str) -> ArrayChecksum:
        """Of everything written below ``array``."""
        below = f"{array}/"
        return ArrayChecksum.of(
            {key.removeprefix(below): known for key, known in self._known.items() if key.startswith(below)}
        )


def sealed(
    attributes: Mapping[str, Any],
    metadata: Mapping[str, Any],
    arrays: Mapping[str, ArrayChecksum],
) -> dict[str, Any]:
    """``attributes`` with the checksums of the arrays, and with one of all that the document says."""
    result = {**attributes, CHECKSUMS: {"arrays": {name: asdict(array) for name, array in arrays.items()}}}
    result[CHECKSUMS]["document"] = document_checksum(result, metadata)
    return result


def document_checksum(attributes: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Of a row's attributes (but this very checksum, and where its data lie) and its arrays' metadata."""
    stated = {key: value for key, value in attributes.items() if key not in (CHECKSUMS, DATA)}
    stated[CHECKSUMS] = {key: value for key, value in attributes[CHECKSUMS].items() if key != "document"}
    return fingerprint_of({"attributes": stated, "metadata": dict(metadata)})
