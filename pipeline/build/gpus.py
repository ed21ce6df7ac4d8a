"""One GPU per row process: which one is whose."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.params import FlowParams

VISIBLE = "CUDA_VISIBLE_DEVICES"


def wanted_gpus(flow: FlowParams) -> list[str]:
    """The GPUs of this machine (or those this process may see) if ``flow`` would use any, as CUDA names them.

    Found without PyTorch, which would take seconds and memory in a process that only watches others.
    """
    if flow.model == "dis" or flow.device not in ("auto", "cuda"):
        return []
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    return [str(index) for index, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def gpu_of_slot(slot: int, gpus: Sequence[str]) -> Mapping[str, str]:
    """The environment that shows the process in ``slot`` (0, 1, ...) its GPU alone; empty without GPUs."""
    return {VISIBLE: gpus[slot % len(gpus)]} if gpus else {}
