"""``python -m benchmarks.labels``: labels heard in sound against given ones, beside librosa as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.errors import UserError, VideoError
from pipeline.params import SourceParams
from pipeline.sources.audible623 import read_label_files, video_folders
from pipeline.sources.videos import find_video, index_videos
from pipeline.spans import Spans, first_frames, frames_in, in_spans
from pipeline.video.probe import VideoInfo, probe
from ta2net.evaluation.metrics import Judged, event_counts, event_figures
from ta2net.evaluation.timing import error_figures, onset_figures, onset_matches, time_errors_s
from ta2net.hits.peaks import spaced
from ta2net.label.onsets import novelty, onsets
from ta2net.label.snap import nearest_frames
from ta2net.label.sound import Mono, sound_blocks
from ta2net.media.audio import SAMPLE_RATE

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
MIN_DISTANCE = 2
HEADER = ("labels from sound", "F1 at 0", "F1 at 1", "F1 at 2", "recall", "precision", "F1 50 ms", "bias ms")


@dataclass(frozen=True)
class Take:
    """One labelled video and its sound."""

    info: VideoInfo
    labels: tuple[int, ...]
    annotated: Spans
    start_s: float
    sound: Mono


def read_takes(labels: Path, videos: Path) -> list[Take]:
    """All videos of a label file that have sound; those without are told."""
    listing = read_label_files(SourceParams(name="csv", train_labels=None, eval_labels=str(labels)))
    index = index_videos(videos)
    takes = []
    for row in tqdm(listing.rows, desc="sound", unit="video", disable=None):
        path = find_video(index, row.video_id, video_folders(row))
        try:
            blocks = list(sound_blocks(path))
        except VideoError as error:
            click.echo(f"left out: {error.message}", err=True)
            continue
        info, sound = probe(path), np.concatenate([x for _, x in blocks])
        annotated = first_frames(info.n_frames) if row.annotated is None else row.annotated
        takes.append(Take(info, frames_in(row.labels, annotated), annotated, blocks[0][0], sound))
    if not takes:
        raise UserError(f"{labels}: no video of it has sound")
    return takes


def judged(take: Take, moments_s: NDArray[np.float64], confidence: NDArray[np.float64]) -> Judged:
    """Onsets on annotated frames, as ``ta2net label`` puts them there, beside the labels."""
    frames, inside = nearest_frames(take.info.times_s, moments_s)
    order = np.lexsort((-confidence[inside], frames[inside]))
    shown, first = np.unique(frames[inside][order], return_index=True)
    kept, _ = spaced(shown, confidence[inside][order][first], MIN_DISTANCE)
    known = kept[in_spans(kept, take.annotated)]
    return Judged(known, np.array(take.labels, np.int64), take.info.times_s)


def row(name: str, videos: Sequence[Judged]) -> str:
    """One line of the table."""
    counts = event_counts(videos)
    event = event_figures(counts)
    within = onset_figures({50: onset_matches(videos)}, counts.predicted, counts.labelled)["f1_50ms"]
    figures = [event[key] for key in ("f1_at_0", "f1_at_1", "f1_at_2", "recall_at_2", "precision_at_2")]
    bias = error_figures(time_errors_s(videos))["bias_ms"]
    shown = [*(f"{value:.3f}" for value in (*figures, within)), "-" if bias is None else f"{bias:+.1f}"]
    return " | ".join((f"| {name}", *shown)) + " |"


@click.command()
@click.argument("labels", type=click.Path(path_type=Path))
@click.argument("videos", type=click.Path(path_type=Path))
def main(labels: Path, videos: Path) -> None:
    """Hear labels in the sound of VIDEOS and judge them by LABELS, a CSV file in Audible623's format.

    \b
    Example:
      python -m benchmarks.labels data/impacts/eval.csv data/impacts/videos
    """
    import librosa

    takes = read_takes(labels, videos)
    curves = [novelty([(take.start_s, take.sound)]) for take in takes]
    labelled = sum(len(take.labels) for take in takes)
    click.echo(f"{len(takes)} videos with sound, {labelled} labelled frames\n")
    click.echo("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
    plain = []
    for take in takes:
        found_s = librosa.onset.onset_detect(y=take.sound, sr=SAMPLE_RATE, units="time") + take.start_s
        plain.append(judged(take, found_s, np.ones(len(found_s))))
    click.echo(row("librosa's onset_detect as it comes", plain))
    for threshold in THRESHOLDS:
        heard = [onsets(curve, threshold) for curve in curves]
        videos_judged = [judged(t, h.times_s, h.confidence) for t, h in zip(takes, heard, strict=True)]
        click.echo(row(f"ta2net label --threshold {threshold:g}", videos_judged))


if __name__ == "__main__":
    main()
