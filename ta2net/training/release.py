"""A trained network made ready to come with the program: what it is worth and how to make it again."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from ta2net.evaluation.summary import read_metrics
from ta2net.networks import checkpoint as files

MAX_BYTES = 10_000_000
"""Of a network inside the package."""
FIGURES = ("f1_at_1", "f1_at_2", "recall_at_2", "precision_at_2")


def release(checkpoint: Path, metrics: Path, command: str, out: Path) -> None:
    """Write a network with ``release`` in its document: the command that made it, and its held-out figures.

    Args:
        checkpoint: the network; its weights and all else of its document stay as they are.
        metrics: the metrics.json of this network.
        command: what a user types to make it again.
        out: where to; replaced.

    Raises:
        UserError: the metrics are another network's, the network lacks operating points, or it is too large.
    """
    found = files.read(checkpoint)
    document = found.document
    if not document.get("operating_points"):
        raise UserError(f"{checkpoint}: lacks operating points: an older version trained it; train it again")
    judged = read_metrics(metrics)
    if judged["thresholds"] != document["thresholds"]:
        raise UserError(
            f"{metrics}: the figures of another network than {checkpoint} (their thresholds differ); run "
            "`ta2net evaluate` for this one first"
        )
    size = checkpoint.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{checkpoint}: {size:,} bytes; a network that comes with the program has {MAX_BYTES:,} at most"
        )
    figures = {name: judged["event"][name] for name in FIGURES}
    entry = {"command": command, "event": figures, "data": judged["data"]}
    files.write(out, found.tensors, {**document, "release": entry})
