"""What a row of the flow store consists of, and its attributes as JSON.

A row of n frames at H x W is a Zarr v3 group (coded value = px per frame * scale)::

    frames      uint8          (n, 3, H, W)     RGB
    velocity    int16|float16  (n, 2, 2, H, W)  direction (0 forward, 1 backward), (u, v)
    inflection  int16|float16  (n, 2, 2, H, W)  the same
    time        float64        (n,)             presentation time in seconds
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import StoreError
from pipeline.kinematics import Coding, Field
from pipeline.spans import Spans, checked_spans, first_frames

SCHEMA = 1
"""Version of this layout. A reader refuses newer ones; rows of older ones are rebuilt."""

ROOT_KEY = "ta2net_flow_store"
"""The root group's attribute that makes a Zarr directory a flow store; its value is the schema version."""

COMPLETE = "complete"

ARRAYS = ("frames", "velocity", "inflection", "time")
"""In the order of ``Window``."""

SAFE_ROW_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,199}")
"""A row id is a directory's name: nothing that could leave the store or hide in it."""


@dataclass(frozen=True)
class Window:
    """Some consecutive frames of a row, as stored (velocity and inflection still coded).

    Attributes:
        frames: uint8 (k, 3, H, W), RGB.
        velocity, inflection: (k, 2, 2, H, W); divide by ``Coding.scale`` for px per frame.
        time_s: float64 (k,), presentation times in seconds.
    """

    frames: npt.NDArray[np.uint8]
    velocity: Field
    inflection: Field
    time_s: npt.NDArray[np.float64]


@dataclass(frozen=True)
class RowAttributes:
    """All that is known of a row beside its arrays; sizes are (height, width) in pixels.

    Attributes:
        n_frames: frames of the row.
        fps: average frame rate, exact.
        first_frame: the video's frame number of the row's frame 0.
        labels: frames of the true hits, 0-based, sorted.
        annotated: half-open spans of frames of which the labels tell all; others are unknown, not silent.
        video_size: of the video itself.
        flow_size: at which flow was estimated.
        store_size: of the arrays.
        coding: of velocity and inflection.
        estimator: the flow estimator's identity.
        video_sha256: of the video file.
        fingerprint: of all that the arrays depend on.
        saturated_velocity, saturated_inflection: values cut to the coding's limits.
    """

    n_frames: int
    fps: Fraction
    first_frame: int
    labels: tuple[int, ...]
    annotated: Spans
    video_size: tuple[int, int]
    flow_size: tuple[int, int]
    store_size: tuple[int, int]
    coding: Coding
    estimator: Mapping[str, Any]
    video_sha256: str
    fingerprint: str
    saturated_velocity: int = 0
    saturated_inflection: int = 0

    def to_json(self) -> dict[str, Any]:
        """The attributes of a complete row's group."""
        return {
            "state": COMPLETE,
            "schema": SCHEMA,
            "n_frames": self.n_frames,
            "fps": f"{self.fps.numerator}/{self.fps.denominator}",
            "first_frame": self.first_frame,
            **labels_json(self.labels, self.annotated),
            "video_size": list(self.video_size),
            "flow_size": list(self.flow_size),
            "store_size": list(self.store_size),
            "coding": self.coding.kind,
            "scale": self.coding.scale,
            "estimator": dict(self.estimator),
            "video_sha256": self.video_sha256,
            "fingerprint": self.fingerprint,
            "saturated": {"velocity": self.saturated_velocity, "inflection": self.saturated_inflection},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RowAttributes:
        """The inverse of ``to_json``; raises KeyError, TypeError or ValueError for anything else."""
        if document["coding"] not in ("int16", "float16"):
            raise ValueError(f"coding {document['coding']!r}")
        labels, annotated = _labels_of(document)
        return cls(
            n_frames=int(document["n_frames"]),
            fps=Fraction(document["fps"]),
            first_frame=int(document["first_frame"]),
            labels=labels,
            annotated=annotated,
            video_size=_size(document["video_size"]),
            flow_size=_size(document["flow_size"]),
            store_size=_size(document["store_size"]),
            coding=Coding(document["coding"], int(document["scale"])),
            estimator=dict(document["estimator"]),
            video_sha256=str(document["video_sha256"]),
            fingerprint=str(document["fingerprint"]),
            saturated_velocity=int(document["saturated"]["velocity"]),
            saturated_inflection=int(document["saturated"]["inflection"]),
        )


EARLIER_LABELS = ("hits", "annotated_until")
"""What rows of earlier versions say of labels; they are read as they are, and replaced with the labels."""


def labels_json(labels: Iterable[int], annotated: Spans) -> dict[str, Any]:
    """The attributes of a row that a change of its labels changes."""
    return {"labels": list(labels), "annotated": [list(span) for span in annotated]}


def _labels_of(document: Mapping[str, Any]) -> tuple[tuple[int, ...], Spans]:
    """Labels and annotated spans, of an earlier version's row, too; raises as ``from_json`` does."""
    if "labels" in document:
        return tuple(int(frame) for frame in document["labels"]), checked_spans(document["annotated"])
    labels, until = (document[name] for name in EARLIER_LABELS)
    return tuple(int(frame) for frame in labels), first_frames(int(until))


def array_layout(attributes: RowAttributes) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, type) of a row's four arrays."""
    n, size, coded = attributes.n_frames, attributes.store_size, attributes.coding.kind
    return {
        "frames": ((n, 3, *size), "uint8"),
        "velocity": ((n, 2, 2, *size), coded),
        "inflection": ((n, 2, 2, *size), coded),
        "time": ((n,), "float64"),
    }


def as_bytes(document: Mapping[str, Any]) -> bytes:
    """A group's metadata as they are stored: indented JSON; NaN and infinity are refused."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def fingerprint_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of ``document`` as canonical JSON (sorted keys, no spaces), as hexadecimal text."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_row_id(row_id: str) -> str:
    """``row_id`` itself; StoreError if it could name anything but a directory right in the store."""
    if not SAFE_ROW_ID.fullmatch(row_id):
        raise StoreError(f"row id {row_id!r}: only letters, digits, '_', '-', '~' and '.' are allowed")
    return row_id


def _size(value: Any) -> tuple[int, int]:
    height, width = value
    return int(height), int(width)
