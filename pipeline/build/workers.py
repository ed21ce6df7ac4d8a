"""Run one task per job on Dask workers: processes or threads of this machine, or a cluster's."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import cv2
import dask
from distributed import Client, KilledWorker, LocalCluster, as_completed

from pipeline.errors import UserError
from pipeline.params import BuildParams

J = TypeVar("J")
R = TypeVar("R")

CONNECT_TIMEOUT_S = 20

KEPT_BYTES = 1 << 32
"""Freed memory that a worker keeps for its next batch (glibc)."""

LOCAL_CONFIG = {
    # a job in flight beside the one that killed its worker gets a second chance, so does that one
    "distributed.scheduler.allowed-failures": 1,
    # workers hold a few frames only: watching their memory would but stop them on a small machine
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Dask lets workers give freed memory back at once; a network that wants the same gigabyte for every batch
    # then spends more time on page faults than on arithmetic
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": KEPT_BYTES,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": KEPT_BYTES,
}


def core_count() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(params: BuildParams, jobs: int) -> int:
    """Workers to start on this machine: no more than jobs."""
    return max(1, min(params.workers or core_count(), jobs))


def threads_per_worker(params: BuildParams, jobs: int) -> int | None:
    """Threads OpenCV and PyTorch may use in a worker of ours; None on somebody else's cluster."""
    if params.scheduler not in ("local", "threads"):
        return None
    return max(1, core_count() // worker_count(params, jobs))


def run_jobs(
    task: Callable[[J], R], jobs: Sequence[J], params: BuildParams
) -> Iterator[tuple[J, R | Exception]]:
    """Yield every job with what ``task`` returned for it, or with the error it ended in, as they finish.

    A job whose worker process dies (killed for memory, say) ends in an error; the others go on. Only as many
    jobs are in flight as there are workers, so that a dying worker takes few others along.

    Raises:
        UserError: the scheduler cannot be reached.
    """
    with _client(params, len(jobs)) as client:
        waiting = iter(jobs)
        in_flight = max(1, sum(client.nthreads().values()))
        running = {_submit(client, task, job): job for job in islice(waiting, in_flight)}
        finished = as_completed(list(running))
        for future in finished:
            job = running.pop(future)
            result = _result(future)
            for following in islice(waiting, 1):
                added = _submit(client, task, following)
                running[added] = following
                finished.add(added)
            yield job, result


def _submit(client: Client, task: Callable[[J], R], job: J) -> Any:
    return client.submit(task, job, pure=False, retries=0)


def _result(future: Any) -> Any:
    """What a finished future holds: its result or its error."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        return cancelled
    if isinstance(error, KilledWorker):
        return ChildProcessError("its worker process died twice over it (out of memory?)")
    return future.result() if error is None else error


@contextmanager
def _client(params: BuildParams, jobs: int) -> Iterator[Client]:
    if params.scheduler == "local":
        with dask.config.set(LOCAL_CONFIG), _local_cluster(params, jobs, processes=True) as client:
            yield client
    elif params.scheduler == "threads":
        with (
            dask.config.set(LOCAL_CONFIG),
            _thread_counts_kept(),
            _local_cluster(params, jobs, processes=False) as client,
        ):
            yield client
    else:
        with _remote(params.scheduler) as client:
            yield client


@contextmanager
def _local_cluster(params: BuildParams, jobs: int, *, processes: bool) -> Iterator[Client]:
    workers = worker_count(params, jobs)
    with (
        LocalCluster(
            n_workers=workers if processes else 1,
            threads_per_worker=1 if processes else workers,
            processes=processes,
            # threads talk inside the process, without a network
            host="127.0.0.1" if processes else None,
            # a free port of this machine only: with None Dask listens on 8787 and warns where that is taken
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise UserError(
            f"build.scheduler: {address!r} is neither local, threads nor the address of a running Dask "
            f"scheduler (tcp://host:8786): {error}"
        ) from error
    with client:
        if not client.nthreads():
            raise UserError(f"build.scheduler: the Dask scheduler at {address} has no workers")
        yield client


@contextmanager
def _thread_counts_kept() -> Iterator[None]:
    """Give OpenCV and PyTorch their numbers of threads back: our workers' threads change them for all."""
    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else None
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        if torch is not None:
            torch.set_num_threads(before[1])
