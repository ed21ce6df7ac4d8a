"""``python -m tests.revisions``: record the code's revisions, raised where what it computes has changed."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from pipeline.files.atomic import write_text
from pipeline.revisions import ROWS, Revisions
from ta2net.training.identity import RUNS
from tests.revisions.pins import PINS

RECORDED = Path(__file__).with_name("pinned.json")
RECORDS = (ROWS, RUNS)
TOLERANCES = {"dis": 0.05, "decoding": 1.0, "training": 5e-3}
"""Where libraries and processors round otherwise: px of flow, grey levels, weights after Adam's steps."""
USUAL_TOLERANCE = 2e-3


def record_of(part: str) -> Revisions:
    """The file that a part's revision stands in."""
    return next(record for record in RECORDS if part in record.parts)


def recorded() -> dict[str, dict[str, object]]:
    """Part -> the revision and the numbers of its last recording."""
    known: dict[str, dict[str, object]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return known


def is_as_recorded(part: str, values: NDArray[np.float64], entry: dict[str, object]) -> bool:
    """Whether a part's numbers are those of its recording, up to rounding."""
    before = np.array(entry["values"], np.float64)
    tolerance = TOLERANCES.get(part, USUAL_TOLERANCE)
    return before.shape == values.shape and np.allclose(
        values, before, rtol=USUAL_TOLERANCE, atol=tolerance, equal_nan=True
    )


@click.command()
def main() -> None:
    """Compare every part with its recording; write what is new."""
    known = recorded() if RECORDED.exists() else {}
    numbers: dict[str, int] = {}
    for part, compute in PINS.items():
        values = compute()
        entry = known.get(part)
        number = 1 if entry is None else int(str(entry["revision"]))
        if entry is not None and not is_as_recorded(part, values, entry):
            number += 1
            click.echo(f"{part}: computes something else than before: revision {number}")
        if entry is None or number != entry["revision"]:
            known[part] = {"revision": number, "values": [round(float(x), 6) for x in values]}
        numbers[part] = number
    write_text(RECORDED, json.dumps(known, indent=1, sort_keys=True) + "\n")
    for record in RECORDS:
        record.write({part: numbers[part] for part in record.parts})
    click.echo("recorded")


if __name__ == "__main__":
    main()
