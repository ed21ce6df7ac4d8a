"""Commands that look into files: videos, flow stores, checkpoints."""

from __future__ import annotations

import click


@click.command()
def models() -> None:
    """List the networks that come with the program: requirements, training data, accuracy.

    Use a name with `predict --checkpoint NAME`.

    \b
    Example:
      ta2net models
    """
    from ta2net.commands.inspection import shown
    from ta2net.networks.built_in import facts, names

    click.echo("\n\n".join(shown(facts(name)) for name in names()))


@click.command()
@click.argument("path")
def inspect(path: str) -> None:
    """Describe PATH: a video, a flow store (a folder or a URL) or a checkpoint.

    \b
    Examples:
      ta2net inspect film.mp4
      ta2net inspect data/flows.zarr
      ta2net inspect s3://bucket/flows
      ta2net inspect data/run/best.safetensors
    """
    from ta2net.commands.inspection import facts_of, shown

    click.echo(shown(facts_of(path)))
