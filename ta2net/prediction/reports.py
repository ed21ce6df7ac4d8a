"""A prediction -> its report; many -> the page that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.spans import Spans
from pipeline.video.decode import open_video
from ta2net.deliver.report import (
    PAGE,
    Entry,
    Facts,
    Subject,
    read_entry,
    write_entry,
    write_index,
    write_report,
)
from ta2net.deliver.report.page import labels_in_short
from ta2net.evaluation.label_files import read_frame_file
from ta2net.hits.peaks import smoothed
from ta2net.media.timeline import Timeline
from ta2net.prediction.file2hits import File2Hits, Prediction, cut, part_of

if TYPE_CHECKING:
    from ta2net.prediction.outcome import Outcome

PICTURES_AT_A_TIME = 4
"""Frames are looked at one by one: more of a large video would only fill the memory."""


@dataclass(frozen=True)
class Labels:
    """The labels of videos by id, from one file.

    Attributes:
        path: of the file.
        frames: labelled frames in order, by video id.
        annotated: half-open spans outside of which a video's labels tell nothing, by video id; all frames are
            annotated where there are none.
    """

    path: Path
    frames: Mapping[str, tuple[int, ...]]
    annotated: Mapping[str, Spans] = field(default_factory=dict)

    def of(self, name: str, n_frames: int) -> tuple[int, ...] | None:
        """The labels of a video; None: it has none.

        Raises:
            UserError: a label lies behind the video's last frame.
        """
        found = self.frames.get(name)
        if found and found[-1] >= n_frames:
            raise UserError(
                f"{self.path}: {name!r} has a label at frame {found[-1]}, but the video ends at frame "
                f"{n_frames - 1}; correct the file, or give the video that was labelled"
            )
        return found


def read_labels(path: Path, names: Iterable[str]) -> Labels:
    """Labels in Audible623's format.

    Args:
        names: the ids of the videos they are for: their file names without extension.

    Raises:
        UserError: see ``read_frame_file``; or none of the videos is labelled there.
    """
    found = read_frame_file(path, None)
    videos = found.videos
    labels = Labels(
        path,
        {name: video.known(video.frames) for name, video in videos.items()},
        {name: video.annotated for name, video in videos.items() if video.annotated is not None},
    )
    if not any(name in labels.frames for name in names):
        raise UserError(
            f"{path}: labels none of these videos; its video_id must be the file's name without extension"
        )
    return labels


@dataclass(frozen=True)
class Reporter:
    """Writes reports of what one network finds.

    Attributes:
        network: what it is called.
        start_s, end_s: the part of each video that was asked for.
    """

    predictor: File2Hits
    network: str
    labels: Labels | None = None
    start_s: float | None = None
    end_s: float | None = None

    def write(self, found: Prediction, timeline: Timeline, folder: Path) -> None:
        """The report of one video, in ``folder``; reads the video once more, from its first frame on.

        Raises:
            UserError: see ``write_report``, ``Labels.of``.
        """
        info, maps = found.info, found.scores.localization
        first, stop = part_of(info, self.start_s, self.end_s)
        subject = Subject(
            timeline=timeline,
            times_s=info.times_s,
            first=first,
            stop=stop,
            score=smoothed(found.scores.probability, self.predictor.decide.peaks.smoothing_frames),
            threshold=found.threshold,
            maps={} if maps is None else {hit.frame: maps[hit.frame] for hit in found.hits},
            facts=[*self.facts(), *_video_facts(found)],
            labels=None if self.labels is None else self.labels.of(found.name, info.n_frames),
            annotated=None if self.labels is None else self.labels.annotated.get(found.name),
        )
        reader = self.predictor.params.decode.reader
        pictures = cut(open_video(info.path, reader, PICTURES_AT_A_TIME), first, stop)
        kinematics = self.predictor.kinematics
        small = write_report(subject, pictures, kinematics, folder / PAGE, index="../index.html", quiet=False)
        labels = labels_in_short(subject.comparison, len(subject.judged))
        write_entry(Entry(timeline.name, subject.duration_s, len(found.hits), labels, small), folder)

    def write_index(self, outcomes: Sequence[Outcome], out: Path) -> Path:
        """The page of all videos, those that failed with their reason.

        Raises:
            UserError: a report of an earlier run is damaged, or the page cannot be written.
        """
        entries = [
            Entry(outcome.path.name, failure=outcome.failure)
            if outcome.failure is not None
            else read_entry(outcome.folder)
            for outcome in outcomes
        ]
        folders = [outcome.folder for outcome in outcomes]
        return write_index(list(zip(entries, folders, strict=True)), out, self.facts())

    def facts(self) -> Facts:
        """The network, its threshold, the flow, and the versions."""
        document, params, peaks = self.predictor.document, self.predictor.params, self.predictor.decide.peaks
        height, width = params.flow.size
        programs = ", ".join(f"{name} {version(name)}" for name in ("ta2net", "torch", "numpy", "av"))
        facts = [("Network", self.network)]
        judged = document.get("validation", {}).get("f1_at_2")
        if judged is not None:
            facts.append(("", f"event F1 within 2 frames {judged:.3f} on its own validation clips"))
        commit = (document.get("provenance", {}).get("git") or {}).get("commit")
        if commit is not None:
            facts.append(("", f"trained by the code of commit {commit[:12]}"))
        return [
            *facts,
            ("Threshold", self._threshold()),
            (
                "Hits",
                f"no two nearer than {peaks.min_distance} frames; smoothed by {peaks.smoothing_frames:g}",
            ),
            ("Optical flow", f"{params.flow.model} at {height} \u00d7 {width} px"),
            ("Versions", programs),
        ]

    def _threshold(self) -> str:
        chosen, used = self.predictor.document["thresholds"]["peaks"], self.predictor.decide.threshold
        if used == chosen:
            return f"{used:.3f}, as validation clips chose it"
        return f"{used:.3f}, as asked for; validation clips chose {chosen:.3f}"


def _video_facts(found: Prediction) -> Facts:
    info = found.info
    size = f"{info.width} \u00d7 {info.height} px"
    facts = [
        ("Video", f"{info.codec} in {info.container}, {info.n_frames} frames of {size}"),
        ("Player", "a small copy, every frame on show for as long as in the video"),
    ]
    if info.times_s[0]:
        facts.append(
            ("Times", f"in the file, and in hits.csv, the first frame is at {info.times_s[0]:.6f} s")
        )
    return facts + [("Note", note) for note in info.notes]
