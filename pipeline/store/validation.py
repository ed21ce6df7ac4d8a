"""Check a flow store: attributes, shapes, files and, if asked, every value of the inflection."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pipeline.kinematics import inflection
from pipeline.store.schema import RowAttributes, array_layout


def row_problems(row: Path, attributes: RowAttributes, *, deep: bool) -> list[str]:
    """What is wrong with a row, one message each; ``deep`` also compares all values."""
    arrays = dict(zarr.open_group(str(row), mode="r").arrays())
    found = [*_attribute_problems(attributes), *_array_problems(row, arrays, attributes)]
    if deep and not found:
        found = list(_value_problems(arrays))
    return found


def _attribute_problems(attributes: RowAttributes) -> Iterator[str]:
    hits, n = attributes.hits, attributes.n_frames
    if list(hits) != sorted(set(hits)) or (hits and not 0 <= hits[0] <= hits[-1] < n):
        yield f"hits are not sorted frame numbers below {n}"
    if not 0 <= attributes.annotated_until <= n:
        yield f"annotated_until {attributes.annotated_until} is not within 0 to {n}"


def _array_problems(row: Path, arrays: dict[str, Any], attributes: RowAttributes) -> Iterator[str]:
    """Arrays that are missing, of another shape or type, or lack files."""
    for name, (shape, kind) in array_layout(attributes).items():
        array = arrays.get(name)
        if array is None:
            yield f"array {name} is missing"
            continue
        if array.shape != shape or array.dtype != np.dtype(kind):
            yield f"array {name} is {array.dtype} {array.shape}, expected {kind} {shape}"
            continue
        chunks = prod(ceil(extent / chunk) for extent, chunk in zip(shape, array.chunks, strict=True))
        files = sum(1 for path in (row / name / "c").rglob("*") if path.is_file())
        if files != chunks:
            yield f"array {name} has {files} of {chunks} chunk files"


def _value_problems(arrays: dict[str, Any]) -> Iterator[str]:
    """Values that cannot be read, or contradict each other."""
    try:
        values = {name: np.asarray(array[:]) for name, array in arrays.items()}
    except (OSError, RuntimeError, ValueError) as error:
        yield f"a chunk cannot be decoded ({error})"
        return
    if not np.array_equal(inflection(values["velocity"]), values["inflection"]):
        yield "inflection is not the difference of velocity"
    if not (np.diff(values["time"]) > 0).all():
        yield "presentation times do not increase"
