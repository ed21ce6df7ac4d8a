"""``python -m benchmarks.scheduling``: what planning and scheduling cost as a catalog grows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any, cast

import click
import psutil

from pipeline.build.jobs import jobs_of
from pipeline.build.plan import plan_of
from pipeline.build.row import RowDone, RowJob, row_attributes, row_fingerprint
from pipeline.build.schedulers import connected
from pipeline.build.workers import run_jobs
from pipeline.catalog import Row
from pipeline.flow import flow_identity
from pipeline.kinematics import Coding
from pipeline.params import BuildParams, DataParams
from pipeline.store import FlowStore
from pipeline.store.row import RowDocument

PARAMS = DataParams()
WORKERS = 4


def row(number: int) -> Row:
    """One of a million, as large as they are."""
    name = f"film_{number:07}"
    return Row(
        row_id=name,
        source="csv",
        video_id=name,
        group=name,
        path=f"/films/{name}.mp4",
        split="train",
        class_name="ball",
        labels=(7, 30, 61),
        label_positions_px=None,
        annotated=((0, 96),),
        fps=Fraction(30),
        n_frames=96,
        sha256=f"{number:064x}",
    )


def no_work(job: RowJob) -> RowDone:
    """A row that takes no time."""
    return RowDone(job.row.row_id, job.row.n_frames, 0, 0)


def nap(seconds: float) -> float:
    """A row that takes so long; how long it really took."""
    began = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - began


class ListedStore:
    """A store in name only: the documents of ``count`` complete rows, made as they are asked for."""

    def __init__(self, count: int, fingerprint: Any) -> None:
        self._count, self._fingerprint = count, fingerprint

    def documents(self) -> Iterator[tuple[str, RowDocument]]:
        """Parsed from text, as from a disk that costs nothing."""
        job = next(jobs())
        info = cast(Any, type("Info", (), {"n_frames": 96, "fps": Fraction(30), "height": 128, "width": 128}))
        text = json.dumps(row_attributes(job, info, Coding("int16", 64)).to_json())
        document = '{"attributes": %s, "consolidated_metadata": {"metadata": {}}}'
        for number in range(self._count):
            one = row(number)
            content = (document % text.replace(job.fingerprint, self._fingerprint(one))).encode()
            yield one.row_id, RowDocument.parse(one.row_id, content)


IDENTITY = flow_identity(PARAMS.flow)
fingerprint_of = partial(
    row_fingerprint, identity=IDENTITY, decode=PARAMS.decode, flow=PARAMS.flow, store=PARAMS.store
)


def jobs(count: int = 1) -> Iterator[RowJob]:
    """Jobs as a build makes them."""
    return jobs_of(map(row, range(count)), fingerprint_of, IDENTITY, PARAMS, 1)


def memory_mb() -> float:
    """Resident size of this process: client, scheduler and workers are all in it."""
    return float(psutil.Process().memory_info().rss) / 1e6


@click.command()
@click.option("--rows", default=(10_000, 100_000), multiple=True, show_default=True, help="Jobs to schedule.")
@click.option("--planned", default=1_000_000, show_default=True, help="Rows of a catalog to plan.")
@click.option("--nap-s", default=0.2, show_default=True, help="A row's seconds when idle time is measured.")
def main(rows: tuple[int, ...], planned: int, nap_s: float) -> None:
    """Print jobs per second and memory for jobs that do nothing, workers' idle time, and planning."""
    started = partial(connected, BuildParams(scheduler="threads"), WORKERS, lambda _: None)
    with started() as client:
        for _ in run_jobs(client, no_work, jobs(min((1000, *rows)))):
            pass  # what is loaded and remembered once is there now
        for count in rows:
            before, began = memory_mb(), time.perf_counter()
            for _ in run_jobs(client, no_work, jobs(count)):
                pass
            seconds = time.perf_counter() - began
            click.echo(f"{count} jobs: {count / seconds:.0f} per second, {memory_mb() - before:+.0f} MB")
        began = time.perf_counter()
        naps = [result for _, result in run_jobs(client, nap, [nap_s] * (40 * WORKERS))]
        busy = sum(cast(list[float], naps)) / WORKERS / (time.perf_counter() - began)
        click.echo(f"jobs of {nap_s:g} s on {WORKERS} workers: idle {1 - busy:.1%} of the time")
    catalog = [row(number) for number in range(planned)]
    for present in (0, planned):
        store = cast(FlowStore, ListedStore(present, fingerprint_of))
        before, began = memory_mb(), time.perf_counter()
        plan = plan_of(catalog, store, fingerprint_of, None)
        seconds = time.perf_counter() - began
        click.echo(
            f"plan of {planned} rows, {present} in the store: {len(plan.compute)} to compute, {plan.kept} "
            f"kept; {seconds:.0f} s, {memory_mb() - before:+.0f} MB"
        )


if __name__ == "__main__":
    main()
