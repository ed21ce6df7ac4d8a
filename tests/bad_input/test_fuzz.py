"""Any bytes, any structure: a reader gives a value or an error in words, and never another exception.

A hundred tries of each; ``pytest tests/bad_input/test_fuzz.py --hypothesis-profile long`` makes thousands. What
was found stays as an ``@example``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.catalog import Row, read_catalog
from pipeline.errors import UserError
from pipeline.kinematics import Coding, KinematicsChunk, encode, hold_edges, inflection
from pipeline.params import SourceParams, StoreParams
from pipeline.sources.audible623 import read_label_files
from pipeline.store import FlowStore, RowAttributes, create_store
from pipeline.store.manifest import read_manifest, write_manifest
from pipeline.store.validation import examine
from ta2net.evaluation.label_files import read_frame_file
from ta2net.hits.hits_file import read_hits
from ta2net.hits.saved import read_maps, read_scores
from ta2net.label import importing
from ta2net.label.importing import read_marks
from ta2net.label.label_csv import LabelRow, merge_labels
from ta2net.networks import checkpoint
from ta2net.params import Params, read
from tests.conftest import write_video

pytestmark = pytest.mark.slow

NUMBERS = (
    "0",
    "7",
    "-1",
    "1.5",
    "1,5",
    "1e999",
    "nan",
    "inf",
    "9" * 400,
    "9" * 5000,
    "1_000",
    "0x10",
    "٣",
    "²",
)
CELLS = (
    *NUMBERS,
    "",
    " ",
    '"',
    "'",
    "=1+1",
    "../../etc/passwd",
    "/etc/passwd",
    "\0",
    "\ufeff",
    "\N{MATHEMATICAL DOUBLE-STRUCK DIGIT ONE}",
    "a" * 300,
)
TIMES = ("0:01", "1:02:03.4", "9" * 5000 + ":1", "00:00:01:02", "01:00:00:00", "01:00:00;02", "99:99:99:99")
NAMES = ("video_id", "sound_label", "class", "row_id", "frame", "time_s", "probability", "offset_frames")
NAMES += ("x_fraction", "y_fraction", "#", "name", "start", "Start", "")

cells = st.one_of(st.sampled_from(CELLS), st.sampled_from(TIMES), st.text(max_size=6))
headers = st.lists(st.sampled_from(NAMES), max_size=8)


@st.composite
def tables(draw: st.DrawFn, *header: str) -> bytes:
    """Comma-separated lines below a header, here and there not as they should be."""
    first = list(header) if draw(st.integers(0, 3)) else draw(headers)
    width = len(first)
    lines = draw(st.lists(st.lists(cells, min_size=max(0, width - 1), max_size=width + 1), max_size=4))
    quote = draw(st.sampled_from(('"', "")))
    end = draw(st.sampled_from(("\n", "\r\n", "\r")))
    text = end.join(",".join(f"{quote}{cell}{quote}" for cell in line) for line in (first, *lines))
    return text.encode(draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16"))), "surrogatepass")


def any_of(*structured: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of these kinds, and any others."""
    return st.one_of(*structured, st.binary(max_size=200), st.text(max_size=200).map(str.encode))


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from((10**30, -1, 0, 2**31, 2**63, "1/0", "30000/0", "9" * 5000, "../x", [], {}, [[]])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document in which one entry, somewhere, is another, missing, or too much."""
    copy = json.loads(json.dumps(document))
    here, places = copy, []
    while isinstance(here, dict | list) and here:
        key = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        places.append((here, key))
        here = here[key]
    where, key = draw(st.sampled_from(places))
    what = draw(st.sampled_from(("change", "change", "drop", "add")))
    if what == "drop":
        del where[key]
    elif what == "add" and isinstance(where, dict):
        where[draw(st.text(max_size=4))] = draw(anything)
    else:
        where[key] = draw(anything)
    return copy


@st.composite
def rotten(draw: st.DrawFn, content: bytes) -> bytes:
    """A file that is cut off, or has other bytes somewhere."""
    at = draw(st.integers(0, max(0, len(content) - 1)))
    if draw(st.booleans()):
        return content[:at]
    other = draw(st.binary(min_size=1, max_size=8))
    return content[:at] + other + content[at + len(other) :]


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


def value_or_words(read_it: Callable[[], Any]) -> Any:
    """What it gives; None where it ends in words."""
    try:
        return read_it()
    except UserError as error:
        words = error.format_message()
    assert words.strip()
    return None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short video that is looked at once."""
    path = write_video(tmp_path_factory.mktemp("film") / "film.mp4", n_frames=12)
    seen = importing.look_at(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "look_at", lambda _video: seen)
        yield path


@given(content=any_of(tables("video_id", "sound_label", "class")))
def test_label_files(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    source = SourceParams(name="csv", train_labels=str(file), eval_labels=str(file))
    listing = value_or_words(lambda: read_label_files(source))
    if listing is not None:
        assert all(0 <= frame < 10**9 for row in listing.rows for frame in row.labels)
    value_or_words(lambda: read_frame_file(file, 100))
    before = file.read_bytes()
    if value_or_words(lambda: merge_labels(file, [LabelRow("film", (1, 2))]) or True) is None:
        assert file.read_bytes() == before
    else:
        value_or_words(lambda: read_frame_file(file, None))


@given(content=any_of(tables("row_id", "frame", "time_s", "probability", "x_fraction", "y_fraction")))
def test_files_of_hits(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    value_or_words(lambda: read_hits(file))
    value_or_words(lambda: read_hits(file, "7"))


@given(content=any_of(tables("row_id", "frame", "time_s", "probability", "offset_frames")))
def test_saved_scores(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    value_or_words(lambda: read_scores(file))


def maps() -> bytes:
    """An archive as ``write_maps`` makes it."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, row=np.zeros((3, 2, 2), np.float16))
    return buffer.getvalue()


def archive_of(name: str, content: bytes) -> bytes:
    """A zip file with one entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@given(content=any_of(rotten(maps())))
@example(content=maps()[:60] + b"\xff\xff" + maps()[62:])
@example(content=archive_of("row.npy", b"no array"))
@example(content=archive_of("row", b"no array"))
@example(
    content=b"\x93NUMPY\x01\x00"
    + b"v\x00{'descr': '<f2', 'fortran_order': False, 'shape': (0,), }".ljust(120)
)
def test_saved_maps(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    value_or_words(lambda: read_maps(file, {"row": 3}))


edits = st.lists(
    st.one_of(
        st.sampled_from(
            ("TITLE: x", "FCM: DROP FRAME", "FCM: NON-DROP FRAME", "|C:ResolveColorBlue |M:hit |D:1")
        ),
        st.lists(st.sampled_from((*TIMES, "001", "AX", "V", "C", "* LOC:", "RED")), max_size=8).map(" ".join),
        st.text(max_size=12),
    ),
    max_size=6,
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
labels = st.lists(st.lists(cells, min_size=1, max_size=3).map("\t".join), max_size=4).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
)


@pytest.mark.parametrize("format", [None, *importing.FORMATS])
@given(
    content=any_of(tables("frame", "time_s"), tables("#", "Name", "Start"), edits, labels),
    start=st.sampled_from((None, *TIMES, *NUMBERS)),
)
@example(content=b'frame,time_s\n,"1,5"\n', start=None)
@example(content=b'frame,time_s\n1,"0,04"\n', start=None)
@example(content=b"frame,time_s\n" + b"9" * 5000 + b",\n", start=None)
@example(content=b"frame,time_s\n," + b"9" * 400 + b"\n", start=None)
@example(content=b"9" * 400 + b"\t1\tx\n", start=None)
@example(content=b"9" * 5000 + b"\t1\tx\n", start=None)
@example(content=b"#,Name,Start\n0,0," + b"9" * 5000 + b":1\n", start=None)
def test_marks(content: bytes, start: str | None, format: str | None, file: Path, film: Path) -> None:
    file.write_bytes(content)
    found = value_or_words(lambda: read_marks(file, film, format=format, start_timecode=start))
    if found is not None:
        assert all(0 <= frame < 12 for frame in found.frames)
    value_or_words(lambda: read_marks(file, film, format=format, row_id="7"))


@given(content=any_of())
def test_params_of_any_bytes(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    value_or_words(lambda: read(file))


@given(document=changed(Params().model_dump(mode="json")))
def test_params_of_any_structure(document: Any, file: Path) -> None:
    try:
        with file.open("w", encoding="utf-8") as handle:
            YAML(typ="safe", pure=True).dump(document, handle)
    except (ValueError, UnicodeEncodeError):  # what YAML cannot write, no file holds
        return
    value_or_words(lambda: read(file))


ROW = Row(
    row_id="film",
    source="csv",
    video_id="film",
    group="film",
    path="film.mp4",
    split="train",
    class_name="ball",
    labels=(1, 2),
    label_positions_px=((1.0, 2.0), (3.0, 4.0)),
    annotated=((0, 9),),
    fps=Fraction(25),
    n_frames=9,
    sha256="0" * 64,
)


@given(content=any_of(changed(ROW.to_json()).map(as_json), rotten(as_json(ROW.to_json()))))
def test_catalogs(content: bytes, file: Path) -> None:
    """What is read is of the right types: it is used without another look."""
    file.write_bytes(content)
    catalog = value_or_words(lambda: read_catalog(file))
    for row in catalog or ():
        for name in ("row_id", "source", "video_id", "group", "path", "class_name", "sha256"):
            assert isinstance(getattr(row, name), str)
        assert row.split in ("train", "val", "eval")
        assert all(isinstance(number, int) for number in (*row.labels, row.n_frames, *chain(*row.annotated)))
        assert row.fps > 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[FlowStore, bytes]:
    """A store of one row, and the row's document."""
    store = create_store(tmp_path_factory.mktemp("store") / "flows.zarr")
    n, size = 9, (4, 6)
    attributes = RowAttributes(
        n_frames=n,
        fps=Fraction(25),
        first_frame=0,
        labels=(3, 7),
        annotated=((0, n),),
        video_size=(8, 12),
        flow_size=(8, 12),
        store_size=size,
        coding=Coding("int16", 64),
        estimator={"model": "dis", "size": [8, 12]},
        video_sha256="0" * 64,
        fingerprint="f" * 64,
    )
    rng = np.random.default_rng(0)
    velocity, _ = encode(hold_edges(rng.normal(0, 4, (n - 1, 2, 2, *size))), attributes.coding)
    frames = rng.integers(0, 256, (n, 3, *size)).astype(np.uint8)
    with store.writer("film", attributes, np.arange(n) / 25, StoreParams(chunk_frames=4)) as writer:
        writer.append(KinematicsChunk(frames, velocity, inflection(velocity), 0, 0))
    return store, (store.path / "film" / "zarr.json").read_bytes()


def use(folder: Path, content: bytes) -> None:
    """Do all that can be done with a store whose row has this document."""
    (folder / "film" / "zarr.json").write_bytes(content)
    opened = FlowStore(folder)
    value_or_words(lambda: opened.attributes("film"))
    value_or_words(lambda: opened.times_s("film"))
    value_or_words(lambda: opened.read("film", 0, 2))
    value_or_words(opened.fingerprints)
    value_or_words(lambda: list(opened.rows()))
    for deep in (False, True):
        assert json.dumps(examine(opened.place, deep=deep).to_json())
    value_or_words(lambda: opened.update_labels("film", (1,), ((0, 2),)))


@given(data=st.data())
def test_documents_of_stores(data: st.DataObject, store: tuple[FlowStore, bytes]) -> None:
    whole, content = store
    kinds = any_of(changed(json.loads(content)).map(as_json), rotten(content))
    use(whole.path, data.draw(kinds, label="document"))


@pytest.mark.parametrize("checksums", [None, [], {}, {"arrays": {}}, {"document": 1}, {"document": "0"}])
def test_documents_with_other_checksums(checksums: Any, store: tuple[FlowStore, bytes]) -> None:
    whole, content = store
    document = json.loads(content)
    document["attributes"]["checksums"] = checksums
    use(whole.path, as_json(document))


@given(data=st.data())
def test_manifests(data: st.DataObject, store: tuple[FlowStore, bytes], file: Path) -> None:
    whole, content = store
    (whole.path / "film" / "zarr.json").write_bytes(content)
    folder = file.parent / "manifest"
    write_manifest(whole.documents(), "s3://bucket/flows", folder)
    content = (folder / "manifest.json").read_bytes()
    content = data.draw(any_of(changed(json.loads(content)).map(as_json), rotten(content)), label="manifest")
    (folder / "manifest.json").write_bytes(content)
    manifest = value_or_words(lambda: read_manifest(folder))
    if manifest is not None:
        examine(whole.place, manifest=manifest)


@given(data=st.data())
def test_checkpoints(data: st.DataObject, file: Path) -> None:
    import torch

    whole = file.with_suffix(".safetensors")
    if not whole.exists():
        checkpoint.write(whole, {"model.a": torch.arange(4.0)}, {"params": {}, "thresholds": {"peaks": 0.5}})
    file.write_bytes(data.draw(any_of(rotten(whole.read_bytes())), label="checkpoint"))
    value_or_words(lambda: checkpoint.read(file))
    value_or_words(lambda: checkpoint.load_trained(file, torch.device("cpu")))
