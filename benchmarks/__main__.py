"""``python -m benchmarks``: a table of ratios, and the same as ``benchmarks/results.json``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import build, flow, norm, predict, streaming, training
from benchmarks.measure import Ratio, Scale
from pipeline.files.atomic import write_json
from pipeline.heap import keep_freed_memory

LIBRARIES = ("torch", "torchvision", "ptlflow", "zarr", "numpy")

GROUPS: dict[str, Callable[[Scale], Iterator[Ratio]]] = {
    "flow": flow.ratios,
    "build": lambda scale: (
        build.ratios(scale.rounds, videos=1, frames=12) if scale.quick else build.ratios(scale.rounds)
    ),
    "streaming": streaming.ratios,
    "norm": norm.ratios,
    "training": training.ratios,
    "predict": predict.ratios,
}
"""What can be measured, by name; a ratio's name begins with its group's."""


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    # newer than the oldest torch we run on
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "cpu": capabilities.get("cpu_name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def kept(out: Path, measured: set[str]) -> list[dict[str, Any]]:
    """Earlier rows of groups that are not ``measured`` now, if the machine and its versions are the same."""
    if not out.exists():
        return []
    document = json.loads(out.read_text(encoding="utf-8"))
    if document["machine"] != machine():
        click.echo(f"{out} was measured on another machine or other versions: its rows are dropped")
        return []
    return [row for row in document["ratios"] if row["name"].split(".")[0] not in measured]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(GROUPS)))
@click.option("--rounds", default=3, show_default=True, help="Measurements of each ratio.")
@click.option(
    "--quick", is_flag=True, help="Tiny sizes, to see that everything runs; the figures say nothing."
)
@click.option("--device", default="auto", show_default=True)
@click.option("--out", default="benchmarks/results.json", show_default=True, type=click.Path(path_type=Path))
def main(names: tuple[str, ...], rounds: int, quick: bool, device: str, out: Path) -> None:
    """Measure ours against what a user would do otherwise, side by side in one run; by default everything.

    Rows of groups that are not measured this time stay in the file if the machine and the versions are those
    they were measured on; otherwise they are dropped.

    \b
    Examples:
      python -m benchmarks
      python -m benchmarks streaming predict --rounds 5
      python -m benchmarks --quick --out /tmp/results.json
    """
    keep_freed_memory()
    groups = list(dict.fromkeys(names)) or list(GROUPS)
    scale = Scale(1 if quick else rounds, quick, device)
    rows = kept(out, set(groups))
    for group in groups:
        for ratio in GROUPS[group](scale):
            low, high = ratio.spread
            click.echo(f"{ratio.name:<42}{ratio.ratio:>7.2f}   [{low:.2f}, {high:.2f}]   {ratio.against}")
            rows.append(asdict(ratio))
        # after every group: what is measured is not lost if a later one is stopped
        write_json(out, {"machine": machine(), "ratios": sorted(rows, key=lambda row: str(row["name"]))})
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
