"""Check a flow store: fast by attributes and sizes, deep by every byte and every value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from pipeline.catalog import Catalog, Row
from pipeline.errors import StorageError
from pipeline.spans import format_spans
from pipeline.store.checksums import CHECKSUMS, ArrayChecksum, document_checksum
from pipeline.store.chunks import StoredArray
from pipeline.store.contents import content_problems
from pipeline.store.manifest import Manifest
from pipeline.store.place import DOCUMENT, Place
from pipeline.store.row import DAMAGED, RowDocument
from pipeline.store.schema import SAFE_ROW_ID, RowAttributes, array_layout

Kind = Literal["broken", "foreign", "labels", "missing", "stale", "orphan", "manifest"]
MENDED_BY: dict[Kind, str] = {
    "broken": "`ta2net repair` removes such rows; the next build computes them again",
    "foreign": "not part of this store and left alone; move it away",
    "labels": "the next build corrects them",
    "missing": "the next build computes them, or says why it cannot",
    "stale": "the next build computes them again",
    "orphan": "the next build removes them",
    "manifest": "the next build writes it again",
}

THREADS = 16
"""Rows looked at together: mostly waiting, for the disk or for object storage."""
WAVE = 1024
"""Rows handed to the threads at a time, so that a large store needs no more memory than a small one."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a row, or with what lies where rows should."""

    row_id: str
    kind: Kind
    message: str

    def __str__(self) -> str:
        return f"{self.row_id}: {self.message}"


@dataclass(frozen=True)
class Report:
    """What an examination found.

    Attributes:
        store: its name.
        deep: whether all data were read.
        rows: complete rows, sound or not.
        frames: of the sound ones.
        size: bytes of the sound ones.
        problems: sorted by row.
        notes: what is worth knowing, but not wrong.
    """

    store: str
    deep: bool
    rows: int
    frames: int
    size: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``ta2net validate --json`` writes it."""
        return {
            "store": self.store,
            "whole": not self.problems,
            "deep": self.deep,
            "rows": self.rows,
            "frames": self.frames,
            "bytes": self.size,
            "problems": [
                {"row": problem.row_id, "kind": problem.kind, "message": problem.message}
                for problem in self.problems
            ],
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """One sentence: the store is whole, or how much of what is wrong, and who mends it."""
        how = "every byte and value" if self.deep else "attributes and sizes"
        if not self.problems:
            size = f"{self.frames} frames, {self.size / 1e6:.1f} MB"
            return f"{self.store}: whole: {self.rows} rows, {size}, by {how}"
        counts = Counter(problem.kind for problem in self.problems)
        lines = [f"  {count} {kind}: {MENDED_BY[kind]}" for kind, count in sorted(counts.items())]
        head = f"{self.store}: {len(self.problems)} problems, {self.rows} rows, by {how}"
        return "\n".join([head, *lines])


@dataclass(frozen=True)
class _Examined:
    """What is known of one entry after it was looked at; ``extra``: files that are no part of the row."""

    problems: tuple[Problem, ...]
    attributes: RowAttributes | None = None
    checksum: str | None = None
    size: int = 0
    extra: int = 0


def examine(
    place: Place,
    *,
    deep: bool = False,
    catalog: Catalog | None = None,
    fingerprints: Mapping[str, str] | None = None,
    manifest: Manifest | None = None,
) -> Report:
    """Look at all that a store holds, in bounded memory.

    Args:
        deep: read everything, compare checksums, rebuild every inflection, which must come out bit for bit.
        catalog: what should be there: other rows are orphans, other labels are wrong.
        fingerprints: row -> of what it should be made from; without, the videos' checksums are compared.
        manifest: of the store; must say the same.
    """
    problems: list[Problem] = []
    unsealed = extra = rows = frames = size = 0
    wanted = {} if catalog is None else {row.row_id: row for row in catalog}
    listed = {} if manifest is None else dict(manifest.rows)
    for row_id, found in _all_examined(place, deep=deep):
        problems += found.problems
        row, entry = wanted.pop(row_id, None), listed.pop(row_id, None)
        if found.attributes is None:
            continue
        rows += 1
        extra += found.extra
        unsealed += found.checksum is None
        if catalog is not None:
            problems += _catalog_problems(row_id, found.attributes, row, fingerprints or {})
        if manifest is not None and (
            entry is None
            or (entry.fingerprint, entry.checksum) != (found.attributes.fingerprint, found.checksum)
        ):
            problems.append(Problem(row_id, "manifest", "the manifest differs for this row"))
        if not found.problems:
            frames, size = frames + found.attributes.n_frames, size + found.size
    problems += [Problem(row_id, "missing", "in the catalog, but not in the store") for row_id in wanted]
    problems += [Problem(row_id, "manifest", "in the manifest, but not in the store") for row_id in listed]
    return Report(
        store=place.shown,
        deep=deep,
        rows=rows,
        frames=frames,
        size=size,
        problems=tuple(sorted(problems, key=lambda problem: problem.row_id)),
        notes=tuple(_notes(unsealed, extra, len(place.leftovers()))),
    )


def _all_examined(place: Place, *, deep: bool) -> Iterator[tuple[str, _Examined]]:
    """Everything at the top of the store, looked at by several threads."""
    names = place.names()
    with (
        ThreadPoolExecutor(THREADS, thread_name_prefix="validate") as pool,
        tqdm(total=len(names), desc="validate", unit="row", disable=None) as bar,
    ):
        for start in range(0, len(names), WAVE):
            wave = names[start : start + WAVE]
            for name, found in zip(wave, pool.map(partial(_examined, place, deep=deep), wave), strict=True):
                yield name, found
                bar.update()


def _examined(place: Place, name: str, *, deep: bool) -> _Examined:
    """Look at one entry."""
    if not SAFE_ROW_ID.fullmatch(name):
        return _Examined((Problem(name, "foreign", "not a row of a flow store"),))
    try:
        (content,) = place.read([f"{name}/{DOCUMENT}"])
        document = RowDocument.parse(name, content)
        attributes, arrays = document.row_attributes(), document.arrays()
        stated = _stated(document)
    except (FileNotFoundError, *DAMAGED) as error:
        return _Examined((_not_a_row(place, name, error),))
    except StorageError:
        raise
    except OSError as error:
        return _Examined((Problem(name, "broken", f"its document cannot be read ({error})"),))
    if stated is not None and document.checksum() != document_checksum(
        document.attributes, document.metadata
    ):
        return _Examined((Problem(name, "broken", "its document was changed: the checksum differs"),))
    sizes = place.sizes(document.data_key)
    wrong = list(_array_problems(arrays, attributes, sizes, stated))
    if deep and not wrong:
        wrong = list(content_problems(place, arrays, stated))
    problems = [Problem(name, "broken", message) for message in wrong]
    problems += [Problem(name, "labels", message) for message in _label_problems(attributes)]
    ours = {key for array in arrays.values() for key in array.keys_within(document.data_key)}
    extra = sum(key not in ours and key != DOCUMENT for key in sizes)
    size = sum(size for key, size in sizes.items() if key in ours)
    return _Examined(tuple(problems), attributes, document.checksum(), size, extra)


def _stated(document: RowDocument) -> dict[str, ArrayChecksum] | None:
    """Array -> its checksum, as the row states; None in rows of earlier versions."""
    if CHECKSUMS not in document.attributes:
        return None
    arrays = document.attributes[CHECKSUMS]["arrays"]
    return {name: ArrayChecksum(**arrays[name]) for name in document.metadata}


def _not_a_row(place: Place, name: str, error: Exception) -> Problem:
    """What lies under a row's name without a row's document: part of a row, or somebody else's."""
    if place.has_data(name):
        return Problem(name, "broken", f"its document is missing or damaged ({error})")
    return Problem(name, "foreign", "not a row of a flow store")


def _label_problems(attributes: RowAttributes) -> Iterator[str]:
    labels, n = attributes.labels, attributes.n_frames
    if list(labels) != sorted(set(labels)) or (labels and not 0 <= labels[0] <= labels[-1] < n):
        yield f"labels are not sorted frame numbers below {n}"
    if attributes.annotated and attributes.annotated[-1][1] > n:
        yield f"annotated spans {format_spans(attributes.annotated)} go past the last frame ({n - 1})"


def _array_problems(
    arrays: Mapping[str, StoredArray],
    attributes: RowAttributes,
    sizes: Mapping[str, int],
    stated: Mapping[str, ArrayChecksum] | None,
) -> Iterator[str]:
    """Arrays of another shape or type, without some of their files, or with files of other sizes."""
    for name, (shape, kind) in array_layout(attributes).items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.dtype(kind):
            yield f"array {name} is {array.dtype} {array.shape}, expected {kind} {shape}"
            continue
        metadata, *chunks = array.keys_within(array.key.removesuffix(f"/{name}"))
        there = [key for key in chunks if key in sizes]
        if len(there) < len(chunks):
            yield f"array {name} has {len(there)} of {len(chunks)} chunk files"
        elif metadata not in sizes:
            yield f"array {name} has no {DOCUMENT}"
        elif stated is not None:
            size = sizes[metadata] + sum(sizes[key] for key in chunks)
            if size != stated[name].size:
                yield f"array {name} has {size} bytes instead of {stated[name].size}"


def _catalog_problems(
    row_id: str, attributes: RowAttributes, row: Row | None, fingerprints: Mapping[str, str]
) -> Iterator[Problem]:
    """Where a row and the catalog differ."""
    if row is None:
        yield Problem(row_id, "orphan", "in the store, but not in the catalog")
        return
    if (attributes.video_sha256, attributes.n_frames) != (row.sha256, row.n_frames):
        yield Problem(row_id, "stale", "made from another version of its video")
    elif fingerprints.get(row_id, attributes.fingerprint) != attributes.fingerprint:
        yield Problem(row_id, "stale", "made with other parameters or library versions")
    if (attributes.labels, attributes.annotated) != (row.labels, row.annotated):
        yield Problem(row_id, "labels", "other labels than the catalog's")


def _notes(unsealed: int, extra: int, leftovers: int) -> Iterator[str]:
    if unsealed:
        yield f"{unsealed} rows have no checksum (written by an earlier version)"
    if extra:
        yield f"{extra} files or objects lie in rows but do not belong to them"
    if leftovers:
        yield f"{leftovers} unfinished or replaced rows of interrupted builds; `ta2net repair` removes them"
