"""Stages ``ablation`` and ``extras``: many runs of one study, its table and its plot."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.errors import Command
from ta2net.studies.study import run_study

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.option("--study", required=True, type=FILE, help="Study file, such as configs/studies/ablation.yaml.")
@click.option(
    "--params",
    default="params.yaml",
    show_default=True,
    type=FILE,
    help="Parameter file that the study's rows change.",
)
@click.option("--work", required=True, type=FILE, help="Folder for the runs.")
@click.option("--out", required=True, type=FILE, help="Folder for results.json, table.md and plot.png.")
@click.option("--jobs", default=0, show_default=True, help="Runs at a time; 0 = one per CPU core.")
def study(study: Path, params: Path, work: Path, out: Path, jobs: int) -> None:
    """Train and evaluate every row of a study with every seed; write a table with mean and spread.

    \b
    Example:
      python -m stages.study --study configs/studies/ablation.yaml --work data/ablation --out docs/ablation
    """
    run_study(study, params, work, out, jobs)
    click.echo((out / "table.md").read_text(encoding="utf-8"))
    click.echo(f"written: {out}/")


if __name__ == "__main__":
    study()
