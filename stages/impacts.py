"""Stage ``impacts``: render the embedded data set, unless the labels come from elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.errors import Command
from pipeline.impacts.dataset import make_dataset, make_nothing
from ta2net.params import read


@click.command(cls=Command)
@click.option("--params", "path", type=click.Path(path_type=Path), default="params.yaml", show_default=True)
def main(path: Path) -> None:
    """Render the impacts data set that PARAMS ask for."""
    params = read(path)
    if params.source.name != "impacts":
        make_nothing(params.impacts, params.source.name)
        click.echo(f"impacts: nothing to render, source.name is {params.source.name!r}")
        return
    made = make_dataset(params.impacts)
    click.echo(
        f"impacts: {made.rendered} clips rendered, {made.kept} kept, {made.removed} removed "
        f"in {params.impacts.dir}"
    )


if __name__ == "__main__":
    main()
