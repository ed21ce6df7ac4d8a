"""Checkpoints and other weight files: code to be run, cut off, of another network, lying about their size."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import Case
from tests.bad_input.materials import write_params
from tests.bad_input.tables import linked, pipe

BEST = "run/best.safetensors"
PREDICT = ("predict", "videos/one.mp4", "--checkpoint", BEST, "--out", "hits")
EVALUATE = ("evaluate",)
INSPECT = ("inspect", BEST)


class Payload:
    """Unpickled, it runs a command; nobody may unpickle it."""

    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


def pickled(name: str) -> Callable[[Path], None]:
    """A file as ``torch.save`` writes it, with a payload in it."""

    def make(folder: Path) -> None:
        import torch

        torch.save({"state_dict": {"weight": Payload()}}, folder / name)

    return make


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and what follows it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path: Path, header: dict[str, Any], rest: bytes) -> None:
    text = json.dumps(header).encode()
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


def header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """best.safetensors with another header."""

    def make(folder: Path) -> None:
        found, rest = header_of(folder / BEST)
        change(found)
        with_header(folder / BEST, found, rest)

    return make


def document(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """best.safetensors with another document in its header."""

    def edit(found: dict[str, Any]) -> None:
        held = json.loads(found["__metadata__"]["ta2net"])
        replaced = change(held)
        found["__metadata__"] = {"ta2net": json.dumps(held if replaced is None else replaced)}  # no checksum

    return header(edit)


def entry(*keys: str, value: object) -> Callable[[dict[str, Any]], None]:
    """One entry of a nested document set."""

    def edit(held: dict[str, Any]) -> None:
        for key in keys[:-1]:
            held = held[key]
        held[keys[-1]] = value

    return edit


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    """One entry of a nested document taken out."""

    def edit(held: dict[str, Any]) -> None:
        for key in keys[:-1]:
            held = held[key]
        del held[keys[-1]]

    return edit


def without_digest(found: dict[str, Any]) -> dict[str, str]:
    """A header's metadata as a version without checksums wrote them."""
    return {"ta2net": found["__metadata__"]["ta2net"]}


def raw(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """best.safetensors with other bytes."""

    def make(folder: Path) -> None:
        data = change((folder / BEST).read_bytes())
        (folder / BEST).unlink()
        (folder / BEST).write_bytes(data)

    return make


def refused(name: str, make: Callable[[Path], None], *says: str, command: tuple[str, ...] = PREDICT) -> Case:
    """A network that is refused."""
    return Case(f"network_{name}", make, command, (2,), says, lacks=("owned", "hits/one/hits.csv"))


def flow_weights(folder: Path) -> None:
    pickled("flow.pth")(folder)
    write_params(
        folder, flow={"model": "raft_small", "checkpoint": "flow.pth", "size": [128, 128], "device": "cpu"}
    )


def backbone_weights(folder: Path) -> None:
    pickled("resnet.pth")(folder)
    write_params(folder, method={"backbone": "resnet18", "pretrained": "resnet.pth"}, train={"dir": "other"})


def newest_state(folder: Path) -> Path:
    """The newest checkpoint that a run could go on from."""
    return max((folder / "run" / "resume").iterdir())


def state_cut_off(folder: Path) -> None:
    os.truncate(newest_state(folder), 3000)


def state_bit(folder: Path) -> None:
    path = newest_state(folder)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))


def best_cut_off(folder: Path) -> None:
    """The result of a finished run is damaged: it is trained again from before its first validation."""
    os.truncate(folder / BEST, 3000)


def state_emptied(folder: Path) -> None:
    os.truncate(newest_state(folder), 0)


def all_states_cut_off(folder: Path) -> None:
    for path in (folder / "run" / "resume").iterdir():
        os.truncate(path, 3000)


def state_is_pickle(folder: Path) -> None:
    path = newest_state(folder)
    path.unlink()
    pickled(str(path))(folder)


def state_without_progress(folder: Path) -> None:
    path = newest_state(folder)
    found, rest = header_of(path)
    held = json.loads(found["__metadata__"]["ta2net"])
    del held["progress"]
    found["__metadata__"] = {"ta2net": json.dumps(held)}
    with_header(path, found, rest)


def goes_on(name: str, make: Callable[[Path], None], *says: str) -> Case:
    """A damaged checkpoint of a run, told and left out: the run goes on from an older one, or from the start."""
    return Case(
        f"state_{name}", make, ("train",), (0,), ("trained 4 steps", *says), keeps=(BEST,), lacks=("owned",)
    )


CASES = (
    refused("missing", lambda folder: (folder / BEST).unlink(), "no checkpoint here"),
    refused("folder", lambda folder: ((folder / BEST).unlink(), (folder / BEST).mkdir()), "no checkpoint here"),
    refused("pipe", pipe(BEST), "no checkpoint here"),
    refused("device", linked(BEST, "/dev/zero"), "no checkpoint here"),
    refused("empty", raw(lambda _: b""), "damaged"),
    refused("cut_off_in_header", raw(lambda data: data[:200]), "damaged"),
    refused("cut_off_in_tensors", raw(lambda data: data[:-50]), "damaged"),
    refused("bytes_behind", raw(lambda data: data + b"more"), "damaged"),
    refused("text", raw(lambda _: b"hello, network" * 99), "damaged"),
    refused("pickle", pickled(BEST), "damaged"),
    refused("pickle_inspected", pickled(BEST), "damaged", command=INSPECT),
    refused("a_number_changed", raw(lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]), "damaged"),
    refused("header_of_2_63", raw(lambda data: struct.pack("<Q", 2**63) + data[8:]), "damaged"),
    refused("header_of_90_MB", raw(lambda data: struct.pack("<Q", 90_000_000) + data[8:]), "damaged"),
    refused("tensor_of_1e18", header(lambda found: next(value for key, value in found.items() if key != "__metadata__").update(shape=[10**9, 10**9])), "damaged"),
    refused("tensor_beyond_the_end", header(lambda found: next(value for key, value in found.items() if key != "__metadata__").update(data_offsets=[0, 10**12])), "damaged"),
    refused("of_another_program", header(lambda found: found.pop("__metadata__")), "not a checkpoint of TA2Net"),
    refused("document_is_no_json", header(lambda found: found["__metadata__"].update(ta2net="{")), "damaged"),
    refused("document_is_a_list", document(lambda _: [1, 2]), "damaged"),
    refused("document_nested", header(lambda found: found["__metadata__"].update(ta2net="[" * 50_000)), "damaged"),
    refused("newer_format", document(entry("format", value=99)), "format 99"),
    refused("without_params", document(without("params")), "params"),
    refused("params_are_text", document(entry("params", value="big")), "params"),
    refused("unknown_params", document(entry("params", "method", "secret", value=1)), r"method\.secret: unknown key"),
    refused("params_nan", document(entry("params", "method", "velocity_scale_px", value=float("nan"))), "finite|damaged"),
    refused("other_channels", document(entry("params", "method", "channels", value=12)), "do not fit the model"),
    refused("channels_1e12", document(entry("params", "method", "channels", value=10**12)), "describe no network"),
    refused("clip_of_1e17_frames", document(entry("params", "clips", "frames", value=10**17)), "describe no network"),
    refused("without_thresholds", document(without("thresholds")), "thresholds"),
    refused("threshold_is_text", document(entry("thresholds", "peaks", value="high")), "thresholds"),
    refused("thresholds_evaluated", document(without("thresholds")), "thresholds", command=EVALUATE),
    refused("rules_without_thresholds_evaluated", document(without("thresholds", "motion_energy")), "thresholds", command=EVALUATE),
    refused("unknown_threshold_evaluated", document(entry("thresholds", "luck", value=0.5)), "thresholds", command=EVALUATE),
    refused("without_params_inspected", document(without("params")), "without params", command=INSPECT),
    refused("odd_params_inspected", document(entry("params", value={"method": 1})), "params", command=INSPECT),
    refused("odd_validation_inspected", document(entry("validation", value={"f1": "high"})), "validation", command=INSPECT),
    refused("tensor_renamed", header(lambda found: found.update({"__metadata__": without_digest(found), "model.other": found.pop(next(key for key in found if key.startswith("model.")))})), "do not fit the model"),
    Case("flow_weights_pickled", flow_weights, ("flows",), (2,), (r"flow\.pth",), lacks=("owned",), keeps=("flows.zarr/one",)),
    Case("backbone_pickled", backbone_weights, ("train",), (2,), (r"resnet\.pth",), lacks=("owned",)),
    goes_on("cut_off", state_cut_off, "damaged", "resuming at step 2"),
    goes_on("a_number_changed", state_bit, "damaged", "resuming at step 2"),
    goes_on("empty", state_emptied, "damaged", "resuming at step 2"),
    goes_on("all_cut_off", all_states_cut_off, "damaged"),
    goes_on("pickled", state_is_pickle, "damaged", "resuming at step 2"),
    goes_on("best_cut_off", best_cut_off, "best.safetensors is missing or damaged"),
    goes_on("without_progress", state_without_progress, "damaged", "resuming at step 2"),
)  # fmt: skip
