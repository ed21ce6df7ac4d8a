"""The flow store: one Zarr group per Catalog row, complete or absent."""

from pipeline.store.flow_store import FlowStore, create_store
from pipeline.store.opening import open_or_create, open_store
from pipeline.store.schema import SCHEMA, RowAttributes, Window, fingerprint_of
from pipeline.store.writer import RowWriter

__all__ = [
    "SCHEMA",
    "FlowStore",
    "RowAttributes",
    "RowWriter",
    "Window",
    "create_store",
    "fingerprint_of",
    "open_or_create",
    "open_store",
]
