"""The command line: thin commands over the functions of both planes."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from pipeline.files.atomic import write_json
from pipeline.heap import keep_freed_memory
from ta2net.commands.completion import completion
from ta2net.commands.files import inspect, models
from ta2net.commands.films import FLIP_OPTION, STRIDE_OPTION, dub, export, predict, report
from ta2net.commands.labels import import_, label
from ta2net.commands.manual import Manual
from ta2net.commands.stores import repair, validate
from ta2net.params import compose_params, read

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
    help="A trained checkpoint, or a name of `ta2net models`; default: best.safetensors in train.dir.",
)


class FrameRate(click.ParamType):
    """Frames per second, exact: ``25``, ``29.97``, ``30000/1001``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """The rate as a fraction; anything but a number above 0 is a usage error."""
        from ta2net.evaluation.clocks import frame_rate

        try:
            return frame_rate(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def check_together(context: click.Context) -> None:
    """Refuse options of ``evaluate`` that contradict one another or lack their partners.

    Raises:
        click.UsageError: names them.
    """
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    ways = [
        {"hits", "labels", "frames", "fps", "out"},
        {"hits", "labels", "videos", "out"},
        {"scores", "threshold", "params_path", "out"},
        {"checkpoint", "params_path", "stride", "flip_average"},
    ]
    if not any(given <= way for way in ways):
        raise click.UsageError(
            f"{_options(given)} do not go together. There are three ways: --hits and --labels, with --videos "
            "or with --frames and --fps; or --scores, with or without --threshold; or a checkpoint, with or "
            "without --checkpoint, --stride, --flip-average"
        )
    of_hits = (ways[0] | ways[1]) - {"out"}
    lacking = {"hits", "labels"} - given
    if given & {"frames", "fps"}:
        lacking |= {"frames", "fps"} - given
    if given & of_hits and lacking:
        raise click.UsageError(f"{_options(given)} also needs {_options(lacking)}")
    threshold = context.params["threshold"]
    if threshold is not None and math.isnan(threshold):  # which no range of numbers excludes
        raise click.BadParameter("nan is not a number in the range 0<=x<=1", param_hint="--threshold")
    if given & {"threshold", "out"} and not given & {"hits", "scores"}:
        raise click.UsageError(f"{_options(given)} needs --scores (or, for --out, --hits)")


def _options(names: set[str]) -> str:
    return ", ".join(sorted(f"--{name.removesuffix('_path').replace('_', '-')}" for name in names))


@click.group(cls=Manual, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ta2net")
def main() -> None:
    """TA2Net finds the frames of a silent video at which a visible action makes a sound, and where."""


@main.command()
@PARAMS_OPTION
def train(params_path: Path) -> None:
    """Train on the train rows of a flow store. If training was stopped, run it again to continue.

    Under torchrun several processes train together. Each takes its share of clips.batch, and its own GPU if
    there are GPUs.

    \b
    Examples:
      ta2net-train --params params.yaml
      ta2net train --params my_params.yaml
      torchrun --nproc-per-node 2 -m ta2net.cli train --params params.yaml
    """
    keep_freed_memory()
    # torch takes seconds to import; --help need not wait
    from ta2net.training.loop import train as run
    from ta2net.training.processes import is_first_process

    params = read(params_path)
    progress = run(params)
    if is_first_process():
        click.echo(
            f"trained {progress.step} steps; best event F1 at 2 frames on validation rows: "
            f"{progress.best_f1:.3f}; {params.train.dir}/best.safetensors"
        )
        click.echo(f"stall: {progress.stall:.1%} of {progress.wall_s:.0f} s were spent waiting for batches")


@main.command()
@PARAMS_OPTION
@CHECKPOINT_OPTION
@STRIDE_OPTION
@FLIP_OPTION
@click.option(
    "--scores", type=click.Path(path_type=Path), help="Use scores.csv of an earlier run, without a network."
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="With --scores: use this threshold for hits.")
@click.option(
    "--hits",
    type=click.Path(path_type=Path),
    help="Evaluate the hits in this CSV, from any program, without a network or store.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="With --hits: CSV of the labels.")
@click.option(
    "--videos",
    multiple=True,
    help="With --hits: the videos (files, folders, patterns), to read the times of their frames; or a CSV "
    "that lists them.",
)
@click.option("--frames", type=click.IntRange(min=1), help="With --hits: number of frames of every video.")
@click.option("--fps", type=FrameRate(), help="With --hits: frames per second, like 25 or 30000/1001.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --scores or --hits: write the figures to this JSON."
)
@click.pass_context
def evaluate(context: click.Context, params_path: Path, checkpoint: Path | None, **given: Any) -> None:
    """Evaluate a checkpoint on the labelled rows of a flow store. Writes metrics.json and prediction files.

    The checkpoint says which windows it is shown, as it does for predict. The section infer of the parameter
    file is for training.

    --scores and --hits need no network. The CSV files of --hits and --labels have the columns
    video_id,sound_label,class. sound_label is a quoted list of frames, counted from 0 ("12,31,53"), and empty
    for a video without hits. The length of the videos and the times of their frames come from --frames and
    --fps (the same for all), from --videos (the files, or a CSV with video_id,fps,frames), or from columns
    fps and frames in the label file.

    \b
    Examples:
      ta2net evaluate
      ta2net evaluate --params my_clips.yaml --checkpoint real
      ta2net evaluate --scores data/evaluation/scores.csv --threshold 0.6 --out other.json
      ta2net evaluate --hits hits.csv --labels labels.csv --frames 250 --fps 30000/1001 --out metrics.json
      ta2net evaluate --hits hits.csv --labels labels.csv --videos clips/
    """
    check_together(context)
    from ta2net.evaluation.summary import summary as table

    if given["hits"]:
        from ta2net.evaluation.label_files import evaluate_files  # works without torch, which takes seconds

        pieces = (given[name] for name in ("hits", "labels", "frames", "fps", "videos"))
        metrics = evaluate_files(*pieces)
    elif given["scores"]:
        from ta2net.evaluation.evaluate import evaluate_scores

        metrics = evaluate_scores(read(params_path), given["scores"], given["threshold"])
    else:
        from ta2net.evaluation.evaluate import evaluate as run

        params = read(params_path)
        shown = {name: given[name] for name in ("stride", "flip_average")}
        click.echo(table(run(params, checkpoint, **shown)))
        click.echo(f"written: {params.evaluation.metrics} and {params.evaluation.dir}/")
        return
    click.echo(table(metrics))
    if given["out"]:
        write_json(given["out"], metrics)
        click.echo(f"written: {given['out']}")


@main.command()
@click.argument("metrics", default="metrics.json", type=click.Path(path_type=Path))
def summary(metrics: Path) -> None:
    """Print the headline figures of a metrics.json: the trained method beside rules without training.

    \b
    Example:
      ta2net summary data/evaluation/metrics.json
    """
    from ta2net.evaluation.summary import read_metrics
    from ta2net.evaluation.summary import summary as table

    click.echo(table(read_metrics(metrics)))


@main.command()
@PARAMS_OPTION
@CHECKPOINT_OPTION
@click.option("--row", "row_id", required=True, help="Id of the row, as in the catalog.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="PNG file to write.")
def picture(params_path: Path, checkpoint: Path | None, row_id: str, out: Path) -> None:
    """Draw one row: score curve, labels, and the most probable hits with their flow and inflection.

    \b
    Example:
      ta2net picture --row impacts_eval_0003 --out prediction.png
    """
    from ta2net.evaluation.evaluate import picture as run

    run(read(params_path), row_id, out, checkpoint)
    click.echo(f"written: {out}")


@main.command()
@PARAMS_OPTION
def describe(params_path: Path) -> None:
    """Print the parameters and the arithmetic (FLOP) of each part of the network in a parameter file.

    \b
    Example:
      ta2net params configs/audible623.yaml --out paper.yaml && ta2net describe --params paper.yaml
    """
    from ta2net.networks.size import part_sizes, table

    params = read(params_path)
    parts = part_sizes(params)
    if parts:
        click.echo(table(parts, params.clips.batch))
    else:
        click.echo(f"{params.method.name}: a rule without a network")


@main.command()
@click.argument("configs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    default="params.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="File to write; comments of an existing file are kept.",
)
def params(configs: tuple[Path, ...], out: Path) -> None:
    """Write a parameter file: the defaults, overridden by CONFIGS in their order.

    Without CONFIGS the defaults are written. A file of version 0.1 is rewritten for this version.

    \b
    Examples:
      ta2net params configs/audible623.yaml
      ta2net params configs/audible623.yaml my_paths.yaml --out my_params.yaml
      ta2net params old.yaml --out new.yaml
    """
    compose_params(configs, out)
    click.echo(f"written: {out}")


for command in (predict, report, export, dub, label, import_, inspect, models, validate, repair, completion):
    main.add_command(command)


if __name__ == "__main__":
    main()
