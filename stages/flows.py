"""DVC stage ``flows``: Catalog -> flow store."""

from __future__ import annotations

import click

from pipeline.build import build
from pipeline.catalog import read_catalog
from ta2net.params import read


@click.command()
@click.option("--params", "path", default="params.yaml", show_default=True, help="The parameter file.")
def main(path: str) -> None:
    """Bring the flow store in line with the catalog."""
    params = read(path)
    click.echo(build(read_catalog(params.source.catalog), params))


if __name__ == "__main__":
    main()
