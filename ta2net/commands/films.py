"""Commands for people who have videos: find hits, write them for editors, hear them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ta2net.commands import completion

if TYPE_CHECKING:
    from ta2net.hits.hit import Hit
    from ta2net.prediction.outcome import Outcome


CHECKPOINT_OPTION = click.option(
    "--checkpoint",
    shell_complete=completion.networks,
    help="A trained checkpoint: a file, or a name of `ta2net models`; default: real.",
)
SENSITIVITY_OPTION = click.option(
    "--sensitivity",
    type=click.Choice(["low", "normal", "high"]),
    help="low: few false hits; high: few missed ones; default: normal.",
)
STRIDE_OPTION = click.option(
    "--stride",
    type=click.IntRange(min=1),
    help="Frames from one window to the next; default: as the checkpoint was validated.",
)
FLIP_OPTION = click.option(
    "--flip-average/--no-flip-average",
    default=None,
    help="Average over each window and its mirror image: twice the work; default: as the checkpoint was "
    "validated.",
)
PREDICTION_OPTIONS = (
    click.option(
        "--out",
        default="hits",
        show_default=True,
        type=click.Path(path_type=Path),
        help="Folder for the results.",
    ),
    CHECKPOINT_OPTION,
    SENSITIVITY_OPTION,
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1),
        help="Least probability of a hit, instead of --sensitivity.",
    ),
    click.option(
        "--min-distance", type=click.IntRange(min=1), help="Least distance between two hits, in frames."
    ),
    STRIDE_OPTION,
    FLIP_OPTION,
    click.option(
        "--start", "start_s", type=click.FloatRange(min=0), help="Start here: seconds after the first frame."
    ),
    click.option(
        "--end", "end_s", type=click.FloatRange(min=0), help="Stop here: seconds after the first frame."
    ),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ..."),
    click.option("--flow-checkpoint", help="File with the weights of the flow model, if it needs one."),
    click.option("--skip-existing", is_flag=True, help="Skip videos that have complete results."),
)
"""Shared by the commands that find hits."""


def finds_hits(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``PREDICTION_OPTIONS``."""
    for option in reversed(PREDICTION_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("videos", nargs=-1, required=True, shell_complete=completion.files)
@click.option(
    "--format",
    "formats",
    multiple=True,
    shell_complete=completion.formats,
    help="Also write files for editors: audacity,resolve,... or all.",
)
@click.option("--report", is_flag=True, help="Also write a web page for each video, as ta2net report does.")
@finds_hits
def predict(videos: tuple[str, ...], out: Path, formats: tuple[str, ...], **options: Any) -> None:
    """Find the hits of VIDEOS (files, folders, patterns).

    Each video gets a folder in --out with hits.csv, candidates.csv (down to a probability of 0.01),
    scores.csv (every frame) and a file for each --format. If a video fails, the others still run; failures
    are listed at the end (exit code 2, or 1 for a bug in the program).

    \b
    Examples:
      ta2net predict film.mp4
      ta2net predict film.mp4 --format audacity,resolve --start 60 --end 90
      ta2net predict "clips/**/*.mp4" --out results --skip-existing
    """
    from ta2net.prediction.many import predict_videos

    tell(predict_videos(videos, out, formats, **options))


@click.command()
@click.argument("videos", nargs=-1, required=True, shell_complete=completion.files)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="CSV of labels (video_id,sound_label,class) to show beside the hits.",
)
@finds_hits
def report(videos: tuple[str, ...], out: Path, **options: Any) -> None:
    """Find the hits of VIDEOS and show them on web pages: player, score curve, pictures of every hit.

    It does what predict does, then writes report.html into each folder of results, and index.html, which
    lists them, into --out. The pages need no other files and no network. Any browser opens them.

    \b
    Examples:
      ta2net report film.mp4 && xdg-open hits/film/report.html
      ta2net report clips/ --labels labels.csv --out pages
    """
    from ta2net.prediction.many import predict_videos

    tell(predict_videos(videos, out, (), report=True, **options))
    click.echo(f"all videos: {out / 'index.html'}")


def tell(outcomes: Sequence[Outcome]) -> None:
    """Print the outcome of each video.

    Raises:
        UserError, InternalError: some failed; see ``raise_failures``.
    """
    from pipeline.sources.findings import printable
    from ta2net.media.faults import raise_failures

    for outcome in outcomes:
        found = "complete, skipped" if outcome.hits is None else f"{outcome.hits} hits"
        if outcome.failure is None:
            click.echo(printable(f"{outcome.path}: {found}; {outcome.folder}/"))
    mistakes, faults = (
        [outcome.failure for outcome in outcomes if outcome.failure is not None and outcome.fault == fault]
        for fault in (False, True)
    )
    raise_failures(mistakes, faults, len(outcomes))


@click.command()
@click.option(
    "--hits",
    default="data/evaluation/hits.csv",
    show_default=True,
    type=click.Path(path_type=Path),
    help="CSV of hits.",
)
@click.option("--video", required=True, type=click.Path(path_type=Path), help="The video of the hits.")
@click.option("--row", "row_id", help="Id of the row to use, if --hits holds several.")
@click.option(
    "--format",
    "formats",
    required=True,
    multiple=True,
    shell_complete=completion.formats,
    help="Names of formats, separated by commas, or all.",
)
@click.option(
    "--out", default=".", show_default=True, type=click.Path(path_type=Path), help="Folder to write to."
)
@click.option("--class", "class_name", default="", help="Name of the markers; default: hit.")
@click.option("--start-timecode", help="Timecode of the first frame; default: the video's own, or none.")
@click.option(
    "--drop/--non-drop",
    "drop_frame",
    default=None,
    help="Drop-frame timecode or not; default: drop at 29.97 and 59.94 frames/s.",
)
def export(hits: Path, video: Path, row_id: str | None, formats: tuple[str, ...], **given: Any) -> None:
    """Write hits as files for editors. They are named like the video: NAME.premiere.xml and so on.

    \b
    Formats:
      json, csv                          all information, for programs
      premiere, resolve, fcpxml, otio    for video editors
      audacity, reaper, protools, midi   for sound editors
      vtt, srt                           subtitles, one cue per hit
      e2espot                            predictions for E2E-Spot's evaluation
    docs/editors.md says how to open each.

    \b
    Examples:
      ta2net export --video film.mp4 --hits hits.csv --format audacity
      ta2net export --video film.mp4 --row film --format premiere,resolve --out markers
      ta2net export --video film.mov --hits hits.csv --format all --start-timecode "10:00:00;00"
    """
    from importlib.metadata import version

    from pipeline.sources.findings import printable
    from ta2net.deliver.exports import formats_named, look_at, timeline_of, write_exports
    from ta2net.hits.hits_file import read_hits

    names = formats_named(formats)
    more = {name: value for name, value in given.items() if value is not None and name != "out"}
    found = read_hits(hits, row_id)
    timeline = timeline_of(look_at(video), found, versions={"ta2net": version("ta2net")}, **more)
    for path in write_exports(timeline, names, given["out"]):
        click.echo(printable(f"written: {path}"))


@click.command()
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--hits", type=click.Path(path_type=Path), help="CSV of the video's hits; default: find them.")
@click.option("--row", "row_id", help="Id of the row to use, if --hits holds several.")
@CHECKPOINT_OPTION
@SENSITIVITY_OPTION
@STRIDE_OPTION
@FLIP_OPTION
@click.option(
    "--sounds",
    type=click.Path(path_type=Path),
    help="A sound file, or a folder of them; default: synthesised knocks.",
)
@click.option("--class", "class_name", help="The folder inside --sounds to use, if it has one per class.")
@click.option("--out", type=click.Path(path_type=Path), help="Dubbed video to write: .mp4, .mov or .mkv.")
@click.option("--stem", type=click.Path(path_type=Path), help="WAV file to write, with the new sounds only.")
@click.option(
    "--keep-original/--replace",
    default=True,
    show_default=True,
    help="Keep the video's own sound, 6 dB lower, or leave it out.",
)
@click.option(
    "--loudness",
    type=click.Choice(["probability", "inflection"]),
    default="probability",
    show_default=True,
    help="What makes a hit louder: its probability, or how hard the motion changes.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Seed for the random pitch changes.",
)
@click.option(
    "--gain-db", default=0.0, show_default=True, type=float, help="Make the new sounds louder or quieter."
)
def dub(
    video: Path,
    hits: Path | None,
    row_id: str | None,
    checkpoint: str | None,
    sensitivity: str | None,
    stride: int | None,
    flip_average: bool | None,
    **given: Any,
) -> None:
    """Put a sound at each hit of VIDEO. The pictures are not changed.

    Without --hits, the hits are found first, as predict does. A file of hits has the columns
    row_id,frame,time_s,probability,x_fraction,y_fraction, as predict writes them.

    \b
    Examples:
      ta2net dub film.mp4 --out dubbed.mp4
      ta2net dub film.mp4 --hits hits.csv --sounds my_drums/ --replace --out dubbed.mov --stem drums.wav
    """
    from ta2net.deliver.dub import check_outputs
    from ta2net.deliver.dub import dub as run

    check_outputs(video, given["out"], given["stem"])  # before minutes of looking for hits
    finding: dict[str, Any] = {
        "sensitivity": sensitivity,
        "stride": stride,
        "flip_average": flip_average,
    }
    if hits is None:
        if row_id is not None:
            raise click.UsageError("--row chooses a row of --hits: give --hits as well")
        from ta2net.prediction.file2hits import File2Hits

        predictor = File2Hits(checkpoint, **finding)
        for note in predictor.notes:
            click.echo(note, err=True)
        found: Sequence[Hit] = predictor(video, quiet=False).hits
    else:
        if checkpoint is not None or any(value is not None for value in finding.values()):
            raise click.UsageError(
                "--checkpoint, --sensitivity, --stride and --flip-average are for finding hits: leave out "
                "either them or --hits"
            )
        from ta2net.hits.hits_file import read_hits

        found = read_hits(hits, row_id)
    done = run(video, found, **given)
    for note in done.notes:
        click.echo(note, err=True)
    written = " and ".join(str(given[name]) for name in ("out", "stem") if given[name])
    click.echo(f"{done.sounds} sounds placed; written: {written}")
