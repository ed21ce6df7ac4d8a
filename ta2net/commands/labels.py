"""Commands for people who make labels: hear them in a sound track, take them over from an editor."""

from __future__ import annotations

from pathlib import Path

import click

from ta2net.commands import completion


@click.command()
@click.argument("videos", nargs=-1, required=True, shell_complete=completion.files)
@click.option(
    "--out",
    default="labels",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the results.",
)
@click.option(
    "--threshold",
    default=0.3,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Least confidence of an onset; a lower value finds more.",
)
@click.option(
    "--min-distance",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Least distance between two labels, in frames; the most confident is kept.",
)
@click.option(
    "--class", "class_name", help="Class of all these videos; default: as in labels.csv, or unknown."
)
def label(
    videos: tuple[str, ...], out: Path, threshold: float, min_distance: int, class_name: str | None
) -> None:
    """Label VIDEOS (files, folders, patterns) by their own sound: every onset is a hit.

    Writes labels.csv into --out, ready for source.train_labels, and for each video a folder with onsets.csv
    (time, frame, confidence) and labels.html, a page to hear the labels. Rows of other videos in labels.csv
    are kept. If a video fails, for example because it has no sound, the others still run; failures are listed
    at the end (exit code 2, or 1 for a bug in the program).

    \b
    Examples:
      ta2net label drums/ --class drumming
      ta2net label "takes/**/*.mov" --threshold 0.5 --min-distance 4 --out labels
    """
    from ta2net.label.labelling import LABELS, label_videos
    from ta2net.media.faults import raise_failures
    from ta2net.media.inputs import videos_of

    mistakes: list[str] = []
    faults: list[str] = []
    done = 0
    for outcome in label_videos(
        videos_of(videos), out, threshold=threshold, min_distance=min_distance, class_name=class_name
    ):
        done += 1
        if outcome.heard is None:
            (faults if outcome.fault else mistakes).append(outcome.failure or "")
            continue
        count, outside = len(outcome.heard.onsets), outcome.heard.outside
        more = f", {outside} outside the pictures left out" if outside else ""
        click.echo(f"{outcome.path}: {count} labels{more}; {outcome.folder}/")
    if done > len(mistakes) + len(faults):
        click.echo(f"labels: {out / LABELS}")
    raise_failures(mistakes, faults, done)


@click.command("import")
@click.argument("marks", type=click.Path(path_type=Path))
@click.option("--video", required=True, type=click.Path(path_type=Path), help="The video of the marks.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["audacity", "csv", "reaper", "edl"]),
    help="Format of MARKS; default: recognised by its content.",
)
@click.option(
    "--out",
    default="labels.csv",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Label file to write; rows of other videos are kept.",
)
@click.option("--class", "class_name", help="Class of the video; default: as in --out, or unknown.")
@click.option("--row", "row_id", help="Id of the row to use, if a CSV file holds several.")
@click.option(
    "--start-timecode", help="Start of the editor's timeline; default: 01:00:00:00. For EDL files only."
)
def import_(marks: Path, video: Path, format_: str | None, out: Path, **given: str | None) -> None:
    """Turn MARKS that you set or corrected in an editor into labels to train on.

    MARKS is a file of `ta2net export` after your changes: an Audacity label track, a CSV file with a column
    frame or time_s (such as hits.csv), REAPER's markers, or an EDL (Resolve's markers, locators, cuts). Each
    mark goes to the frame shown nearest to it.

    \b
    Examples:
      ta2net import film.audacity.txt --video film.mp4 --class drumming
      ta2net import Timeline1.edl --video film.mov --out train.csv
      ta2net import hits.csv --row film --video film.mp4
    """
    from ta2net.label.importing import import_labels

    found = import_labels(marks, video, out, format=format_, **given)
    doubled = found.marks - len(found.frames)
    more = f" ({doubled} marks shared a frame with another)" if doubled else ""
    click.echo(f"{marks}: {len(found.frames)} labels from {found.format}{more}; written: {out}")
