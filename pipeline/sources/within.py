"""What of a row's labels and annotated spans holds in its video, whose length is known now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.sources.findings import Finding, Labelled, RowRefusedError
from pipeline.spans import Spans, clipped_spans, first_frames, format_spans, frames_in


def labels_in(
    labelled: Labelled, path: Path, n_frames: int, annotated_frames: int | None, findings: list[Finding]
) -> tuple[tuple[int, ...], Spans]:
    """The labels on annotated frames of a video, and its annotated spans; what is dropped is told.

    Args:
        path: of the video, for messages.
        annotated_frames: where labels stop in a row without spans of its own; None: nowhere.

    Raises:
        RowRefusedError: all labels or all annotated spans lie behind the video's end.
    """
    labels = _in_video(labelled, path, n_frames, findings)
    annotated = _annotated_in(labelled, path, n_frames, findings)
    if annotated is None:
        annotated = first_frames(annotated_until(labels, n_frames, annotated_frames))
    return _annotated_labels(labelled, labels, annotated, findings), annotated


def _in_video(labelled: Labelled, path: Path, n_frames: int, findings: list[Finding]) -> tuple[int, ...]:
    """The labels on frames of the video.

    Raises:
        RowRefusedError: there are labels, and all lie behind its end.
    """
    labels = tuple(frame for frame in labelled.labels if frame < n_frames)
    behind = labelled.labels[len(labels) :]
    if behind and not labels:
        raise RowRefusedError(
            f"{path}: it has {n_frames} frames and all labels lie after them (from {behind[0]}): "
            "is it the right video?"
        )
    if behind:
        message = f"labels after the last frame ({n_frames - 1}) dropped: {_first_ten(behind)}"
        findings.append(labelled.finding("repaired", message))
    return labels


def _annotated_in(labelled: Labelled, path: Path, n_frames: int, findings: list[Finding]) -> Spans | None:
    """What of the row's own annotated spans lies in the video; None where it has none of its own.

    Raises:
        RowRefusedError: all lie behind its end.
    """
    if labelled.annotated is None:
        return None
    spans = clipped_spans(labelled.annotated, n_frames)
    if not spans:
        raise RowRefusedError(
            f"{path}: it has {n_frames} frames and all annotated spans lie after them "
            f"({format_spans(labelled.annotated)[:80]}): is it the right video?"
        )
    if spans != labelled.annotated:
        message = f"annotated spans cut at the last frame ({n_frames - 1}): {format_spans(spans)[:80]}"
        findings.append(labelled.finding("repaired", message))
    return spans


def _annotated_labels(
    labelled: Labelled, labels: tuple[int, ...], annotated: Spans, findings: list[Finding]
) -> tuple[int, ...]:
    """The labels on annotated frames; the file says that nothing is known of the others."""
    kept = frames_in(labels, annotated)
    if kept != labels:
        known = set(kept)
        outside = [frame for frame in labels if frame not in known]
        message = (
            f"labels outside the annotated spans ({format_spans(annotated)[:80]}) dropped: "
            f"{_first_ten(outside)}"
        )
        findings.append(labelled.finding("repaired", message))
    return kept


def _first_ten(frames: Sequence[int]) -> str:
    return ", ".join(map(str, frames[:10])) + (", ..." if len(frames) > 10 else "")


def annotated_until(labels: Sequence[int], n_frames: int, annotated_frames: int | None) -> int:
    """The first frame of which nothing is known: ``annotated_frames``, or behind the last label if later."""
    if annotated_frames is None:
        return n_frames
    return min(n_frames, max([annotated_frames, *(label + 1 for label in labels)]))
