"""DVC stage ``flows``: Catalog -> flow store."""

from __future__ import annotations

import re

import click

from pipeline.build import build
from pipeline.catalog import read_catalog
from pipeline.errors import Command
from ta2net.params import read


def _part(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """``2/8`` -> (2, 8)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    part = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part[0] <= part[1]:
        raise click.BadParameter(f"{text!r} is not a part; write I/N with I from 1 to N, like 2/8")
    return part


@click.command(cls=Command)
@click.option("--params", "path", default="params.yaml", show_default=True, help="The parameter file.")
@click.option(
    "--part",
    metavar="I/N",
    callback=_part,
    help="Compute only part I of N, for several machines without a cluster; run once without it at the end.",
)
def main(path: str, part: tuple[int, int] | None) -> None:
    """Bring the flow store in line with the catalog.

    \b
    Example:
      python -m stages.flows --part 2/8
    """
    params = read(path)
    catalog = read_catalog(params.source.catalog)
    click.echo(build(catalog, params, part=part, say=lambda line: click.echo(line, err=True)))


if __name__ == "__main__":
    main()
