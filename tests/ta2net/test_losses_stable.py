"""The objective on hard numbers: finite values and gradients in every precision."""

from __future__ import annotations

import pytest
import torch

from ta2net.methods.batch import Batch
from ta2net.methods.ta2net.losses import contrastive_loss, terms
from ta2net.methods.ta2net.network import Output
from ta2net.methods.ta2net.params import ContrastParams, LossParams, TA2NetParams
from ta2net.training.step import weighted

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LARGEST = 60000.0
LOSS = LossParams(foreground_weight=5.0, offset=1.0, contrast=1.0, smoothness=1.0)
BATCH, LENGTH, CHANNELS = 2, 8, 6


def labels(generator, case="random"):
    """A batch without pictures."""
    shape = (BATCH, LENGTH)
    hard = (torch.rand(shape, generator=generator) < 0.3).float()
    known = torch.rand(shape, generator=generator) < 0.8
    offset = torch.randint(-4, 5, shape, generator=generator).float()
    if case == "no hit":
        hard, offset = torch.zeros(shape), torch.full(shape, torch.inf)
    elif case == "all hits":
        hard, offset = torch.ones(shape), torch.zeros(shape)
    elif case == "all padded":
        known = torch.zeros(shape, dtype=torch.bool)
    elif case == "one frame":
        known = torch.zeros(shape, dtype=torch.bool)
        known[1, 0] = True
    soft = torch.maximum(hard, torch.rand(shape, generator=generator) * (case != "no hit"))
    valid = known if case in ("all padded", "one frame") else torch.ones(shape, dtype=torch.bool)
    return Batch(None, None, None, soft, hard, offset, offset == 0, valid, known)


def leaves(generator, case):
    """logits (2, B, T, 2), maps, motion, still, offsets (2, B, T), float32."""
    shape = (BATCH, LENGTH)
    tensors = [
        torch.randn(2, *shape, 2, generator=generator),
        torch.rand(*shape, 3, 3, generator=generator),
        torch.randn(*shape, CHANNELS, generator=generator),
        torch.randn(*shape, CHANNELS, generator=generator),
        torch.randn(2, *shape, generator=generator),
    ]
    if case == "extreme":
        tensors = [LARGEST * torch.sign(x) for x in tensors]
        tensors[1] = torch.rand(*shape, 3, 3, generator=generator).round()
    elif case == "zero":
        tensors = [torch.zeros_like(x) for x in tensors]
    elif case == "identical":
        tensors[2] = tensors[3] = torch.ones(*shape, CHANNELS)
    elif case == "nearly identical":
        tensors[2] = tensors[3] = 1 + 1e-2 * tensors[2]
    return tensors


def output_of(tensors):
    logits, maps, motion, still, offsets = tensors
    return Output(logits.unbind(), maps, offsets.unbind(), motion, still)


def objective(output, batch, contrast):
    return weighted(terms(TA2NetParams(loss=LOSS, contrast=contrast), batch), output)


@pytest.mark.parametrize("rank", ["row", "global"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hits", ["random", "no hit", "all hits", "all padded", "one frame"])
@pytest.mark.parametrize("case", ["random", "extreme", "zero", "identical", "nearly identical"])
def test_values_and_gradients_are_finite(case, hits, dtype, rank):
    """And the losses of rounded outputs are those of the same numbers in float32."""
    generator = torch.Generator().manual_seed(3)
    batch = labels(generator, hits)
    narrow = [x.to(dtype).requires_grad_() for x in leaves(generator, case)]
    wide = [x.detach().float().requires_grad_() for x in narrow]
    contrast = ContrastParams(rank=rank)
    losses, expected = (objective(output_of(x), batch, contrast) for x in (narrow, wide))
    for name, value in losses.items():
        assert torch.isfinite(value), name
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[name]), name
    losses["total"].backward()
    expected["total"].backward()
    for one, other in zip(narrow, wide, strict=True):
        assert torch.isfinite(one.grad).all()
        assert torch.equal(one.grad, other.grad.to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["random", "extreme", "zero", "identical", "nearly identical"])
def test_autocast_changes_nothing(case, dtype):
    generator = torch.Generator().manual_seed(4)
    batch, tensors = labels(generator), leaves(generator, case)
    gradients = []
    for enabled in (False, True):
        said = [x.clone().requires_grad_() for x in tensors]
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            losses = objective(output_of(said), batch, ContrastParams())
        losses["total"].backward()
        gradients.append([losses["total"], *(x.grad for x in said)])
    assert all(torch.isfinite(x).all() for x in gradients[1])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_vectors_of_length_0_have_no_direction_to_learn():
    vectors = torch.zeros(4, 3, requires_grad=True)
    contrastive_loss(vectors, vectors * 2, torch.ones(4, dtype=torch.bool), ContrastParams()).backward()
    assert torch.all(vectors.grad == 0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_300_steps_on_hard_inputs_stay_finite(dtype):
    """A linear network in float32, its outputs rounded to ``dtype``; some inputs huge, zero, or all alike."""
    generator = torch.Generator().manual_seed(0)
    widths = {"logits": 4, "maps": 9, "motion": CHANNELS, "still": CHANNELS, "offsets": 2}
    layer = torch.nn.Linear(5, sum(widths.values()))
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.zero_()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    cases = ("random", "no hit", "all hits", "all padded", "one frame")
    for step in range(300):
        inputs = torch.randn(BATCH, LENGTH, 5, generator=generator)
        inputs *= 10 ** torch.empty(BATCH, LENGTH, 1).uniform_(-3, 4, generator=generator)
        inputs[torch.rand(BATCH, LENGTH, generator=generator) < 0.1] = 0.0
        if step % 7 == 0:
            inputs[:] = inputs[:1, :1].clone()
        said = layer(inputs).clamp(-LARGEST, LARGEST)
        logits, maps, motion, still, offsets = said.split(tuple(widths.values()), dim=-1)
        tensors = (
            logits.unflatten(-1, (2, 2)).movedim(2, 0).to(dtype),
            maps.sigmoid().unflatten(-1, (3, 3)).to(dtype),
            motion.to(dtype),
            still.to(dtype),
            offsets.movedim(2, 0).to(dtype),
        )
        batch = labels(generator, cases[step % 5])
        losses = objective(output_of(tensors), batch, ContrastParams(rank=("row", "global")[step % 2]))
        optimizer.zero_grad()
        losses["total"].backward()
        assert all(torch.isfinite(x) for x in losses.values()), step
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters()), step
        optimizer.step()
    assert all(torch.isfinite(p).all() for p in layer.parameters())
