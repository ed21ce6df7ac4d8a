"""What a CUDA device computes is what the CPU computes, in float32 without TF32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.catalog import read_catalog
from pipeline.store import FlowStore
from ta2net.clips.loader import ClipLoader
from ta2net.clips.memory import CudaMemory
from ta2net.hits.scoring import make_scorer
from ta2net.methods.batch import Batch
from ta2net.networks.checkpoint import BEST, load_trained
from ta2net.training.loop import Trainer

CPU = torch.device("cpu")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def changed(params, section, **entries):
    return params.model_copy(update={section: getattr(params, section).model_copy(update=entries)})


@pytest.fixture(autouse=True)
def all_of_float32() -> Iterator[None]:
    """Products and convolutions with 23 bits: TF32 has 10, and errors of 1e-3 would hide others."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def two_steps(params, folder: Path, device: torch.device) -> list[dict[str, float]]:
    """Losses of the first step, and of the second with the weights that the first left."""
    params = changed(params, "train", dir=str(folder / device.type), device=str(device))
    trainer = Trainer(params)
    batches = trainer.loader.batches(0, 2)
    return [{name: float(loss) for name, loss in trainer.step(batch).items()} for batch in batches]


@pytest.mark.parametrize("fast", [True, False])
def test_a_training_step_has_the_losses_of_the_cpu(toy_params, tmp_path, device, fast):
    """Sums in another order are off by some 1e-6. Adam's first step has the size of the learning rate,
    whatever the gradient's: one of almost nothing may go either way, up to a hundredth in the next losses."""
    params = changed(toy_params, "train", fast=fast)
    expected = two_steps(params, tmp_path, CPU)
    found = two_steps(params, tmp_path, device)
    for step, tolerance in ((0, 1e-4), (1, 1e-2)):
        assert found[step].keys() == expected[step].keys()
        assert found[step] == pytest.approx(expected[step], rel=tolerance, abs=1e-5)
    assert expected[1]["total"] != expected[0]["total"]


def test_scores_are_those_of_the_cpu(toy_run, device):
    """Probability, place and offset of every frame of a row that nobody trained on."""
    store = FlowStore(toy_run.store.path)
    row = read_catalog(toy_run.source.catalog).split("eval").rows[0]
    found, expected = [], []
    for where, scores in ((device, found), (CPU, expected)):
        trained = load_trained(Path(toy_run.train.dir) / BEST, where)
        scorer = make_scorer(trained.network, trained.params, where)
        scores.append(scorer(store.reader(row.row_id), row.n_frames, store.coding.scale))
    for name in ("probability", "localization", "offset"):
        one, other = getattr(found[0], name), getattr(expected[0], name)
        assert one.shape[0] == other.shape[0] == row.n_frames
        np.testing.assert_allclose(one, other, atol=1e-4, err_msg=name)
    assert np.ptp(expected[0].probability) > 0.01


@pytest.mark.parametrize("extras", [{}, {"mixup": 0.4, "jitter": 0.5}])
@pytest.mark.parametrize("room", [True, False], ids=["kept on the device", "sent clip by clip"])
def test_batches_are_those_of_the_cpu(toy_params, device, extras, room):
    """Made in another stream, some steps ahead, and complete when the training's stream takes them."""
    bytes_ = toy_params.clips.gpu_cache_bytes if room else 0
    params = changed(toy_params, "clips", gpu_cache_bytes=bytes_, **extras)
    rows, store = read_catalog(params.source.catalog).split("train").rows, FlowStore(params.store.path)
    loader = ClipLoader(rows, store, params, device)
    assert isinstance(loader.memory, CudaMemory)
    found = [batch.to(CPU) for batch in loader.batches(0, 6)]
    torch.cuda.synchronize(device)
    expected = ClipLoader(rows, store, params).batches(0, 6)
    for one, other in zip(found, expected, strict=True):
        for name in (field.name for field in fields(Batch)):
            same(name, getattr(one, name), getattr(other, name), exact=not extras)


def same(name: str, one: torch.Tensor, other: torch.Tensor, *, exact: bool) -> None:
    """Bit for bit; mixed and coloured pictures may be rounded to the number beside."""
    assert one.dtype == other.dtype, name
    if exact or not name.startswith(("frames", "velocity", "inflection")):
        torch.testing.assert_close(
            one, other, rtol=0, atol=0 if exact else 1e-6, msg=lambda m: f"{name}: {m}"
        )
    else:
        assert (one.int() - other.int()).abs().max() <= 1, name
