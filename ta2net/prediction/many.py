"""Many video files -> a folder of what was found in each; a bad one stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.errors import UserError, telling
from ta2net.deliver.exports.registry import formats_named, write_exports
from ta2net.deliver.report import ENTRY, PAGE
from ta2net.hits.hit import HIGH_RECALL_SCORE, hits_at, write_hits
from ta2net.hits.saved import SCORES, write_scores
from ta2net.media.faults import ERROR_LOG, told_fault
from ta2net.media.film import look_at, timeline_of
from ta2net.media.inputs import folders_of, videos_of
from ta2net.networks.built_in import network_path
from ta2net.prediction.file2hits import File2Hits, Prediction, Scores2Hits
from ta2net.prediction.outcome import Outcome
from ta2net.prediction.reports import Reporter, read_labels
from ta2net.training.provenance import versions

HITS, CANDIDATES = "hits.csv", "candidates.csv"


Deliver = Callable[[Prediction, Path], None]
"""Writes something more of a prediction into its folder."""


def predict_files(
    predictor: File2Hits,
    paths: Sequence[Path],
    out: Path,
    *,
    deliver: Deliver,
    complete: Sequence[str] = (HITS,),
    skip_existing: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Iterator[Outcome]:
    """Predict file by file; each leaves hits.csv, candidates.csv, scores.csv and what ``deliver`` adds.

    hits.csv is written last: where it is, a run has come to its end. ``skip_existing`` leaves a folder with
    all files of ``complete`` as it is. A fault of the program leaves ``ERROR_LOG`` there.
    """
    for path, folder in folders_of(paths, out).items():
        if skip_existing and all((folder / name).is_file() for name in complete):
            yield Outcome(path, folder)
            continue
        try:
            with telling():
                hits = _predict(predictor, path, folder, deliver, start_s, end_s)
        except UserError as error:
            yield Outcome(path, folder, failure=error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the file, and the rest go on
            yield Outcome(path, folder, failure=told_fault(error, path, folder), fault=True)
        else:
            yield Outcome(path, folder, hits=hits)


def _predict(
    predictor: File2Hits,
    path: Path,
    folder: Path,
    deliver: Deliver,
    start_s: float | None,
    end_s: float | None,
) -> int:
    """The files of one video; how many hits it has."""
    found = predictor(path, start_s=start_s, end_s=end_s, quiet=False)
    for name in (HITS, PAGE, ENTRY, ERROR_LOG):  # of an earlier run: not complete again before the end
        (folder / name).unlink(missing_ok=True)
    write_scores([(found.name, found.info.times_s, found.scores)], folder / SCORES)
    every = Scores2Hits(HIGH_RECALL_SCORE, predictor.decide.peaks).found(found.scores)
    candidates = hits_at(found.name, every, found.info.times_s, found.scores)
    write_hits(candidates, folder / CANDIDATES)
    deliver(found, folder)
    write_hits(found.hits, folder / HITS)
    return len(found.hits)


def predict_videos(
    inputs: Sequence[str],
    out: Path,
    formats: Sequence[str],
    *,
    checkpoint: str | Path | None = None,
    report: bool = False,
    labels: Path | None = None,
    skip_existing: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    **options: Any,
) -> list[Outcome]:
    """All that ``ta2net predict`` does: see ``videos_of``, ``File2Hits`` (``options``), ``predict_files``.

    Args:
        formats: names of editors' formats to write beside the CSV files.
        checkpoint: a trained network, or the name of one that comes with the program; None: the default one.
        report: also write a page for each video, and one that lists them.
        labels: of the videos, for their pages, in Audible623's format.

    Raises:
        UserError: a wrong input, format or option, before the first video is looked at.
    """
    names = formats_named(formats) if formats else []
    paths = videos_of(inputs)
    known = None if labels is None else read_labels(labels, [path.stem for path in paths])
    predictor = File2Hits(checkpoint, **options)
    for note in predictor.notes:
        click.echo(note, err=True)
    file = network_path(checkpoint)
    network = str(checkpoint) if checkpoint else f"{file.name}, built in: has seen rendered clips only"
    reporter = Reporter(predictor, network, known, start_s, end_s)
    model = f"{file.name}, threshold {predictor.decide.threshold:.3f}"
    programs = {name: number for name, number in versions().items() if number is not None}

    def deliver(found: Prediction, folder: Path) -> None:
        if not names and not report:
            return
        timeline = timeline_of(look_at(found.info), found.hits, model=model, versions=programs)
        if names:
            write_exports(timeline, names, folder)
        if report:
            reporter.write(found, timeline, folder)

    part = {"start_s": start_s, "end_s": end_s}
    complete = (HITS, PAGE, ENTRY) if report else (HITS,)
    done = list(
        predict_files(
            predictor, paths, out, deliver=deliver, complete=complete, skip_existing=skip_existing, **part
        )
    )
    if report:
        reporter.write_index(done, out)
    return done
