"""Dask clients: workers in this process, those of a running scheduler, or SLURM jobs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import dask
from distributed import Client, LocalCluster

from pipeline.build.gpus import wanted_gpus
from pipeline.errors import UserError
from pipeline.params import BuildParams, FlowParams

CONNECT_TIMEOUT_S = 20

HERE = ("local", "threads")
"""Values of ``build.scheduler`` whose workers are threads of this process."""

LOCAL_CONFIG = {
    # rows are watched one by one; workers hold nothing themselves
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # what Dask remembers of tasks that are over, 100 000 entries of each kind: some rows' worth is enough
    "distributed.admin.low-level-log-length": 1000,
    "distributed.worker.profile.enabled": False,
    # it listens on this machine only; Dask would name the address that others know the machine by
    "distributed.dashboard.link": "http://127.0.0.1:{port}/status",
}

Say = Callable[[str], None]


def core_count() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(params: BuildParams, flow: FlowParams, jobs: int) -> int:
    """Workers of this machine: no more than jobs; by default one per core, or per GPU if flow uses any."""
    default = len(wanted_gpus(flow)) or core_count()
    return max(1, min(params.workers or default, jobs))


def threads_per_worker(params: BuildParams, flow: FlowParams, jobs: int) -> int | None:
    """Threads OpenCV and PyTorch may use for one row; None on somebody else's cluster: as they are there."""
    if params.scheduler == "slurm":
        return max(1, params.slurm.cores // max(1, params.slurm.gpus))
    if params.scheduler not in HERE:
        return None
    return max(1, core_count() // worker_count(params, flow, jobs))


@contextmanager
def connected(params: BuildParams, workers: int, say: Say) -> Iterator[Client]:
    """A client of the scheduler that ``build.scheduler`` asks for, with ``workers`` of them on this machine.

    Raises:
        UserError: the scheduler cannot be reached, or SLURM cannot be used.
    """
    if params.scheduler in HERE:
        manager = _local(workers)
    elif params.scheduler == "slurm":
        manager = _slurm(params, say)
    else:
        manager = _remote(params.scheduler)
    with manager as client:
        if client.dashboard_link:
            hint = "" if find_spec("bokeh") else " (its pages need bokeh: pip install bokeh)"
            say(f"Dask dashboard: {client.dashboard_link}{hint}")
        yield client


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    with (
        dask.config.set(LOCAL_CONFIG),
        _thread_counts_kept(),
        # Dask's own place for a worker's files is shared by all users
        TemporaryDirectory(prefix="ta2net-") as private,
        LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            # they only watch their rows' processes, and talk inside this one, without a network
            processes=False,
            # a free port of this machine only: with None Dask listens on 8787 and warns where that is taken
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=0,
            local_directory=private,
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
            f"build.scheduler: {address!r} is neither local, threads, slurm nor the address of a running "
            f"Dask scheduler (tcp://host:8786): {error}"
        ) from error
    with client:
        if not client.nthreads():
            raise UserError(f"build.scheduler: the Dask scheduler at {address} has no workers")
        yield client


@contextmanager
def _slurm(params: BuildParams, say: Say) -> Iterator[Client]:
    if not params.workers:
        raise UserError(
            "build.workers: set the number of SLURM jobs to run at a time (0 is not allowed here)"
        )
    with slurm_cluster(params) as cluster, Client(cluster) as client:
        # a job that ends before its time (its own limit, a node that fails) is followed by another
        cluster.adapt(minimum_jobs=params.workers, maximum_jobs=params.workers)
        say(f"{params.workers} SLURM jobs requested; rows begin when the first one runs")
        client.wait_for_workers(1)
        yield client


def slurm_cluster(params: BuildParams) -> Any:
    """The ``dask_jobqueue.SLURMCluster`` that ``build.slurm`` describes, without jobs yet.

    A job is one Dask worker with a thread per GPU (one without GPUs): as many rows at a time, each in its own
    process.

    Raises:
        UserError: dask-jobqueue is not installed, or there is no such network interface.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise UserError("build.scheduler slurm needs dask-jobqueue: pip install 'ta2net[slurm]'") from error
    slurm = params.slurm
    rows_at_a_time = max(1, slurm.gpus)
    gres = [f"--gres=gpu:{slurm.gpus}"] if slurm.gpus else []
    try:
        return SLURMCluster(
            job_name="ta2net-flows",
            cores=rows_at_a_time,
            job_cpu=slurm.cores,
            processes=1,
            memory=slurm.memory,
            walltime=slurm.walltime,
            queue=slurm.queue,
            account=slurm.account,
            job_extra_directives=[*gres, *slurm.directives],
            job_script_prologue=list(slurm.prologue),
            log_directory=slurm.log_dir,
            interface=slurm.interface,
            python=slurm.python or sys.executable,
            # rows are watched one by one
            worker_extra_args=["--memory-limit", "0"],
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
        )
    except (RuntimeError, ValueError) as error:  # a network interface that is not there, a size that is none
        raise UserError(f"build.slurm: {error}") from error


@contextmanager
def _thread_counts_kept() -> Iterator[None]:
    """Give OpenCV and PyTorch their numbers of threads back: rows made in this process change them."""
    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else None
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        if torch is not None:
            torch.set_num_threads(before[1])
