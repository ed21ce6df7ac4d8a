"""Run one task per job on Dask workers, a few ahead of need, however many jobs there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from distributed import Client, KilledWorker, as_completed

from pipeline.errors import UserError

J = TypeVar("J")
R = TypeVar("R")

AHEAD = 2
"""Jobs in flight per worker thread: one in work, one that lies ready."""

RECOUNT_S = 5.0
"""How often a cluster's workers are counted: they may come and go."""


def run_jobs(client: Client, task: Callable[[J], R], jobs: Iterable[J]) -> Iterator[tuple[J, R | Exception]]:
    """Yield every job with what ``task`` returned for it, or with the error it ended in, as they finish.

    ``jobs`` is read only as fast as they are done: neither here nor in the scheduler is there anything that
    grows with their number. A job whose worker is lost goes to another one, a few times.

    Raises:
        UserError: the scheduler was lost.
    """
    waiting = iter(jobs)
    running: dict[Any, J] = {}
    finished = as_completed()
    width, counted = _width(client), time.monotonic()
    while True:
        for job in islice(waiting, width - len(running)):
            future = client.submit(task, job, pure=False, retries=0)
            running[future] = job
            finished.add(future)
        if not running:
            return
        future = next(finished)
        yield running.pop(future), _result(future)
        if time.monotonic() - counted > RECOUNT_S:
            width, counted = _width(client), time.monotonic()


def _width(client: Client) -> int:
    """How many jobs may be in flight."""
    return AHEAD * max(1, sum(client.nthreads().values()))


def _result(future: Any) -> Any:
    """What a finished future holds: its result or its error."""
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if error is None:  # neither: it was cancelled, with all others
        raise UserError(
            "build.scheduler: the Dask scheduler was lost; all finished rows are in the store: start it, and "
            "run this again"
        )
    if isinstance(error, KilledWorker):
        return ChildProcessError("the workers it was given to died, one after the other")
    return error
