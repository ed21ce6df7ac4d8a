"""Put the trained and evaluated network in the place of the built-in one; `make weights` ends with it."""

from __future__ import annotations

from pathlib import Path

import click

from ta2net.networks.built_in import BUILT_IN
from ta2net.networks.checkpoint import BEST
from ta2net.params import read
from ta2net.training.release import release


@click.command()
@click.option("--params", default="params.yaml", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", default=BUILT_IN, show_default=True, type=click.Path(path_type=Path))
@click.option("--command", required=True, help="The command that makes this network again, for its records.")
def main(params: Path, out: Path, command: str) -> None:
    """Write the run's network, with the figures of its evaluation, to --out."""
    given = read(params)
    release(Path(given.train.dir) / BEST, Path(given.evaluation.metrics), command, out)
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
