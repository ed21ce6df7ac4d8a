"""Stage ``catalog``: label files and a folder of videos -> one row per labelled window, and a report."""

from __future__ import annotations

import click

from pipeline.catalog import write_catalog
from pipeline.errors import Command
from pipeline.files.atomic import write_json
from pipeline.sources import assemble, check_refused
from ta2net.params import read


@click.command(cls=Command)
@click.option("--params", "params_file", default="params.yaml", show_default=True, help="Parameter file.")
def main(params_file: str) -> None:
    """Find the videos, read and repair the labels, split; write the catalog and its report."""
    params = read(params_file)
    source = params.source
    assembled = assemble(params)
    write_catalog(assembled.catalog, source.catalog)
    write_json(source.report, assembled.report())
    click.echo(f"{assembled.summary()}\nwritten: {source.catalog}, {source.report}")
    check_refused(assembled, source.allow_refused, source.report)


if __name__ == "__main__":
    main()
