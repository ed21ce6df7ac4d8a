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
    help="A trained network, or the name of a built-in one; default: best.safetensors in train.dir.",
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
            f"{_options(given)} do not go together: give --hits with --labels and either "
            "--videos or --frames, --fps; or --scores, perhaps with --threshold; or neither, perhaps with "
            "--checkpoint, --stride, --flip-average"
        )
    of_hits = (ways[0] | ways[1]) - {"out"}
    lacking = {"hits", "labels"} - given
    if given & {"frames", "fps"}:
        lacking |= {"frames", "fps"} - given
    if given & of_hits and lacking:
        raise click.UsageError(f"{_options(given)} also needs {_options(lacking)}")
    threshold = context.params["threshold"]
    if threshold is not None and math.isnan(threshold):  # which no range of numbers excludes
        raise click.BadParameter("nan is no number in the range 0<=x<=1", param_hint="--threshold")
    if given & {"threshold", "out"} and not given & {"hits", "scores"}:
        raise click.UsageError(f"{_options(given)} needs --scores (or, for --out, --hits)")


def _options(names: set[str]) -> str:
    return ", ".join(sorted(f"--{name.removesuffix('_path').replace('_', '-')}" for name in names))


@click.group(cls=Manual, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ta2net")
def main() -> None:
    """TA2Net: at which frames of a silent video does a visible action make a sound, and where?"""


@main.command()
@PARAMS_OPTION
def train(params_path: Path) -> None:
    """Train on the train rows of a flow store; run it again to go on after a stop.

    torchrun trains in several processes, each with its share of clips.batch and, if there are any, its GPU.

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
        click.echo(f"stall: {progress.stall:.1%} of {progress.wall_s:.0f} s went by waiting for batches")


@main.command()
@PARAMS_OPTION
@CHECKPOINT_OPTION
@STRIDE_OPTION
@FLIP_OPTION
@click.option("--scores", type=click.Path(path_type=Path), help="scores.csv of an earlier run: no model.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="With --scores: another threshold of hits.")
@click.option(
    "--hits", type=click.Path(path_type=Path), help="CSV of any program's hits: no model, no store."
)
@click.option("--labels", type=click.Path(path_type=Path), help="With --hits: CSV of the labels.")
@click.option(
    "--videos",
    multiple=True,
    help="With --hits: the videos, for their frames' times (files, folders, patterns), or a CSV of them.",
)
@click.option("--frames", type=click.IntRange(min=1), help="With --hits: length of every video in frames.")
@click.option("--fps", type=FrameRate(), help="With --hits: frames per second, like 25 or 30000/1001.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --scores or --hits: JSON file to write figures to."
)
@click.pass_context
def evaluate(context: click.Context, params_path: Path, checkpoint: Path | None, **given: Any) -> None:
    """Evaluate a checkpoint on labelled rows of a flow store; writes metrics.json and prediction files.

    Windows are laid as the checkpoint was validated, and as predict lays them; infer in the parameter file is
    for networks that it trains.

    With --scores or --hits the figures come without a model. Both CSV files of --hits have Audible623's
    columns video_id,sound_label,class; sound_label is a quoted list of 0-based frames ("12,31,53"), empty for
    a video without hits. How long the videos are and when their frames are shown is said by --frames and
    --fps for all; by --videos, the files themselves or a CSV with video_id,fps,frames; or by columns fps and
    frames beside the labels.

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
    """Print the headline figures of a metrics.json: the network beside what needs no training.

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
@click.option("--row", "row_id", required=True, help="Row id, as in the catalog.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="PNG to write.")
def picture(params_path: Path, checkpoint: Path | None, row_id: str, out: Path) -> None:
    """Draw one row: its score curve against the labels, and its surest hits with flow and inflection.

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
    """Print the parameters and the arithmetic (FLOP) of each part of the network that a file describes.

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


for command in (predict, report, export, dub, label, import_, inspect, models, validate, repair, completion):
    main.add_command(command)


if __name__ == "__main__":
    main()
