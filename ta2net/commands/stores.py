"""Commands that look after flow stores: validate, repair."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from pipeline.errors import UserError
from pipeline.files.atomic import write_json

MAX_SHOWN = 100

STORE = click.argument("store")
DEEP = click.option(
    "--deep", is_flag=True, help="Read all data: check checksums, recompute every inflection."
)


@click.command()
@STORE
@DEEP
@click.option("--catalog", type=click.Path(path_type=Path), help="Compare rows and labels with this catalog.")
@click.option(
    "--params",
    "params_path",
    type=click.Path(path_type=Path),
    help="Compare with the catalog and the settings of this parameter file.",
)
@click.option("--json", "report_path", type=click.Path(path_type=Path), help="Also write the report here.")
def validate(
    store: str, deep: bool, catalog: Path | None, params_path: Path | None, report_path: Path | None
) -> None:
    """Check STORE: a folder, a URL (s3://...), or the folder with the manifest of a remote store.

    Without --deep, only attributes and sizes are checked. Exit code 0: the store is complete and correct; 2:
    it is not, and the problems are listed.

    \b
    Examples:
      ta2net validate data/flows.zarr
      ta2net validate data/flows.zarr --deep --catalog data/catalog.jsonl
      ta2net validate s3://bucket/flows --params params.yaml --json report.json
    """
    from pipeline.build.row import row_fingerprint
    from pipeline.catalog import read_catalog
    from pipeline.flow import flow_identity
    from pipeline.store.manifest import read_manifest
    from pipeline.store.opening import open_named
    from pipeline.store.validation import examine
    from ta2net.params import read

    opened, folder = open_named(store)
    fingerprints = None
    rows = None if catalog is None else read_catalog(catalog)
    if params_path is not None:
        params = read(params_path)
        rows = read_catalog(params.source.catalog) if rows is None else rows
        identity = flow_identity(params.flow)
        fingerprints = {
            row.row_id: row_fingerprint(row, identity, params.decode, params.flow, params.store)
            for row in rows
        }
    report = examine(
        opened.place,
        deep=deep,
        catalog=rows,
        fingerprints=fingerprints,
        manifest=None if folder is None else read_manifest(folder),
    )
    _show(report.problems)
    for note in report.notes:
        click.echo(f"note: {note}")
    if report_path is not None:
        write_json(report_path, report.to_json())
        click.echo(f"written: {report_path}")
    if report.problems:
        raise UserError(report.summary())
    click.echo(report.summary())


@click.command()
@STORE
@DEEP
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def repair(store: str, deep: bool, dry_run: bool) -> None:
    """Remove broken rows and leftovers of interrupted builds from STORE.

    The next build computes these rows again. Good rows and files of other programs are not touched.

    \b
    Examples:
      ta2net repair data/flows.zarr --dry-run
      ta2net repair data/flows.zarr --deep
    """
    from pipeline.store.manifest import write_manifest
    from pipeline.store.opening import open_named
    from pipeline.store.repair import repair as run

    opened, folder = open_named(store)
    done = run(opened.place, deep=deep, dry_run=dry_run)
    if folder is not None and not dry_run:
        write_manifest(opened.documents(), opened.name, folder)
    _show(done.dropped)
    would = "would be " if dry_run else ""
    click.echo(
        f"{opened.name}: {len(done.row_ids)} of {done.report.rows} rows {would}removed, "
        f"{len(done.leftovers)} leftovers {would}deleted"
    )
    left = [problem for problem in done.report.problems if problem.kind != "broken"]
    if left:
        click.echo("left alone:")
        _show(left)


def _show(problems: Iterable[object]) -> None:
    """One line per problem; of very many the first."""
    lines = [str(problem) for problem in problems]
    for line in lines[:MAX_SHOWN]:
        click.echo(line)
    if len(lines) > MAX_SHOWN:
        click.echo(f"and {len(lines) - MAX_SHOWN} more; --json writes them all")
