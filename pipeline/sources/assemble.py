"""Label rows + video files -> Catalog and a report of everything that was repaired, left out or refused."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.catalog import MIN_FRAMES, SPLITS, Catalog, Row
from pipeline.errors import UserError, VideoError
from pipeline.files.atomic import sha256_of
from pipeline.params import Allowed, DataParams
from pipeline.sources import audible623, impacts
from pipeline.sources.findings import KINDS, Finding, Labelled, Listing, RowRefusedError
from pipeline.sources.splits import row_ids, validation_groups
from pipeline.sources.videos import find_video, index_videos
from pipeline.sources.within import labels_in
from pipeline.video.probe import probe

SOURCES: dict[str, Callable[[DataParams], Listing]] = {"csv": audible623.read, "impacts": impacts.read}

MAX_THREADS = 8
SHOWN_REFUSALS = 10


@dataclass(frozen=True)
class Assembled:
    """What ``assemble`` made.

    Attributes:
        catalog: the usable rows.
        findings: remarks on single rows, in the order of the files.
        label_rows: rows that were read from the label files and could be parsed.
        shared_groups: groups with rows in both label files, before any was left out for it.
    """

    catalog: Catalog
    findings: tuple[Finding, ...]
    label_rows: int
    shared_groups: tuple[str, ...]

    def of_kind(self, kind: str) -> list[Finding]:
        """The remarks of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def report(self) -> dict[str, Any]:
        """The whole outcome as a JSON document."""
        counts: dict[str, Any] = {}
        for split in SPLITS:
            rows = self.catalog.split(split)
            counts[split] = {
                "rows": len(rows),
                "groups": len({row.group for row in rows}),
                "labels": sum(len(row.labels) for row in rows),
                "frames": sum(row.n_frames for row in rows),
            }
        return {
            "label_rows": self.label_rows,
            "catalog_rows": len(self.catalog),
            "splits": counts,
            "groups_in_both_train_and_eval": len(self.shared_groups),
            "shared_groups": list(self.shared_groups),
            "counts": {kind: len(self.of_kind(kind)) for kind in KINDS},
            **{kind: [finding.document() for finding in self.of_kind(kind)] for kind in KINDS},
        }

    def summary(self) -> str:
        """The outcome in a few lines for people."""
        parts = ", ".join(f"{split} {len(self.catalog.split(split))}" for split in SPLITS)
        remarks = ", ".join(f"{len(self.of_kind(kind))} {kind.replace('_', ' ')}" for kind in KINDS)
        lines = [
            f"{len(self.catalog)} rows ({parts}) from {self.label_rows} label rows",
            f"remarks: {remarks}",
        ]
        if self.shared_groups:
            lines.append(f"{len(self.shared_groups)} groups occur in both train and eval")
        return "\n".join(lines)


@dataclass(frozen=True)
class Checked:
    """What the Catalog wants to know of a video file; ``problem`` is why it cannot be used."""

    n_frames: int = 0
    fps: Fraction = Fraction(1)
    sha256: str = ""
    notes: tuple[str, ...] = ()
    problem: str | None = None


def assemble(params: DataParams) -> Assembled:
    """Read the labels of ``source``, find and probe every video, split; one bad row never stops the others.

    Raises:
        UserError: a label file or the folder of videos as a whole cannot be used.
    """
    source = params.source
    listing = SOURCES[source.name](params)
    findings = list(listing.findings)
    index = index_videos(Path(source.videos))
    located: list[tuple[str, Labelled, Path]] = []
    for row_id, labelled in zip(row_ids([row.video_id for row in listing.rows]), listing.rows, strict=True):
        try:
            path = find_video(index, labelled.video_id, audible623.video_folders(labelled))
        except RowRefusedError as refusal:
            findings.append(labelled.finding("refused", str(refusal)))
        else:
            located.append((row_id, labelled, path))
    checked = check_videos({path for _, _, path in located})
    accepted: list[tuple[Labelled, Row]] = []
    for row_id, labelled, path in located:
        try:
            row = _row(row_id, labelled, path, checked[path], params, findings)
        except RowRefusedError as refusal:
            findings.append(labelled.finding("refused", str(refusal)))
        else:
            accepted.append((labelled, row))
    _doubt_shared_files(accepted, findings)
    shared = _shared_groups(row for _, row in accepted)
    if source.group_disjoint:
        accepted = _without_shared(accepted, shared, findings)
    rows = _with_validation([row for _, row in accepted], source.val_fraction)
    return Assembled(
        catalog=Catalog(tuple(sorted(rows, key=lambda row: row.row_id))),
        findings=tuple(sorted(findings, key=lambda finding: (finding.file, finding.line))),
        label_rows=len(listing.rows),
        shared_groups=tuple(sorted(shared)),
    )


def check_refused(assembled: Assembled, allowed: Allowed, report: str) -> None:
    """Fail where more rows were refused than ``allowed``, or where no row is left.

    Raises:
        UserError: names up to ten of them and the report.
    """
    refused = assembled.of_kind("refused")
    too_many = allowed != "any" and len(refused) > allowed
    if not too_many and len(assembled.catalog):
        return
    lines = [f"  {finding}" for finding in refused[:SHOWN_REFUSALS]]
    if len(refused) > SHOWN_REFUSALS:
        lines.append(f"  ... and {len(refused) - SHOWN_REFUSALS} more")
    if too_many:
        head = f"{len(refused)} label rows cannot be used (source.allow_refused is {allowed}):"
    else:
        head = f"no label row can be used ({len(refused)} refused)" + (":" if refused else "")
    raise UserError("\n".join([head, *lines, f"all remarks are in {report}"]))


def check_videos(paths: Iterable[Path]) -> dict[Path, Checked]:
    """Probe and hash video files side by side."""
    ordered = sorted(paths)
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        results = tqdm(
            pool.map(_check_video, ordered), total=len(ordered), desc="videos", unit="file", disable=None
        )
        return dict(zip(ordered, results, strict=True))


def _check_video(path: Path) -> Checked:
    try:
        str(path).encode("utf-8")
        info = probe(path)
        return Checked(info.n_frames, info.fps, sha256_of(path), info.notes)
    except VideoError as error:
        return Checked(problem=error.message)
    except UnicodeEncodeError:  # the catalog is UTF-8 text and could not name it
        return Checked(problem=f"{path}: a file or folder name is not valid text; rename it")
    except OSError as error:
        return Checked(problem=f"{path}: cannot be read ({error.strerror})")


def _row(
    row_id: str,
    labelled: Labelled,
    path: Path,
    video: Checked,
    params: DataParams,
    findings: list[Finding],
) -> Row:
    """The Catalog row of one label row and its video; train and val are told apart later.

    Raises:
        RowRefusedError: the video is unusable or too short, or all labels or annotated spans lie behind its
            end.
    """
    if video.problem is not None:
        raise RowRefusedError(video.problem)
    if video.n_frames < MIN_FRAMES:
        raise RowRefusedError(f"{path}: {video.n_frames} frames; at least {MIN_FRAMES} are needed")
    findings.extend(labelled.finding("noted", f"{path}: {note}") for note in video.notes)
    labels, annotated = labels_in(labelled, path, video.n_frames, params.source.annotated_frames, findings)
    return Row(
        row_id=row_id,
        source=params.source.name,
        video_id=labelled.video_id,
        group=labelled.group,
        path=str(path),
        split=labelled.part,
        class_name=labelled.class_name,
        labels=labels,
        label_positions_px=_positions(labelled, labels, findings),
        annotated=annotated,
        fps=video.fps,
        n_frames=video.n_frames,
        sha256=video.sha256,
    )


def _positions(
    labelled: Labelled, labels: tuple[int, ...], findings: list[Finding]
) -> tuple[tuple[float, float], ...] | None:
    """(x, y) in px of every label, or None where the data set does not know all of them."""
    known = labelled.positions_px
    if known is None:
        return None
    unknown = [label for label in labels if label not in known]
    if unknown:
        shown = ", ".join(map(str, unknown[:10]))
        findings.append(labelled.finding("doubtful", f"no contact at frames {shown}: positions left out"))
        return None
    return tuple(known[label] for label in labels)


def _doubt_shared_files(accepted: Sequence[tuple[Labelled, Row]], findings: list[Finding]) -> None:
    """Report rows with different labels for one and the same video file."""
    owners: defaultdict[str, list[Labelled]] = defaultdict(list)
    for labelled, row in accepted:
        owners[row.sha256].append(labelled)
    for first, *others in owners.values():
        findings.extend(
            other.finding("doubtful", f"the same video as {first.file}, line {first.line} ({first.video_id})")
            for other in others
        )


def _shared_groups(rows: Iterable[Row]) -> set[str]:
    groups: dict[str, set[str]] = {"train": set(), "eval": set()}
    for row in rows:
        groups[row.split].add(row.group)
    return groups["train"] & groups["eval"]


def _without_shared(
    accepted: Sequence[tuple[Labelled, Row]], shared: set[str], findings: list[Finding]
) -> list[tuple[Labelled, Row]]:
    """Leave out eval rows of groups that train has seen."""
    kept = []
    for labelled, row in accepted:
        if row.split == "eval" and row.group in shared:
            findings.append(
                labelled.finding("left_out", f"group {row.group} occurs in train (group_disjoint)")
            )
        else:
            kept.append((labelled, row))
    return kept


def _with_validation(rows: Sequence[Row], fraction: float) -> list[Row]:
    chosen = validation_groups((row.group for row in rows if row.split == "train"), fraction)
    return [
        replace(row, split="val") if row.split == "train" and row.group in chosen else row for row in rows
    ]
