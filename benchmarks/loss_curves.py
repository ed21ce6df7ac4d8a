"""``python -m benchmarks.loss_curves``: does our training step learn as plain float32 does?

Both train the same network from the same weights on the same batches, for several seeds. What our step
changes (bfloat16, layouts, fused updates) must be less than what another seed changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.training import our_training, plain_training
from pipeline.catalog import Row, read_catalog
from pipeline.device import chosen_device
from pipeline.errors import Command
from pipeline.files.atomic import written_beside
from pipeline.store import FlowStore, open_store
from ta2net.clips.loader import ClipLoader
from ta2net.evaluation.rows import stored_rows
from ta2net.params import Params, read

WINDOW_STEPS = 20
"""Losses of single batches jump; means over so many steps are compared."""

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Losses (seeds, steps) of both ways.

    Attributes:
        ours: of our training step.
        plain: of plain PyTorch in float32.
    """

    ours: Curve
    plain: Curve

    @property
    def difference(self) -> float:
        """Ours less plain of the same seed: mean magnitude over all windows and seeds."""
        return float(np.abs(windows(self.ours) - windows(self.plain)).mean())

    @property
    def spread(self) -> float:
        """Standard deviation of plain between seeds, mean over all windows."""
        return float(windows(self.plain).std(axis=0, ddof=1).mean())

    def __str__(self) -> str:
        last = [windows(curve)[:, -1] for curve in (self.ours, self.plain)]
        ours, plain = (" ".join(f"{value:.4f}" for value in values) for values in last)
        return (
            f"loss of the last {WINDOW_STEPS} steps, seed by seed: ours {ours}; plain float32 {plain}\n"
            f"mean difference to plain of the same seed {self.difference:.4f}; "
            f"plain's standard deviation between seeds {self.spread:.4f}"
        )


def windows(curves: Curve) -> Curve:
    """Means over ``WINDOW_STEPS`` steps, or over all if there are fewer: (seeds, windows)."""
    steps = curves.shape[1]
    width = min(WINDOW_STEPS, steps)
    means: Curve = curves[:, : steps // width * width].reshape(len(curves), -1, width).mean(axis=2)
    return means


def curves_of(
    rows: tuple[Row, ...], store: FlowStore, params: Params, seeds: Iterable[int], steps: int
) -> Curves:
    """Train both ways for every seed, which chooses the weights and the batches."""
    found: dict[str, list[list[float]]] = {"ours": [], "plain": []}
    for seed in seeds:
        train = params.train.model_copy(update={"seed": seed, "steps": steps})
        seeded = params.model_copy(update={"train": train})
        for name, make in (("ours", our_training), ("plain", plain_training)):
            torch.manual_seed(seed)
            loader = ClipLoader(rows, store, seeded, chosen_device(train.device))
            step = make(seeded, float(store.coding.scale))
            losses = [step(batch, number) for number, batch in enumerate(loader.batches(0, steps))]
            found[name].append(torch.stack(losses).tolist())
            click.echo(f"seed {seed}, {name}: {np.mean(found[name][-1][-WINDOW_STEPS:]):.4f}", err=True)
    return Curves(np.array(found["ours"]), np.array(found["plain"]))


def save_picture(found: Curves, path: Path) -> None:
    """Both ways' mean over seeds, with the range of the seeds."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    for name, values in (("plain float32", found.plain), ("our step", found.ours)):
        means = windows(values)
        steps = (np.arange(means.shape[1]) + 0.5) * WINDOW_STEPS
        axes.plot(steps, means.mean(axis=0), label=name)
        axes.fill_between(steps, means.min(axis=0), means.max(axis=0), alpha=0.2)
    axes.set(xlabel="step", ylabel=f"loss, mean of {WINDOW_STEPS} steps")
    axes.legend()
    with written_beside(path) as temporary, temporary.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=110)


@click.command(cls=Command)
@click.option("--params", "path", default="params.yaml", show_default=True, help="The parameter file.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--steps", default=200, show_default=True, type=click.IntRange(WINDOW_STEPS))
@click.option("--frames", default=64, show_default=True, help="Of a clip.")
@click.option("--device", default="auto", show_default=True)
@click.option("--out", default="docs/loss_curves.png", show_default=True, type=click.Path(path_type=Path))
def main(path: str, seeds: int, steps: int, frames: int, device: str, out: Path) -> None:
    """Compare the losses of our training step with plain float32's on the flow store; draw them.

    \b
    Example:
      python -m benchmarks.loss_curves --seeds 3 --steps 200 --frames 32
    """
    params = read(path)
    update = {
        "clips": params.clips.model_copy(update={"frames": frames}),
        "train": params.train.model_copy(update={"device": device}),
    }
    store = open_store(params.store)
    rows = stored_rows(read_catalog(params.source.catalog), store, "train")
    found = curves_of(rows, store, params.model_copy(update=update), range(seeds), steps)
    click.echo(str(found))
    save_picture(found, out)
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
