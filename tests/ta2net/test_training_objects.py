"""Training and evaluation from object storage: the figures of the same rows in a folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.kinematics import KinematicsChunk
from pipeline.params import StoreParams
from pipeline.store import FlowStore, open_or_create
from ta2net.evaluation.evaluate import evaluate
from ta2net.training.loop import train

pytestmark = pytest.mark.slow

WORKER = Path(__file__).resolve().parent / "train_worker.py"


def changed(params, section, **entries):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=entries)})


@pytest.fixture(scope="module")
def copied(toy_data, s3_server, tmp_path_factory):  # noqa: ARG001 - asked for so that it runs
    """The toy rows once more, in a bucket."""
    import s3fs

    s3fs.S3FileSystem().mkdir("bucket-for-training")
    folder = tmp_path_factory.mktemp("manifest")
    place = StoreParams(path=str(folder), url="s3://bucket-for-training/toy", chunk_frames=40)
    local, store = FlowStore(toy_data / "flows.zarr"), open_or_create(place)
    for row_id in local.row_ids():
        attributes = local.attributes(row_id)
        window = local.read(row_id, 0, attributes.n_frames)
        with store.writer(row_id, attributes, window.time_s, place) as writer:
            writer.append(KinematicsChunk(window.frames, window.velocity, window.inflection, 0, 0))
    return place


@pytest.fixture
def both(toy_params, copied, tmp_path):
    """Parameters of a short run on the toy rows in a folder, and of one on the same rows in a bucket."""
    runs = {}
    for name, where in (("local", toy_params.store), ("remote", copied)):
        params = toy_params.model_copy(update={"store": where})
        params = changed(params, "train", dir=str(tmp_path / name / "run"), steps=3, validate_every=3)
        runs[name] = changed(params, "evaluation", bootstrap=0)
    return runs


def curves(params):
    folder = Path(params.train.dir)
    return [(folder / name).read_text().splitlines() for name in ("loss.csv", "validation.csv")]


def test_training_and_evaluation_give_the_local_figures(both):
    metrics = {}
    for name, params in both.items():
        train(params)
        metrics[name] = evaluate(params)
    assert curves(both["remote"]) == curves(both["local"])
    assert len(curves(both["local"])[0]) == 2  # a header, and the mean of three steps
    assert metrics["remote"] == metrics["local"]


def test_two_processes_give_the_local_losses(both):
    jobs = []
    for params in both.values():
        file = Path(params.train.dir).parent / "params.yaml"
        file.parent.mkdir()
        with file.open("w") as handle:
            YAML(typ="safe", pure=True).dump(params.model_dump(mode="json"), handle)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            jobs.append(f"single:{probe.getsockname()[1]}:{file}")
    processes = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        environment = os.environ | {name: str(value) for name, value in place.items()}
        environment |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        processes.append(
            subprocess.Popen([sys.executable, str(WORKER), *jobs], cwd=WORKER.parents[2], env=environment)
        )
    try:
        assert [process.wait(timeout=500) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    assert curves(both["remote"]) == curves(both["local"])
    assert len(curves(both["local"])[0]) == 2  # a header, and the mean of three steps
