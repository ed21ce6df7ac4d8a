"""Flow stores: foreign, newer, half written, with parts that are missing or spoilt."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import Case
from tests.bad_input.materials import write_params

ROW = "flows.zarr/one"
INSPECT = ("inspect", "flows.zarr")
VALIDATE = ("validate", "flows.zarr")
DEEP = ("validate", "flows.zarr", "--deep")


def root(content: str) -> Callable[[Path], None]:
    """Another document at the root of the store."""
    return lambda folder: (folder / "flows.zarr" / "zarr.json").write_text(content) and None


def row(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The document of row ``one`` changed."""

    def make(folder: Path) -> None:
        file = folder / ROW / "zarr.json"
        held = json.loads(file.read_text())
        change(held)
        file.write_text(json.dumps(held))

    return make


def attribute(name: str, value: object) -> Callable[[Path], None]:
    """One attribute of row ``one`` set."""
    return row(lambda held: held["attributes"].update({name: value}))


def row_text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        file = folder / ROW / "zarr.json"
        file.write_text(change(file.read_text()))

    return make


def chunk(
    change: Callable[[Path], object], array: str = "velocity", row: str = ROW
) -> Callable[[Path], None]:
    """Something done to the first chunk file of an array."""

    def make(folder: Path) -> None:
        change(
            min(
                path
                for path in (folder / row / array).rglob("*")
                if path.is_file() and path.name != "zarr.json"
            )
        )

    return make


def turn_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(bytes(data))


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def foreign(folder: Path) -> None:
    """A Zarr group of another program where the store should be."""
    shutil.rmtree(folder / "flows.zarr")
    (folder / "flows.zarr" / "photos").mkdir(parents=True)
    (folder / "flows.zarr" / "photos" / "a.jpg").write_bytes(b"precious")
    (folder / "flows.zarr" / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    )


def folder_of_photos(folder: Path) -> None:
    shutil.rmtree(folder / "flows.zarr")
    (folder / "flows.zarr").mkdir()
    (folder / "flows.zarr" / "a.jpg").write_bytes(b"precious")


def a_file(folder: Path) -> None:
    shutil.rmtree(folder / "flows.zarr")
    (folder / "flows.zarr").write_bytes(b"precious")


def zarr_2(folder: Path) -> None:
    shutil.rmtree(folder / "flows.zarr")
    (folder / "flows.zarr").mkdir()
    (folder / "flows.zarr" / ".zgroup").write_text('{"zarr_format": 2}')


def fresh_run_without_a_chunk(folder: Path) -> None:
    shutil.rmtree(folder / "run")
    chunk(Path.unlink)(folder)


def read_only(folder: Path) -> None:
    """A store that may not be written while a row of it is to be made again."""
    shutil.rmtree(folder / ROW)
    (folder / "flows.zarr").chmod(0o555)


def address(url: str) -> Callable[[Path], None]:
    """``store.url`` set."""
    return lambda folder: write_params(folder, store={"path": "remote", "url": url, "size": [24, 32]})


def refused(
    name: str,
    make: Callable[[Path], None],
    *says: str,
    command: tuple[str, ...] = INSPECT,
    keeps: tuple[str, ...] = (),
) -> Case:
    """A store that a command refuses."""
    return Case(f"store_{name}", make, command, (2,), says, keeps=keeps)


def mended(name: str, make: Callable[[Path], None], *says: str) -> Case:
    """A row that the next build makes again."""
    return Case(
        f"store_{name}",
        make,
        ("flows",),
        (0,),
        (r"rows: 1 computed, 2 kept", *says),
        keeps=(f"{ROW}/zarr.json",),
    )


CASES = (
    refused("missing", lambda folder: shutil.rmtree(folder / "flows.zarr"), "no flow store here|no such", command=("evaluate",)),
    refused("foreign", foreign, "not a flow store", command=("flows",), keeps=("flows.zarr/photos/a.jpg",)),
    refused("folder_of_photos", folder_of_photos, "not a flow store", command=("flows",), keeps=("flows.zarr/a.jpg",)),
    refused("a_file", a_file, "not a flow store", command=("flows",), keeps=("flows.zarr",)),
    refused("zarr_2", zarr_2, "not a flow store", command=("flows",), keeps=("flows.zarr/.zgroup",)),
    refused("newer", root('{"zarr_format": 3, "node_type": "group", "attributes": {"ta2net_flow_store": 99}}'), "newer version", command=("flows",), keeps=(ROW,)),
    refused("schema_is_text", root('{"zarr_format": 3, "node_type": "group", "attributes": {"ta2net_flow_store": "1"}}'), "not a flow store"),
    refused("root_half_written", root('{"zarr_format": 3, "node_ty'), "not a flow store", command=("flows",), keeps=(ROW,)),
    refused("root_is_a_list", root("[]"), "not a flow store"),
    refused("root_nested", root("[" * 100_000), "not a flow store"),
    refused("row_half_written", row_text(lambda text: text[: len(text) // 2]), "one", command=VALIDATE),
    refused("row_nested", row_text(lambda _: "[" * 100_000), "one", command=VALIDATE),
    refused("row_incomplete", attribute("state", "writing"), "one", command=VALIDATE),
    refused("row_without_frames", row(lambda held: held["attributes"].pop("n_frames")), "one", command=VALIDATE),
    refused("row_of_1e12_frames", attribute("n_frames", 10**12), "one", command=VALIDATE),
    refused("row_of_1e12_frames_deep", attribute("n_frames", 10**12), "one", command=DEEP),
    refused("row_labels_descend", attribute("labels", [9, 3]), "one: ", command=VALIDATE),
    refused("row_labels_are_text", attribute("labels", "many"), "one", command=VALIDATE),
    refused("row_rate_zero", attribute("fps", "25/0"), "one", command=VALIDATE),
    refused("row_coding_unknown", attribute("coding", "int64"), "one", command=INSPECT),
    refused("row_scale_zero", attribute("scale", 0), "one", command=VALIDATE),
    refused("chunk_missing", chunk(Path.unlink), "one.*velocity", command=VALIDATE),
    refused("chunk_shortened", chunk(shorten), "one.*velocity", command=VALIDATE),
    refused("chunk_bit", chunk(turn_a_bit), "one.*velocity", command=DEEP),
    refused("chunk_bit_in_pictures", chunk(turn_a_bit, "frames"), "one.*frames", command=DEEP),
    refused("array_missing", lambda folder: shutil.rmtree(folder / ROW / "inflection"), "one.*inflection", command=VALIDATE),
    refused("chunk_missing_in_training", fresh_run_without_a_chunk, "one", command=("train",)),
    refused("chunk_shortened_in_evaluation", chunk(shorten, row="flows.zarr/three"), "three", command=("evaluate",)),
    refused("read_only", read_only, "Permission denied.*flows.zarr", command=("flows",), keeps=("flows.zarr/two",)),
    refused("url_with_secret", address("s3://key:hunter2@bucket/x"), "store.url", command=("flows",)),
    refused("url_unknown", address("gopher://bucket/x"), "gopher", command=("flows",)),
    mended("row_half_written_is_made_again", row_text(lambda text: text[:50])),
    mended("row_incomplete_is_made_again", attribute("state", "writing")),
    mended("row_of_a_newer_schema_is_made_again", attribute("fingerprint", "0" * 64)),
)  # fmt: skip
