"""The command line: thin commands over the functions of both planes."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from pipeline.atomic import write_json
from pipeline.errors import UserError
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


class FrameRate(click.ParamType):
    """Frames per second, exact: ``25``, ``29.97``, ``30000/1001``."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """The rate as a fraction; anything but a number above 0 is a usage error."""
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            self.fail(f"{value!r} is no frame rate; give a number above 0 like 25 or 30000/1001", param, ctx)
        return rate


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
        {"scores", "threshold", "params_path", "out"},
        {"checkpoint", "params_path"},
    ]
    if not any(given <= way for way in ways):
        raise click.UsageError(
            f"{_options(given)} do not go together: give --hits with --labels, --frames, --fps; or --scores, "
            "perhaps with --threshold; or neither, perhaps with --checkpoint"
        )
    lacking = ways[0] - {"out"} - given
    if given & (ways[0] - {"out"}) and lacking:
        raise click.UsageError(f"{_options(given)} also needs {_options(lacking)}")
    threshold = context.params["threshold"]
    if threshold is not None and math.isnan(threshold):  # which no range of numbers excludes
        raise click.BadParameter("nan is no number in the range 0<=x<=1", param_hint="--threshold")
    if given & {"threshold", "out"} and not given & {"hits", "scores"}:
        raise click.UsageError(f"{_options(given)} needs --scores (or, for --out, --hits)")


def _options(names: set[str]) -> str:
    return ", ".join(sorted(f"--{name.removesuffix('_path')}" for name in names))


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

    torchrun trains in several processes, each with its share of clips.batch and, if there are any, its GPU.

    \b
    Examples:
      ta2net-train --params params.yaml
      ta2net train --params my_params.yaml
      torchrun --nproc-per-node 2 -m ta2net.cli train --params params.yaml
    """
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
@click.option("--scores", type=click.Path(path_type=Path), help="scores.csv of an earlier run: no model.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="With --scores: another threshold of hits.")
@click.option(
    "--hits", type=click.Path(path_type=Path), help="CSV of any program's hits: no model, no store."
)
@click.option("--labels", type=click.Path(path_type=Path), help="With --hits: CSV of the labels.")
@click.option("--frames", type=click.IntRange(min=1), help="With --hits: length of every video in frames.")
@click.option("--fps", type=FrameRate(), help="With --hits: frames per second, like 25 or 30000/1001.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --scores or --hits: JSON file to write figures to."
)
@click.pass_context
def evaluate(context: click.Context, params_path: Path, checkpoint: Path | None, **given: Any) -> None:
    """Evaluate a checkpoint on labelled rows of a flow store; writes metrics.json and prediction files.

    With --scores or --hits the figures come without a model. Both CSV files of --hits have Audible623's
    columns video_id,sound_label,class; sound_label is a quoted list of 0-based frames ("12,31,53"), empty for
    a video without hits.

    \b
    Examples:
      ta2net evaluate
      ta2net evaluate --params my_clips.yaml --checkpoint data/run/best.safetensors
      ta2net evaluate --scores data/evaluation/scores.csv --threshold 0.6 --out other.json
      ta2net evaluate --hits hits.csv --labels labels.csv --frames 250 --fps 30000/1001 --out metrics.json
    """
    check_together(context)
    from ta2net.hits.summary import summary as table

    if given["hits"]:
        from ta2net.hits.label_files import evaluate_files  # works without torch, which takes seconds

        metrics = evaluate_files(given["hits"], given["labels"], given["frames"], given["fps"])
    elif given["scores"]:
        from ta2net.evaluate import evaluate_scores

        metrics = evaluate_scores(read(params_path), given["scores"], given["threshold"])
    else:
        from ta2net.evaluate import evaluate as run

        params = read(params_path)
        click.echo(table(run(params, checkpoint)))
        click.echo(f"written: {params.evaluation.metrics} and {params.evaluation.dir}/")
        return
    click.echo(table(metrics))
    if given["out"]:
        write_json(given["out"], metrics)
        click.echo(f"written: {given['out']}")


@main.command()
@click.argument("metrics", default="metrics.json", type=click.Path(path_type=Path))
def summary(metrics: Path) -> None:
    """Print the headline figures of a metrics.json: the network beside the two untrained rules."""
    from ta2net.hits.summary import read_metrics
    from ta2net.hits.summary import summary as table

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
@PARAMS_OPTION
def describe(params_path: Path) -> None:
    """Print the parameters and the arithmetic (FLOP) of each part of the network that a file describes.

    \b
    Example:
      ta2net params configs/audible623.yaml --out paper.yaml && ta2net describe --params paper.yaml
    """
    from ta2net.model.size import part_sizes, table

    params = read(params_path)
    click.echo(table(part_sizes(params.model, params.clips.frames, params.store.size), params.clips.batch))


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


@main.command()
@click.argument("videos", nargs=-1, required=True)
@click.option("--out", default="hits", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="A trained network; default: built in.")
@click.option(
    "--format", "formats", multiple=True, help="Also write for editors: audacity,resolve,... or all."
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Default: as validation chose it.")
@click.option("--min-distance", type=click.IntRange(min=1), help="Least distance of two hits in frames.")
@click.option("--start", "start_s", type=click.FloatRange(min=0), help="Seconds after the first frame.")
@click.option("--end", "end_s", type=click.FloatRange(min=0), help="Seconds after the first frame.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option("--flow-checkpoint", help="Weights of the network's flow model, where they lie here.")
@click.option("--skip-existing", is_flag=True, help="Leave videos whose results are complete.")
def predict(videos: tuple[str, ...], out: Path, formats: tuple[str, ...], **options: Any) -> None:
    """Find the hits of VIDEOS: files, folders, patterns. A folder of results for each in --out.

    It holds hits.csv, candidates.csv (down to a probability of 0.01), scores.csv (every frame) and a file per
    --format. A video that cannot be read does not stop the others; it is told at the end (exit code 2).

    \b
    Examples:
      ta2net predict film.mp4
      ta2net predict film.mp4 --format audacity,resolve --start 60 --end 90
      ta2net predict "clips/**/*.mp4" --out results --skip-existing
    """
    from ta2net.batch import predict_videos

    outcomes = predict_videos(videos, out, formats, **options)
    for outcome in outcomes:
        found = "complete, skipped" if outcome.hits is None else f"{outcome.hits} hits"
        if outcome.failure is None:
            click.echo(f"{outcome.path}: {found}; {outcome.folder}/")
    failed = [outcome.failure for outcome in outcomes if outcome.failure is not None]
    if failed:
        raise UserError("\n  ".join([f"{len(failed)} of {len(outcomes)} videos failed:", *failed]))


@main.command()
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--hits", required=True, type=click.Path(path_type=Path), help="CSV of the video's hits.")
@click.option("--row", "row_id", help="Which row's hits, where the file holds several.")
@click.option("--sounds", type=click.Path(path_type=Path), help="A sound file, or a folder; default: knocks.")
@click.option("--class", "class_name", help="Which folder of --sounds, where it holds one per class.")
@click.option("--out", type=click.Path(path_type=Path), help="Dubbed video to write: .mp4, .mov or .mkv.")
@click.option("--stem", type=click.Path(path_type=Path), help="WAV file of the placed sounds alone.")
@click.option(
    "--keep-original/--replace",
    default=True,
    show_default=True,
    help="Mix the video's own sound under, 6 dB lower, or leave it out.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the pitch changes."
)
@click.option(
    "--gain-db", default=0.0, show_default=True, type=float, help="Placed sounds louder or quieter."
)
def dub(video: Path, hits: Path, row_id: str | None, **given: Any) -> None:
    """Make a preview that can be heard: VIDEO, its pictures untouched, with a sound at each hit.

    HITS has the columns row_id,frame,time_s,probability,x_fraction,y_fraction, as data/evaluation/hits.csv.

    \b
    Examples:
      ta2net dub film.mp4 --hits hits.csv --out dubbed.mp4
      ta2net dub film.mp4 --hits hits.csv --sounds my_drums/ --replace --out dubbed.mov --stem drums.wav
    """
    from ta2net.deliver.dub import dub as run
    from ta2net.hits.hits_file import read_hits

    done = run(video, read_hits(hits, row_id), **given)
    for note in done.notes:
        click.echo(note, err=True)
    written = " and ".join(str(given[name]) for name in ("out", "stem") if given[name])
    click.echo(f"{done.sounds} sounds placed; written: {written}")


@main.command()
@click.option(
    "--hits",
    default="data/evaluation/hits.csv",
    show_default=True,
    type=click.Path(path_type=Path),
    help="CSV of hits.",
)
@click.option("--video", required=True, type=click.Path(path_type=Path), help="The video they were found in.")
@click.option("--row", "row_id", help="Which row's hits, where the file holds several.")
@click.option("--format", "formats", required=True, multiple=True, help="Names with commas, or all.")
@click.option("--out", default=".", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--class", "class_name", default="", help="What markers are called; default: hit.")
@click.option("--start-timecode", help="Timecode of the first frame; default: the video's own, or none.")
@click.option("--drop/--non-drop", "drop_frame", default=None, help="Drop-frame timecode; default: at 29.97.")
def export(hits: Path, video: Path, row_id: str | None, formats: tuple[str, ...], **given: Any) -> None:
    """Write hits as files that editors open: VIDEO's name, then .premiere.xml, .audacity.txt and so on.

    \b
    Formats:
      json, csv            everything that is known, for programs
      premiere, resolve, fcpxml, otio    video editors
      audacity, reaper, protools, midi   programs for sound
      vtt, srt             subtitles: a cue at each hit
      e2espot              predictions as E2E-Spot scores them
    docs/editors.md says what to click in each program.

    \b
    Examples:
      ta2net export --video film.mp4 --hits hits.csv --format audacity
      ta2net export --video film.mp4 --row film --format premiere,resolve --out markers
      ta2net export --video film.mov --hits hits.csv --format all --start-timecode "10:00:00;00"
    """
    from importlib.metadata import version

    from ta2net.deliver.exports import formats_named, look_at, timeline_of, write_exports
    from ta2net.hits.hits_file import read_hits

    names = formats_named(formats)
    more = {name: value for name, value in given.items() if value is not None and name != "out"}
    found = read_hits(hits, row_id)
    timeline = timeline_of(look_at(video), found, versions={"ta2net": version("ta2net")}, **more)
    for path in write_exports(timeline, names, given["out"]):
        click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
