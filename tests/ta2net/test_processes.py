"""Training in several processes is training in one."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from ruamel.yaml import YAML
from safetensors.torch import load_file

from pipeline.catalog import read_catalog
from pipeline.store import FlowStore
from ta2net.clips.loader import ClipLoader
from ta2net.training.loop import train
from ta2net.training.processes import ProcessesError, ShareLoader, places_of

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORKER = HERE / "train_worker.py"


def changed(params, section, **entries):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=entries)})


def written(params, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    document = changed(params, "train", dir=str(folder / "run")).model_dump(mode="json")
    with (folder / "params.yaml").open("w") as handle:
        YAML(typ="safe", pure=True).dump(document, handle)
    return folder / "params.yaml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_two_processes(*jobs: str) -> None:
    """Jobs for train_worker.py, in two processes that are told their places as torchrun does."""
    processes = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        environment = os.environ | {name: str(value) for name, value in place.items()}
        environment |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(WORKER), *jobs]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE))
    try:
        for process in processes:
            _, err = process.communicate(timeout=500)
            assert process.returncode == 0, err.decode()
    finally:
        for process in processes:
            process.kill()


def said(folder: Path) -> list[dict]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture
def doubled(monkeypatch):
    """This process in double precision, as train_worker.py makes the others."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def curve(folder: Path, name: str = "loss.csv") -> dict[str, np.ndarray]:
    with (folder / "run" / name).open() as handle:
        entries = list(csv.DictReader(handle))
    return {key: np.array([float(entry[key]) for entry in entries]) for key in entries[0]}


def mixed(params):
    """Everything on that mixes clips or cuts batches."""
    params = changed(params, "train", validate_every=12)
    params = changed(params, "clips", mixup=0.4, jitter=0.5)
    return changed(params, "optim", accumulate=2, ema=0.9)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


def test_two_processes_train(toy_params, runs):
    """The runs that the tests below look at: importing torch for each of them would take most of the time."""
    broken = changed(toy_params, "optim", lr=1e30, clip_norm=0.0, warmup_steps=0)
    in_two_processes(
        f"double:{free_port()}:{written(mixed(toy_params), runs / 'double')}",
        f"single:{free_port()}:{written(toy_params, runs / 'single')}",
        f"single:{free_port()}:{written(broken, runs / 'broken')}",
    )
    for folder in ("double", "single"):
        first, second = said(runs / folder)
        assert (first["code"], second["code"]) == (0, 0), first["err"] + second["err"]
        assert "trained 12 steps" in first["out"]
        assert second["out"] == second["err"] == ""  # one process speaks


def test_a_loss_that_is_no_number_stops_both_and_is_said_once(runs):
    first, second = said(runs / "broken")
    assert (first["code"], second["code"]) == (2, 2), first["err"] + second["err"]
    assert "the loss is not a finite number at step " in first["err"]
    assert "Rows in this batch: train_" in first["err"]
    assert second["err"] == ""
    assert not list((runs / "broken").rglob("*.safetensors"))


@pytest.mark.usefixtures("doubled")
def test_two_processes_are_one(toy_params, tmp_path, runs):
    """In double precision: losses, validation and final weights, with everything on that mixes clips.

    Mixup, accumulation, an average of the weights; batch norm over all clips; the contrast of all pairs. One
    process sums the same numbers in another order: 1e-16 relative, and 12 steps of Adam at 3e-3 enlarge it.
    """
    train(changed(mixed(toy_params), "train", dir=str(tmp_path / "run")))
    for name in ("loss.csv", "validation.csv"):
        one, two = curve(tmp_path, name), curve(runs / "double", name)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_allclose(two[key], one[key], rtol=1e-9, err_msg=key)
    for name in ("best.safetensors", "resume/step-00000012.safetensors"):
        one, two = (load_file(folder / "run" / name) for folder in (tmp_path, runs / "double"))
        assert one.keys() == two.keys()
        for key in one.keys() - {"rng.cpu"}:
            torch.testing.assert_close(two[key], one[key], rtol=1e-8, atol=1e-10, msg=lambda m, k=key: k + m)


def test_two_processes_are_one_in_single_precision(toy_params, tmp_path, runs):
    """As users run it. torch's own batch norm, with which one process computes, sums in float32: measured
    against float64 its gradients on this store are off by up to 3 %, those of two processes by 4e-5. Twelve
    steps make up to 5e-3 of that in the loss; a batch norm of half the batch would make 1e-1."""
    train(changed(toy_params, "train", dir=str(tmp_path / "run")))
    one, two = curve(tmp_path), curve(runs / "single")
    np.testing.assert_allclose(two["total"], one["total"], rtol=1e-2)
    np.testing.assert_allclose(two["contrast"], one["contrast"], rtol=3e-2)
    assert two["lr"].tolist() == one["lr"].tolist()


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_shares_are_the_batch(processes, parts, piece):
    """Every clip once; part by part, the processes' pieces in the order of ranks are the batch as it is."""
    batch = processes * parts * piece
    shares = [places_of(rank, processes, parts, batch) for rank in range(processes)]
    assert {len(share) for share in shares} == {parts * piece}
    joined = [
        p for part in range(parts) for share in shares for p in share[part * piece : (part + 1) * piece]
    ]
    assert joined == list(range(batch))


def test_a_batch_that_cannot_be_shared_is_told():
    with pytest.raises(ProcessesError, match=r"clips.batch \(6\) must be a multiple of .* \(2 x 2\)"):
        places_of(0, 2, 2, 6)


@pytest.mark.parametrize("extras", [{}, {"mixup": 0.3}, {"mixup": 0.3, "jitter": 1.0}])
def test_a_share_is_part_of_the_whole_batch(toy_params, extras):
    params = changed(toy_params, "clips", batch=6, **extras)
    rows = read_catalog(params.source.catalog).split("train").rows
    store = FlowStore(params.store.path)
    for step in (0, 3):
        whole = ClipLoader(rows, store, params).batch(step)
        for places in ((0, 1, 2), (4, 1), (5,)):
            share = ShareLoader(rows, store, params, places).batch(step)
            for name in vars(whole):
                assert torch.equal(getattr(share, name), getattr(whole, name)[list(places)]), name
