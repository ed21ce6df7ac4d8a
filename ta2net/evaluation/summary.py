"""metrics.json read back, and its headline figures as a small table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files.plain import read_text

WITHIN_80_MS = "event.f1_80ms"
"""Files of earlier versions lack it: a dash says so."""
HEADLINES = (
    *(f"event.f1_at_{k}" for k in range(4)),
    "event.recall_at_2",
    "event.precision_at_2",
    "event.f1_50ms",
    WITHIN_80_MS,
    "event.map_at_2",
    "event.bias_ms",
    *(f"paper.{name}" for name in ("recall", "precision", "f1", "nme", "pme", "mae", "obo")),
    "reference_code.f1",
    "where.pointing_game",
)
WITH_INTERVAL = "event.f1_at_2"
MAX_METRICS_BYTES = 1 << 28
NAME_WIDTH, COLUMN_WIDTH = 21, 17

RULE_TITLES = {
    "motion_energy": "motion energy",
    "inflection_peak": "inflection peak",
    "evenly_spaced": "evenly spaced",
    "every_5th_frame": "every 5th frame",
}


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read a metrics.json: of a network, or of hits that another program found.

    Raises:
        UserError: the file is missing or was not written by an evaluation.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{file}: no metrics here; run `make repro` (or `ta2net evaluate`) first")
    try:
        document = json.loads(read_text(file, MAX_METRICS_BYTES))
        sections = [document[name] for name in ("paper", "event", "data")]
        summary(document)  # what cannot be shown was not written by us
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: not a metrics file of this program ({error!r})") from error
    if not all(isinstance(section, dict) and section for section in sections):
        raise UserError(f"{file}: not written by an evaluation of this program")
    return dict(document)


def figure(document: Mapping[str, Any], name: str) -> Any:
    """The entry ``section.key`` of a document; None where it has none."""
    section, key = name.split(".")
    return document.get(section, {}).get(key)


def summary(metrics: dict[str, Any]) -> str:
    """The headline figures: the network and the untrained rules side by side, or another program's hits."""
    rules = metrics.get("untrained", {})
    columns = {
        str(metrics.get("decode", {}).get("method", "ta2net"))
        if "thresholds" in metrics
        else "hits": metrics,
        **{title: rules[name] for name, title in RULE_TITLES.items() if name in rules},
    }
    # the inflection's place is no figure of the rule's hits, but belongs beside the network's
    if RULE_TITLES["inflection_peak"] in columns:
        place = {"pointing_game": figure(metrics, "where.inflection_peak")}
        columns[RULE_TITLES["inflection_peak"]] = {**rules["inflection_peak"], "where": place}
    lines = [_line("", list(columns))]
    for name in HEADLINES:
        values = [figure(document, name) for document in columns.values()]
        if all(value is None for value in values) and name != WITHIN_80_MS:
            continue
        lines.append(_line(name, ["-" if value is None else f"{value:.3f}" for value in values]))
        if name == WITH_INTERVAL and figure(metrics, "event.ci95"):
            spans = [(figure(d, "event.ci95") or {}).get("f1_at_2") for d in columns.values()]
            lines.append(_line("  95 % of videos", [_span(span) for span in spans]))
    if figure(metrics, "where.chance") is not None:
        lines.append(f"where: {figure(metrics, 'where.chance'):.3f} by chance")
    data = metrics["data"]
    split = f"{data['split']} " if "split" in data else ""
    lines.append(f"{data['rows']} {split}rows, {data['labels']} labelled of {data['frames']} frames")
    return "\n".join(lines)


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<{NAME_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells)


def _span(span: list[float] | None) -> str:
    return "-" if span is None else f"{span[0]:.3f}-{span[1]:.3f}"
