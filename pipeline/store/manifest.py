"""manifest.json: what a store elsewhere holds, in a file that version control can track.

::

    {
      "flow_store": 1,
      "url": "s3://bucket/flows",
      "rows": {
        "<row id>": {"fingerprint": "<SHA-256>", "checksum": "<SHA-256 of the row's document>"},
        ...
      }
    }
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.files.address import check_address
from pipeline.files.atomic import written_beside
from pipeline.store.row import RowDocument
from pipeline.store.schema import SCHEMA

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Listed:
    """A row as the manifest lists it; rows of earlier versions have no checksum."""

    fingerprint: str
    checksum: str | None


@dataclass(frozen=True)
class Manifest:
    """Where the rows are, and what each is made from."""

    url: str
    rows: dict[str, Listed]


def write_manifest(documents: Iterable[tuple[str, RowDocument | None]], url: str, folder: str | Path) -> None:
    """List the rows of the store at ``url`` in ``folder``; the same rows always give the same file.

    Args:
        documents: ``FlowStore.documents``.
    """
    with (
        written_beside(Path(folder) / MANIFEST) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        file.write(f'{{\n  "flow_store": {SCHEMA},\n  "url": {json.dumps(url)},\n  "rows": {{')
        separator = "\n"
        for row_id, document in documents:
            if document is not None and "fingerprint" in document.attributes:
                listed = {"fingerprint": document.attributes["fingerprint"], "checksum": document.checksum()}
                file.write(f"{separator}    {json.dumps(row_id)}: {json.dumps(listed)}")
                separator = ",\n"
        file.write("\n  }\n}\n")


def read_manifest(folder: str | Path) -> Manifest:
    """Read what ``write_manifest`` wrote.

    Raises:
        StoreError: it is missing, damaged, or of a newer version.
    """
    path = Path(folder) / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["flow_store"] > SCHEMA:
            raise StoreError(f"{path}: written by a newer version; this one knows {SCHEMA}")
        rows = {
            str(row_id): Listed(str(listed["fingerprint"]), listed["checksum"])
            for row_id, listed in document["rows"].items()
        }
        return Manifest(check_address(document["url"]), rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path}: not the manifest of a flow store ({error}); build the store again"
        ) from error
