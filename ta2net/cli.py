"""The command line: thin commands over the functions of both planes."""

from __future__ import annotations

from pathlib import Path

import click

from ta2net.compose import compose_params
from ta2net.params import read

PARAMS_OPTION = click.option(
    "--params",
    "params_path",
    default="params.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Parameter file.",
)
CHECKPOINT_OPTION = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="A trained network; default: best.safetensors in train.dir.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ta2net")
def main() -> None:
    """TA2Net: at which frames of a silent video does a visible action make a sound, and where?

    \b
    Exit codes: 0 done; 1 a fault of the program; 2 something the user can mend.
    """


@main.command()
@PARAMS_OPTION
def train(params_path: Path) -> None:
    """Train on the train rows of a flow store; run it again to go on after a stop.

    \b
    Examples:
      ta2net-train --params params.yaml
      ta2net train --params my_params.yaml
    """
    from ta2net.training.loop import train as run  # torch takes seconds to import; --help need not wait

    params = read(params_path)
    progress = run(params)
    click.echo(
        f"trained {progress.step} steps; best event F1 at 2 frames on validation rows: "
        f"{progress.best_f1:.3f}; {params.train.dir}/best.safetensors"
    )


@main.command()
@PARAMS_OPTION
@CHECKPOINT_OPTION
def evaluate(params_path: Path, checkpoint: Path | None) -> None:
    """Evaluate a checkpoint on labelled rows of a flow store; writes metrics.json and prediction files.

    \b
    Examples:
      ta2net evaluate
      ta2net evaluate --params my_clips.yaml --checkpoint data/run/best.safetensors
    """
    from ta2net.evaluate import evaluate as run
    from ta2net.hits.evaluation import summary as table

    params = read(params_path)
    click.echo(table(run(params, checkpoint)))
    click.echo(f"written: {params.evaluation.metrics} and {params.evaluation.dir}/")


@main.command()
@click.argument("metrics", default="metrics.json", type=click.Path(path_type=Path))
def summary(metrics: Path) -> None:
    """Print the headline figures of a metrics.json: the network beside the two untrained rules."""
    from ta2net.hits.evaluation import read_metrics
    from ta2net.hits.evaluation import summary as table

    click.echo(table(read_metrics(metrics)))


@main.command()
@PARAMS_OPTION
@CHECKPOINT_OPTION
@click.option("--row", "row_id", required=True, help="Row id, as in the catalog.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="PNG to write.")
def picture(params_path: Path, checkpoint: Path | None, row_id: str, out: Path) -> None:
    """Draw one row: its score curve against the labels, and its surest hits with flow and inflection.

    \b
    Example:
      ta2net picture --row impacts_eval_0003 --out prediction.png
    """
    from ta2net.evaluate import picture as run

    run(read(params_path), row_id, out, checkpoint)
    click.echo(f"written: {out}")


@main.command()
@click.argument("configs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", default="params.yaml", show_default=True, type=click.Path(path_type=Path))
def params(configs: tuple[Path, ...], out: Path) -> None:
    """Write a parameter file: the defaults with CONFIGS laid over them, the last one on top.

    Comments of an existing file are kept. Without CONFIGS the embedded defaults come back.

    \b
    Examples:
      ta2net params configs/audible623.yaml
      ta2net params configs/audible623.yaml my_paths.yaml --out my_params.yaml
    """
    compose_params(configs, out)
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
