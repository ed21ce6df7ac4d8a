"""How every single video went: one line each, the network beside the rules that need no training."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.catalog import Row
from pipeline.files.atomic import write_text
from ta2net.evaluation.matching import match, merged_events
from ta2net.evaluation.metrics import scored
from ta2net.evaluation.threshold import TOLERANCE_FRAMES
from ta2net.hits.peaks import Frames

PER_VIDEO = "per_video.csv"


def write_per_video(rows: Sequence[Row], found: Mapping[str, Sequence[Frames]], path: Path) -> None:
    """Write ``row_id,class,labelled`` and for each way ``NAME_found,NAME_false,NAME_f1_at_2``.

    The last line, ``all``, pools the hits of all videos, as ``event.f1_at_2`` does.

    Args:
        rows: the videos.
        found: by the name of a way to find hits, the frames of its hits in every row.
        path: of the CSV file; replaced.
    """
    events = [merged_events(row.known_labels) for row in rows]
    lines: list[list[str]] = [
        [row.row_id, row.class_name, str(len(each))] for row, each in zip(rows, events, strict=True)
    ]
    lines.append(["all", "", str(sum(len(each) for each in events))])
    for frames in found.values():
        counts = np.array(
            [
                [len(match(hits, each, TOLERANCE_FRAMES)[0]), len(hits), len(each)]
                for hits, each in zip(frames, events, strict=True)
            ]
        )
        for line, one in zip(lines, [*counts, counts.sum(axis=0)], strict=True):
            matched, predicted, labelled = one.tolist()
            f1 = scored(matched, predicted, labelled).f1
            line += [str(matched), str(predicted - matched), f"{f1:.3f}"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{name}_{figure}" for name in found for figure in ("found", "false", "f1_at_2")]
    writer.writerow(["row_id", "class", "labelled", *columns])
    writer.writerows(lines)
    write_text(path, text.getvalue())
