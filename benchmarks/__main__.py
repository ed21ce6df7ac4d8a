"""``python -m benchmarks``: a table of ratios, and the same as ``benchmarks/results.json``."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import click
import torch

from benchmarks import build, flow
from pipeline.atomic import write_json

LIBRARIES = ("torch", "torchvision", "ptlflow", "zarr", "numpy")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


@click.command()
@click.option("--pairs", default=8, show_default=True, help="Pairs of frames at a time.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of each ratio.")
@click.option("--device", default="auto", show_default=True)
@click.option("--out", default="benchmarks/results.json", show_default=True, type=click.Path(path_type=Path))
def main(pairs: int, rounds: int, device: str, out: Path) -> None:
    """Measure ours against what a user would do otherwise, side by side in one run.

    \b
    Example:
      python -m benchmarks --rounds 3
    """
    rows = []
    for ratio in chain(flow.ratios(pairs, rounds, device), build.ratios(rounds)):
        low, high = ratio.spread
        click.echo(f"{ratio.name:<40}{ratio.ratio:>7.2f}x   [{low:.2f}, {high:.2f}]   {ratio.against}")
        rows.append(asdict(ratio))
    write_json(out, {"machine": machine(), "ratios": rows})
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
