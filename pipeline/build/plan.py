"""What a build has to do: the Catalog held against the rows that are in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from pipeline.catalog import Row
from pipeline.store import FlowStore
from pipeline.store.row import DAMAGED, RowDocument

Fingerprint = Callable[[Row], str]
Part = tuple[int, int]
"""(i, n): the i-th of n parts of a Catalog, counted from 1."""


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        compute: rows to make, the longest first, so that none is left to run alone at the end.
        stale: of these, the ones in whose place something else is now.
        relabel: rows of which only the labels differ.
        kept: how many are right as they are.
        gone: names of rows that are in the store but not in the Catalog.
        saturated_velocity, saturated_inflection: of the rows that stay.
    """

    compute: list[Row] = field(default_factory=list)
    stale: list[Row] = field(default_factory=list)
    relabel: list[Row] = field(default_factory=list)
    kept: int = 0
    gone: list[str] = field(default_factory=list)
    saturated_velocity: int = 0
    saturated_inflection: int = 0


def plan_of(rows: Iterable[Row], store: FlowStore, fingerprint: Fingerprint, part: Part | None) -> Plan:
    """Compare the rows, of the whole Catalog or of one part alone, with what is in the store.

    The store's documents are read once, in a row, and nothing of them is kept.
    """
    plan = Plan()
    missing = {row.row_id: row for row in rows if part is None or in_part(row.row_id, part)}
    for row_id, document in store.documents():
        row = missing.pop(row_id, None)
        if row is not None:
            _sort_in(plan, row, document, fingerprint)
        elif part is None and document is not None:
            plan.gone.append(row_id)
    plan.compute += missing.values()
    plan.compute.sort(key=lambda row: -row.n_frames)
    return plan


def _sort_in(plan: Plan, row: Row, document: RowDocument | None, fingerprint: Fingerprint) -> None:
    """Decide about a row with something in its place."""
    try:
        known = None if document is None else document.row_attributes()
    except DAMAGED:
        known = None
    if known is None or known.fingerprint != fingerprint(row):
        plan.compute.append(row)
        plan.stale.append(row)
        return
    if (known.labels, known.annotated) != (row.labels, row.annotated):
        plan.relabel.append(row)
    else:
        plan.kept += 1
    plan.saturated_velocity += known.saturated_velocity
    plan.saturated_inflection += known.saturated_inflection


def in_part(row_id: str, part: Part) -> bool:
    """Whether a row belongs to a part: by a hash of its name, so that it stays there when others come."""
    number, of = part
    return int.from_bytes(sha256(row_id.encode()).digest()[:8], "big") % of == number - 1
