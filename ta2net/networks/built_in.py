"""The trained networks that come with the program, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import UserError

FOLDER = Path(__file__).parent / "weights"
DEFAULT = "real"
BUILT_IN = FOLDER / f"{DEFAULT}.safetensors"
"""Used where no checkpoint is given. This program's own pipeline trains it: `make weights`."""


def names() -> list[str]:
    """What ``--checkpoint`` takes beside paths."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def network_path(checkpoint: str | Path | None = None) -> Path:
    """The file of a network: a name of ``names``, a path, or None for the default.

    A file in the working folder that is called like a built-in network is reached as ``./name``.

    Raises:
        UserError: neither a name nor a file.
    """
    if checkpoint is None:
        return BUILT_IN
    if str(checkpoint) in names():
        return FOLDER / f"{checkpoint}.safetensors"
    path = Path(checkpoint)
    if not path.exists():
        raise UserError(
            f"{checkpoint}: no checkpoint here, and none of this name is built in ({', '.join(names())}); "
            "train one with ta2net-train, or give another path"
        )
    return path


def facts(name: str) -> list[tuple[str, str]]:
    """What a built-in network's own document says of it, names and values in the order of showing.

    Raises:
        CheckpointError: its file is damaged.
    """
    from ta2net.networks import checkpoint as files  # torch

    path = network_path(name)
    found = files.read(path)
    document, size = found.document, path.stat().st_size
    flow = document["params"]["flow"]
    numbers = sum(value.numel() for value in files.without_prefix(found.tensors, "model").values())
    needs = "comes with OpenCV, nothing to download" if flow["model"] == "dis" else "needs its weights"
    known = [
        ("network", f"{name}{', used where no other is given' if name == DEFAULT else ''}"),
        ("size", f"{size / 1e6:.1f} MB, {numbers:,} numbers"),
        ("flow", f"{flow['model']} at {flow['size'][0]} x {flow['size'][1]} px ({needs})"),
        ("validation", f"event F1 at 2 frames {document['validation']['f1_at_2']:.3f}"),
    ]
    if document.get("data"):
        known.append(("trained on", _trained_on(document)))
    points = document.get("operating_points", {})
    known += [(f"sensitivity {key}", point_line(point)) for key, point in points.items()]
    if "release" in document:
        known += [("held out", _held_out(document)), ("made by", document["release"]["command"])]
    return known


def point_line(point: dict[str, float]) -> str:
    """An operating point in a line."""
    return "threshold {threshold:.3f}: recall {recall:.3f}, precision {precision:.3f}".format(**point)


def _trained_on(document: dict[str, Any]) -> str:
    data, params = document["data"], document["params"]
    train = data["train"]
    return (
        f"{data['source']}: {train['rows']} clips, {train['labels']} labels, {train['frames']} frames; "
        f"{params['train']['steps']} steps"
    )


def _held_out(document: dict[str, Any]) -> str:
    event, data = document["release"]["event"], document["release"]["data"]
    return (
        f"event F1 at 2 frames {event['f1_at_2']:.3f}, recall {event['recall_at_2']:.3f}, precision "
        f"{event['precision_at_2']:.3f} on {data['rows']} clips that it has not seen"
    )
