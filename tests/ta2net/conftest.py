"""A toy flow store: a bright square that turns around at every hit, its flow known exactly."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.catalog import Catalog, Row, write_catalog
from pipeline.kinematics import Coding, KinematicsChunk, encode, inflection
from pipeline.params import SourceParams, StoreParams
from pipeline.store import RowAttributes, create_store
from ta2net.methods.ta2net.params import FusionParams, TA2NetParams
from ta2net.params import ClipsParams, EvaluationParams, InferParams, OptimParams, Params, TrainParams
from ta2net.training.loop import train

SIZE, N_FRAMES, SQUARE = 32, 40, 8
CODING = Coding.of("int16", 64)


def toy_row(row_id: str, split: str, seed: int) -> Row:
    rng = np.random.default_rng(seed)
    hits = tuple(int(t) for t in np.cumsum(rng.integers(6, 12, size=4)) if t < N_FRAMES - 3)
    return Row(
        row_id=row_id,
        source="toy",
        video_id=row_id,
        group=row_id,
        path=f"{row_id}.mp4",
        split=split,
        class_name="square",
        labels=hits,
        label_positions_px=None,
        annotated=((0, N_FRAMES),),
        fps=Fraction(25),
        n_frames=N_FRAMES,
        sha256="0" * 64,
    )


def toy_kinematics(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """Frames and velocity in px of a square that moves 2 px a frame and turns around at the hits."""
    position, direction = 12, 1
    frames = np.full((N_FRAMES, 3, SIZE, SIZE), 60, np.uint8)
    velocity = np.zeros((N_FRAMES, 2, 2, SIZE, SIZE), np.float32)
    places = []
    for t in range(N_FRAMES):
        places.append(position)
        if t in row.labels:
            direction = -direction
        position += 2 * direction
    steps = np.diff(places)
    for t, x in enumerate(places):
        left = x % (SIZE - SQUARE)
        frames[t, :, 12 : 12 + SQUARE, left : left + SQUARE] = 220
        velocity[t, 0, 0, 12 : 12 + SQUARE, left : left + SQUARE] = steps[min(t, N_FRAMES - 2)]
        velocity[t, 1, 0, 12 : 12 + SQUARE, left : left + SQUARE] = -steps[max(t - 1, 0)]
    return frames, velocity


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory) -> Path:
    """A folder with catalog.jsonl and flows.zarr: 8 train, 3 val and 3 eval rows."""
    folder = tmp_path_factory.mktemp("toy")
    rows = [
        toy_row(f"{split}_{number}", split, seed=100 * place + number)
        for place, (split, count) in enumerate((("train", 8), ("val", 3), ("eval", 3)))
        for number in range(count)
    ]
    write_catalog(Catalog(tuple(rows)), folder / "catalog.jsonl")
    store = create_store(folder / "flows.zarr")
    for row in rows:
        frames, velocity_px = toy_kinematics(row)
        velocity, _ = encode(velocity_px, CODING)
        attributes = RowAttributes(
            n_frames=N_FRAMES,
            fps=row.fps,
            first_frame=0,
            labels=row.labels,
            annotated=row.annotated,
            video_size=(SIZE, SIZE),
            flow_size=(SIZE, SIZE),
            store_size=(SIZE, SIZE),
            coding=CODING,
            estimator={"model": "toy"},
            video_sha256=row.sha256,
            fingerprint=row.row_id,
        )
        with store.writer(row.row_id, attributes, np.arange(N_FRAMES) / 25.0, StoreParams()) as writer:
            writer.append(KinematicsChunk(frames, velocity, inflection(velocity), 0, 0))
    return folder


def params_for(data: Path, folder: Path) -> Params:
    """Params of a tiny network that learns the toy store in seconds; all that it makes lies in ``folder``."""
    return Params(
        source=SourceParams(catalog=str(data / "catalog.jsonl")),
        store=StoreParams(path=str(data / "flows.zarr")),
        method=TA2NetParams(
            channels=8, fusion=FusionParams(channels=16, heads=2, similarity_channels=4, hidden=32)
        ),
        clips=ClipsParams(frames=24, batch=4),
        optim=OptimParams(lr=3e-3, warmup_steps=5),
        train=TrainParams(
            dir=str(folder / "run"),
            steps=12,
            validate_every=6,
            checkpoint_every=4,
            precision="fp32",
            device="cpu",
            threads=1,  # small tensors: a second thread costs more than it gives
        ),
        infer=InferParams(stride=12),
        evaluation=EvaluationParams(
            dir=str(folder / "evaluation"), metrics=str(folder / "metrics.json"), pictures=1
        ),
    )


@pytest.fixture
def toy_params(toy_data, tmp_path) -> Params:
    """Params of the tiny network, for a test that trains it itself."""
    return params_for(toy_data, tmp_path)


@pytest.fixture(scope="session")
def toy_run(toy_data, tmp_path_factory) -> Params:
    """Params of a finished run of the tiny network that all tests share: to read, never to write to."""
    params = params_for(toy_data, tmp_path_factory.mktemp("toy_run"))
    train(params)
    return params


@pytest.fixture
def trained_params(toy_run, toy_params) -> Params:
    """``toy_params``, whose training is already done: a copy of the shared run, for a test to go on from."""
    shutil.copytree(toy_run.train.dir, toy_params.train.dir)
    return toy_params
