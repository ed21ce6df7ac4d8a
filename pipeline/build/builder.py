"""Bring the flow store in line with the Catalog: keep, relabel, remove and compute rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.atomic import write_json
from pipeline.build.row import Failure, RowDone, RowJob, compute_row, row_fingerprint
from pipeline.build.workers import run_jobs, threads_per_worker
from pipeline.catalog import Catalog, Row
from pipeline.errors import UserError
from pipeline.flow import check_estimator, flow_identity, make_estimator
from pipeline.params import BuildParams, DataParams
from pipeline.store import FlowStore, RowAttributes, open_or_create
from pipeline.store.manifest import write_manifest
from pipeline.store.opening import found_anywhere
from pipeline.store.row import DAMAGED, RowDocument

MAX_FAILURES_SHOWN = 10


@dataclass(frozen=True)
class BuildSummary:
    """What a build did.

    Attributes:
        computed: rows made (new ones, and stale ones made again).
        kept: rows that were right already, labels included.
        relabelled: rows of which only the labels were replaced.
        removed: rows that are no longer in the Catalog.
        failed: rows that could not be made.
        frames: of the computed rows.
        seconds: of wall-clock time.
        saturated_velocity, saturated_inflection: values cut to the coding's limits in the whole store.
    """

    computed: int
    kept: int
    relabelled: int
    removed: int
    failed: int
    frames: int
    seconds: float
    saturated_velocity: int
    saturated_inflection: int

    def __str__(self) -> str:
        rows = (
            f"rows: {self.computed} computed, {self.kept} kept, {self.relabelled} relabelled, "
            f"{self.removed} removed, {self.failed} failed"
        )
        cut = f"{self.saturated_velocity} velocity and {self.saturated_inflection} inflection values"
        return f"{rows}\n{self.frames} frames in {self.seconds:.1f} s; {cut} were too large for store.coding"


@dataclass(frozen=True)
class _Plan:
    """What is to be done: rows to compute, to relabel, right as they are; names of rows that must go."""

    compute: tuple[Row, ...]
    relabel: tuple[Row, ...]
    keep: tuple[Row, ...]
    stale: tuple[str, ...]
    gone: tuple[str, ...]


def build(catalog: Catalog, params: DataParams) -> BuildSummary:
    """Make the flow store that ``params.store`` names hold exactly the rows of ``catalog``.

    Rows whose fingerprint says that they were made of the same video in the same way are kept. Stale rows are
    removed before the first one is computed, so that a store, even of an interrupted build, never mixes two
    configurations. Rows that fail are listed in ``build.failures`` (JSON, empty when all went well).

    Raises:
        UserError: more rows failed than ``build.allow_failures``, or the flow estimator cannot be used.
        StoreError: ``store.path`` or ``store.url`` holds something else.
        StorageError: object storage does not answer.
    """
    began = time.perf_counter()
    identity = flow_identity(params.flow)
    fingerprints = {
        row.row_id: row_fingerprint(row, identity, params.decode, params.flow, params.store)
        for row in catalog
    }
    store = open_or_create(params.store)
    plan = _plan(catalog, store, fingerprints)
    if plan.compute:
        # what is wrong with the estimator is one error now, not one failure per row
        check_estimator(make_estimator(params.flow), params.flow.size)
    _tidy(store, plan, fingerprints)
    done, failures = _compute(_jobs(plan.compute, fingerprints, identity, params), params.build)
    write_json(params.build.failures, [asdict(failure) for failure in failures])
    if params.store.url is not None:
        write_manifest(store, params.store.url, params.store.path)
    _judge(failures, len(catalog), params.build)
    in_store = [
        known for _, document in store.documents() if document is not None and (known := _known(document))
    ]
    return BuildSummary(
        computed=len(done),
        kept=len(plan.keep),
        relabelled=len(plan.relabel),
        removed=len(plan.gone),
        failed=len(failures),
        frames=sum(row.frames for row in done),
        seconds=time.perf_counter() - began,
        saturated_velocity=sum(row.saturated_velocity for row in in_store),
        saturated_inflection=sum(row.saturated_inflection for row in in_store),
    )


def _plan(catalog: Catalog, store: FlowStore, fingerprints: Mapping[str, str]) -> _Plan:
    present = {row_id: _known(document) for row_id, document in store.documents() if document is not None}
    compute: list[Row] = []
    relabel: list[Row] = []
    keep: list[Row] = []
    for row in catalog:
        known = present.get(row.row_id)
        if known is None or known.fingerprint != fingerprints[row.row_id]:
            compute.append(row)
        elif (known.hits, known.annotated_until) != (row.hits, row.annotated_until):
            relabel.append(row)
        else:
            keep.append(row)
    stale = tuple(row.row_id for row in compute if row.row_id in present)
    gone = tuple(sorted(present.keys() - fingerprints.keys()))
    return _Plan(tuple(compute), tuple(relabel), tuple(keep), stale, gone)


def _known(document: RowDocument) -> RowAttributes | None:
    """A row's attributes; None where they are damaged, so that the row is made again."""
    try:
        return document.row_attributes()
    except DAMAGED:
        return None


def _tidy(store: FlowStore, plan: _Plan, fingerprints: Mapping[str, str]) -> None:
    """Remove what must go and replace labels."""
    store.remove_leftovers()
    for row_id in plan.gone:
        store.remove(row_id)
    for row_id in plan.stale:
        # another builder may have made it right since the plan was made
        store.remove(row_id, unless=fingerprints[row_id])
    for row in plan.relabel:
        store.update_labels(row.row_id, row.hits, row.annotated_until)


def _jobs(
    rows: tuple[Row, ...], fingerprints: Mapping[str, str], identity: Mapping[str, Any], params: DataParams
) -> list[RowJob]:
    threads = threads_per_worker(params.build, len(rows))
    return [
        RowJob(
            # a worker may run in another directory
            row=replace(row, path=str(Path(row.path).resolve())),
            identity=identity,
            fingerprint=fingerprints[row.row_id],
            decode=params.decode,
            flow=params.flow,
            store=found_anywhere(params.store),
            threads=threads,
        )
        # the longest first: none is left to run alone at the end
        for row in sorted(rows, key=lambda row: -row.n_frames)
    ]


def _compute(jobs: list[RowJob], params: BuildParams) -> tuple[list[RowDone], list[Failure]]:
    """Compute all jobs; failures come sorted by row."""
    done: list[RowDone] = []
    failures: list[Failure] = []
    if not jobs:
        return done, failures
    with tqdm(total=len(jobs), desc="flows", unit="video", disable=None) as bar:
        for job, result in run_jobs(compute_row, jobs, params):
            if isinstance(result, RowDone):
                done.append(result)
            elif isinstance(result, Failure):
                failures.append(result)
            else:
                failures.append(Failure(job.row.row_id, job.row.path, str(result), type(result).__name__))
            bar.update()
            bar.set_postfix(failed=len(failures))
    return done, sorted(failures, key=lambda failure: failure.row_id)


def _judge(failures: list[Failure], rows: int, params: BuildParams) -> None:
    """Raise UserError when more rows failed than may."""
    if params.allow_failures == "any" or len(failures) <= params.allow_failures:
        return
    lines = [f"  {failure.row_id}: {failure.reason}" for failure in failures[:MAX_FAILURES_SHOWN]]
    if len(failures) > MAX_FAILURES_SHOWN:
        lines.append(f"  and {len(failures) - MAX_FAILURES_SHOWN} more")
    head = (
        f"{len(failures)} of {rows} rows failed, build.allow_failures is {params.allow_failures} "
        f"(all are listed in {params.failures}; the others are in the store):"
    )
    raise UserError("\n".join([head, *lines]))
