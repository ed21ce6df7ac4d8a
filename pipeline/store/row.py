"""The document of a row: the Zarr group metadata that make its arrays readable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.files.owner import tag_pattern
from pipeline.spans import Spans
from pipeline.store.checksums import CHECKSUMS, DATA, document_checksum
from pipeline.store.chunks import StoredArray
from pipeline.store.schema import COMPLETE, EARLIER_LABELS, RowAttributes, array_layout, labels_json

DAMAGED = (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError, RecursionError)
"""What reading a document that is not a row's may raise."""

_DATA_KEY = re.compile(rf"\.data/[A-Za-z0-9_][A-Za-z0-9_.~-]*~{tag_pattern('~')}")


@dataclass(frozen=True)
class RowDocument:
    """What a row's document says.

    Attributes:
        row_id: the row.
        attributes: of the group, as JSON.
        metadata: array name -> its Zarr metadata.
        data_key: where the arrays lie: the row itself, or another key.
    """

    row_id: str
    attributes: dict[str, Any]
    metadata: dict[str, Any]
    data_key: str

    @classmethod
    def parse(cls, row_id: str, content: bytes) -> RowDocument:
        """Raises KeyError, TypeError, AttributeError or ValueError for anything but a complete row's."""
        document = json.loads(content)
        attributes = document["attributes"]
        if attributes["state"] != COMPLETE:
            raise ValueError("this row is not complete")
        if CHECKSUMS in attributes and not isinstance(attributes[CHECKSUMS]["document"], str):
            raise ValueError("its checksum is not text")
        if DATA in attributes:
            data_key, metadata = attributes[DATA]["key"], attributes[DATA]["metadata"]
            if not _DATA_KEY.fullmatch(data_key):
                raise ValueError(f"its data cannot lie at {data_key!r}")
        else:
            data_key, metadata = row_id, document["consolidated_metadata"]["metadata"]
        return cls(row_id, dict(attributes), dict(metadata), data_key)

    def to_json(self) -> dict[str, Any]:
        """The group's metadata; arrays right below the group are listed, so that one file opens them all."""
        if DATA in self.attributes:
            return _group(self.attributes)
        return row_document(self.attributes, self.metadata)

    def row_attributes(self) -> RowAttributes:
        """The attributes, typed; KeyError, TypeError, AttributeError or ValueError where they are damaged."""
        return RowAttributes.from_json(self.attributes)

    def arrays(self) -> dict[str, StoredArray]:
        """The four arrays; KeyError, TypeError or ValueError where their metadata are damaged."""
        names = array_layout(self.row_attributes())
        return {name: StoredArray.of(f"{self.data_key}/{name}", self.metadata[name]) for name in names}

    def checksum(self) -> str | None:
        """The checksum of the document that it states itself; None in rows of earlier versions."""
        checksums = self.attributes.get(CHECKSUMS)
        return None if checksums is None else str(checksums["document"])

    def with_labels(self, labels: Sequence[int], annotated: Spans) -> RowDocument:
        """The same row with other labels."""
        others = {name: value for name, value in self.attributes.items() if name not in EARLIER_LABELS}
        attributes = {**others, **labels_json(labels, annotated)}
        if CHECKSUMS in attributes:
            checksum = document_checksum(attributes, self.metadata)
            attributes[CHECKSUMS] = {**attributes[CHECKSUMS], "document": checksum}
        return RowDocument(self.row_id, attributes, self.metadata, self.data_key)


def row_document(attributes: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a group with these attributes, and arrays with these metadata right below it."""
    consolidated = {"kind": "inline", "must_understand": False, "metadata": dict(metadata)}
    return {**_group(attributes), "consolidated_metadata": consolidated}


def pointing_document(document: Mapping[str, Any], data_key: str) -> dict[str, Any]:
    """``row_document`` of a row whose arrays lie elsewhere.

    They are not listed as arrays of the group: a program that looked for them there would find no chunks, and
    take them for zeros.
    """
    data = {"key": data_key, "metadata": document["consolidated_metadata"]["metadata"]}
    return _group({**document["attributes"], DATA: data})


def data_key_of(content: bytes) -> str | None:
    """Where the arrays lie of a row with this document; None if it does not say so, or is damaged."""
    try:
        key = json.loads(content)["attributes"][DATA]["key"]
    except (ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) and _DATA_KEY.fullmatch(key) else None


def _group(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
