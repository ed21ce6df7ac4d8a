"""Bring the flow store in line with the Catalog: keep, relabel, remove and compute rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pipeline.build.jobs import has_own_process, jobs_of
from pipeline.build.plan import Fingerprint, Part, Plan, plan_of
from pipeline.build.row import Failure, RowDone, RowJob, compute_row, row_fingerprint
from pipeline.catalog import Catalog
from pipeline.errors import InternalError, UserError
from pipeline.files.atomic import write_json
from pipeline.flow import check_estimator, flow_identity, make_estimator
from pipeline.params import BuildParams, DataParams, FlowParams
from pipeline.store import FlowStore, open_or_create
from pipeline.store.manifest import write_manifest

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
        flow_waited: share of the workers' time in which the flow estimator had no frames, or no room for its
            result; 0 where nothing was computed.
        saturated_velocity, saturated_inflection: values cut to the coding's limits in all these rows.
        part: (i, n) if only that part of the Catalog was looked at.
    """

    computed: int
    kept: int
    relabelled: int
    removed: int
    failed: int
    frames: int
    seconds: float
    flow_waited: float
    saturated_velocity: int
    saturated_inflection: int
    part: Part | None = None

    def __str__(self) -> str:
        rows = (
            f"rows: {self.computed} computed, {self.kept} kept, {self.relabelled} relabelled, "
            f"{self.removed} removed, {self.failed} failed"
        )
        waited = f"; flow waited {self.flow_waited:.0%} of the time" if self.computed else ""
        cut = f"{self.saturated_velocity} velocity and {self.saturated_inflection} inflection values"
        lines = [
            rows,
            f"{self.frames} frames in {self.seconds:.1f} s{waited}; {cut} were too large for store.coding",
        ]
        if self.part is not None:
            number, of = self.part
            lines.append(
                f"part {number} of {of}; when all parts are done, run once without --part to finish and check"
            )
        return "\n".join(lines)


@dataclass
class _Tally:
    """What came of the rows that were to be computed."""

    computed: int = 0
    found: int = 0
    frames: int = 0
    seconds: float = 0.0
    flow_s: float = 0.0
    saturated_velocity: int = 0
    saturated_inflection: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, job: RowJob, result: RowDone | Failure | Exception) -> None:
        """Count one row."""
        if isinstance(result, RowDone):
            made = result.seconds > 0
            self.computed += made
            self.found += not made
            self.frames += result.frames * made
            self.seconds += result.seconds
            self.flow_s += result.flow_s
            self.saturated_velocity += result.saturated_velocity
            self.saturated_inflection += result.saturated_inflection
        elif isinstance(result, Failure):
            self.failures.append(result)
        else:
            self.failures.append(Failure(job.row.row_id, job.row.path, str(result), type(result).__name__))


def _silent(_: str) -> None:
    """Say nothing."""


def build(
    catalog: Catalog, params: DataParams, *, part: Part | None = None, say: Callable[[str], None] = _silent
) -> BuildSummary:
    """Make the flow store that ``params.store`` names hold exactly the rows of ``catalog``.

    Rows whose fingerprint says that they were made of the same video in the same way are kept. Stale rows are
    removed before the first one is computed, so that a store, even of an interrupted build, never mixes two
    configurations. Rows that fail are listed in ``build.failures`` (JSON, empty when all went well).

    Args:
        part: (i, n): only the i-th of n parts; nothing is done to rows of other parts, and failures, listed
            in a file of this part's own, do not fail the build: one without ``part`` afterwards tries them
            again, removes what must go, and judges.
        say: is told, in a line, what a user may want to know meanwhile.

    Raises:
        InternalError: more rows failed than ``build.allow_failures``, some by a fault of the program.
        UserError: more rows failed than that, none by such a fault; the flow estimator cannot be used, or the
            scheduler cannot be reached or was lost.
        StoreError: ``store.path`` or ``store.url`` holds something else.
        StorageError: object storage does not answer.
    """
    began = time.perf_counter()
    identity = flow_identity(params.flow)
    fingerprint: Fingerprint = partial(
        row_fingerprint, identity=identity, decode=params.decode, flow=params.flow, store=params.store
    )
    if (params.store.url or "").startswith("memory://") and has_own_process(params.build):
        raise UserError(
            "store.url: memory:// exists in one process only, and rows are computed in others; "
            "set build.scheduler: threads, without limits of time and memory, or another place"
        )
    store = open_or_create(params.store)
    plan = plan_of(catalog, store, fingerprint, part)
    if plan.compute:
        # what is wrong with the estimator is one error now, not one failure per row
        check_estimator(make_estimator(_checked_here(params)), params.flow.size)
    _tidy(store, plan, fingerprint, part)
    tally = _Tally()
    if plan.compute:
        _compute(plan, partial(jobs_of, plan.compute, fingerprint, identity, params), params, say, tally)
        if part is None:
            # of killed processes that were not quite dead when this build began
            store.remove_leftovers()
    failures = sorted(tally.failures, key=lambda failure: failure.row_id)
    write_json(_failures_file(params.build, part), [asdict(failure) for failure in failures])
    if part is None:
        if params.store.url is not None:
            write_manifest(store.documents(), params.store.url, params.store.path)
        _judge(failures, len(catalog), params.build)
    return BuildSummary(
        computed=tally.computed,
        kept=plan.kept + tally.found,
        relabelled=len(plan.relabel),
        removed=len(plan.gone),
        failed=len(failures),
        frames=tally.frames,
        seconds=time.perf_counter() - began,
        flow_waited=1 - tally.flow_s / tally.seconds if tally.seconds else 0.0,
        saturated_velocity=plan.saturated_velocity + tally.saturated_velocity,
        saturated_inflection=plan.saturated_inflection + tally.saturated_inflection,
        part=part,
    )


def _checked_here(params: DataParams) -> FlowParams:
    """The flow's parameters for a try on this machine, which need not have the workers' GPUs."""
    from pipeline.build.schedulers import HERE  # Dask, too, takes a second to load

    elsewhere = params.build.scheduler not in HERE
    return params.flow.model_copy(update={"device": "auto"}) if elsewhere else params.flow


def _tidy(store: FlowStore, plan: Plan, fingerprint: Fingerprint, part: Part | None) -> None:
    """Remove what must go and replace labels."""
    if part is None:
        store.remove_leftovers()
    for row_id in plan.gone:
        store.remove(row_id)
    for row in plan.stale:
        # another builder may have made it right since the plan was made
        store.remove(row.row_id, unless=fingerprint(row))
    for row in plan.relabel:
        store.update_labels(row.row_id, row.labels, row.annotated)


def _compute(
    plan: Plan,
    jobs: Callable[[int | None], Iterable[RowJob]],
    params: DataParams,
    say: Callable[[str], None],
    tally: _Tally,
) -> None:
    """Compute the plan's rows into ``tally``; ``jobs`` makes them, given the threads each may use."""
    # Dask takes a second to load: builds with nothing to do, and the rows' own processes, go without
    from pipeline.build.row_process.apart import close_processes, compute_row_apart
    from pipeline.build.schedulers import HERE, connected, threads_per_worker, worker_count
    from pipeline.build.workers import run_jobs

    rows = len(plan.compute)
    task = compute_row_apart if has_own_process(params.build) else compute_row
    threads = threads_per_worker(params.build, params.flow, rows)
    workers = worker_count(params.build, params.flow, rows)
    with (
        tqdm(total=rows, desc="flows", unit="video", disable=None) as bar,
        connected(params.build, workers, say) as client,
    ):
        try:
            for job, result in run_jobs(client, task, jobs(threads)):
                tally.add(job, result)
                bar.update()
                bar.set_postfix(failed=len(tally.failures))
        finally:
            if params.build.scheduler in HERE:
                close_processes()  # elsewhere they end by themselves a while later


def _failures_file(params: BuildParams, part: Part | None) -> Path:
    file = Path(params.failures)
    if part is None:
        return file
    number, of = part
    return file.with_name(f"{file.stem}-{number}-of-{of}{file.suffix}")


def _judge(failures: list[Failure], rows: int, params: BuildParams) -> None:
    """Raise when more rows failed than may: InternalError if the program was at fault, else UserError."""
    if params.allow_failures == "any" or len(failures) <= params.allow_failures:
        return
    lines = [f"  {failure.row_id}: {failure.reason}" for failure in failures[:MAX_FAILURES_SHOWN]]
    if len(failures) > MAX_FAILURES_SHOWN:
        lines.append(f"  and {len(failures) - MAX_FAILURES_SHOWN} more")
    head = (
        f"{len(failures)} of {rows} rows failed, build.allow_failures is {params.allow_failures} "
        f"(all are listed in {params.failures}; the others are in the store):"
    )
    faults = sum(bool(failure.traceback) for failure in failures)
    if not faults:
        raise UserError("\n".join([head, *lines]))
    tail = f"{faults} by a bug in the program; please report it with the traceback in {params.failures}"
    raise InternalError("\n".join([head, *lines, tail]))
