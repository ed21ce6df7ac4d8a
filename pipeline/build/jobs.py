"""Rows of a Catalog -> what workers are given, one after another as they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.build.plan import Fingerprint
from pipeline.build.row import RowJob
from pipeline.catalog import Row
from pipeline.params import BuildParams, DataParams, FlowParams
from pipeline.revisions import row_code
from pipeline.store.opening import found_anywhere

START_S = 120.0
"""Loading a network, opening a file from a slow disk."""

DIS_FRAME_S = 1.0
NETWORK_FRAME_S = 10.0
"""At ``NETWORK_PIXELS``: hundreds of times what it takes, so that only what hangs is stopped."""

NETWORK_PIXELS = 256 * 320


def jobs_of(
    rows: Iterable[Row],
    fingerprint: Fingerprint,
    identity: Mapping[str, Any],
    params: DataParams,
    threads: int | None,
) -> Iterator[RowJob]:
    """The jobs of ``rows``, made as they are taken: a million of them are never there at once."""
    store = found_anywhere(params.store)
    for row in rows:
        yield RowJob(
            # a worker may run in another directory
            row=replace(row, path=str(Path(row.path).absolute())),
            identity=identity,
            fingerprint=fingerprint(row),
            decode=params.decode,
            flow=params.flow,
            store=store,
            threads=threads,
            retries=params.build.retries,
            timeout_s=row_timeout_s(row.n_frames, params.flow, params.build),
            memory_mb=_memory_mb(params.build),
            code=row_code(params.flow.model),
        )


def row_timeout_s(n_frames: int, flow: FlowParams, build: BuildParams) -> float | None:
    """How long a row may take; None: as long as it likes."""
    if build.row_timeout_s is not None:
        return build.row_timeout_s or None
    if build.scheduler == "threads":
        return None
    height, width = flow.size
    per_frame_s = NETWORK_FRAME_S * max(1.0, height * width / NETWORK_PIXELS)
    return START_S + n_frames * (DIS_FRAME_S if flow.model == "dis" else per_frame_s)


def _memory_mb(build: BuildParams) -> int | None:
    return 0 if build.row_memory_mb is None and build.scheduler == "threads" else build.row_memory_mb


def has_own_process(build: BuildParams) -> bool:
    """Whether rows are made in processes of their own: always, but for ``threads`` without a limit."""
    return build.scheduler != "threads" or bool(build.row_timeout_s or build.row_memory_mb)
