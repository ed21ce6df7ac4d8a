"""``python -m tests.faults.cluster scheduler|worker FILE``: a Dask scheduler, or a worker of it, on loopback.

The scheduler writes FILE with its address; the worker, once it is at work, a file beside it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from distributed import Scheduler, Worker

from pipeline.files.atomic import write_json


async def schedule(file: Path) -> None:
    """Schedule until killed."""
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        write_json(file, {"address": scheduler.address})
        await scheduler.finished()


async def work(file: Path) -> None:
    """Work until the scheduler is gone."""
    while not file.exists():
        await asyncio.sleep(0.02)
    address = json.loads(file.read_text())["address"]
    async with Worker(address, nthreads=2, dashboard=False, death_timeout=5, memory_limit=0) as worker:
        file.with_suffix(".ready").touch()
        await worker.finished()


if __name__ == "__main__":
    role, name = sys.argv[1:]
    asyncio.run((schedule if role == "scheduler" else work)(Path(name)))
