"""Commands that look into files: videos, flow stores, checkpoints."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def inspect(path: Path) -> None:
    """Say what is in PATH: a video, a flow store or a checkpoint.

    \b
    Examples:
      ta2net inspect film.mp4
      ta2net inspect data/flows.zarr
      ta2net inspect data/run/best.safetensors
    """
    from ta2net.inspect import facts_of, shown

    click.echo(shown(facts_of(path)))
