"""Catalog rows as the model plane uses them: those that are in the store, and the annotated part of each."""

from __future__ import annotations

import click

from pipeline.catalog import Catalog, Row, Split
from pipeline.errors import UserError
from pipeline.store import FlowStore


def stored_rows(catalog: Catalog, store: FlowStore, split: Split) -> tuple[Row, ...]:
    """The rows of a split that the store holds; those whose build failed are left out, and said so.

    Raises:
        UserError: none is left.
    """
    present = set(store.row_ids())
    wanted = catalog.split(split).rows
    rows = tuple(row for row in wanted if row.row_id in present)
    missing = [row.row_id for row in wanted if row.row_id not in present]
    if missing:
        click.echo(
            f"{split}: {len(missing)} of {len(wanted)} rows are not in the store: {', '.join(missing)}",
            err=True,
        )
    if not rows:
        labels = "source.eval_labels" if split == "eval" else "source.train_labels"
        also = " and a source.val_fraction above 0" if split == "val" else ""
        raise UserError(
            f"no {split} rows to work on: the catalog has {len(wanted)} and {store.name} none of them. "
            f"Give {labels}{also}, then run `make flows`."
        )
    return rows


def known_hits(row: Row) -> tuple[int, ...]:
    """Labels on annotated frames: what lies beyond is unknown, not silent."""
    return tuple(hit for hit in row.hits if hit < row.annotated_until)
