"""Catalog rows as the model plane uses them: those that are in the store, and the annotated part of each."""

from __future__ import annotations

import click
import numpy as np

from pipeline.catalog import Catalog, Row, Split
from pipeline.errors import UserError
from pipeline.spans import frames_in
from pipeline.store import FlowStore
from ta2net.evaluation.matching import Frames


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


def on_known_frames(row: Row, frames: Frames) -> Frames:
    """Those of some frames that are annotated: a hit elsewhere is neither right nor wrong."""
    return np.array(frames_in(frames.tolist(), row.annotated), np.int64)
