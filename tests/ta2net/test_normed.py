"""Norm, addition and ReLU in one step against torch's own, one after the other, in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from torch import Tensor, nn

from ta2net.fast import kernels, normed
from ta2net.fast.normed import Layers

pytestmark = pytest.mark.slow

SHAPES = [(3, 1, 5, 7), (2, 16, 8, 8), (5, 48, 3, 3), (1, 7, 1, 2), (9, 300, 9, 5)]


def maps(shape: tuple[int, ...], seed: int) -> Tensor:
    """Channels of different mean and deviation, in bfloat16, channels last."""
    random = torch.Generator().manual_seed(seed)
    mean, deviation = (
        torch.randn(1, shape[1], 1, 1, generator=random),
        torch.rand(1, shape[1], 1, 1, generator=random) + 0.1,
    )
    values = torch.randn(shape, generator=random) * deviation + 2 * mean
    return values.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def norm_of(channels: int) -> nn.BatchNorm2d:
    torch.manual_seed(channels)
    norm = nn.BatchNorm2d(channels, eps=1e-4, momentum=0.3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def plain(norm: nn.Module, x: Tensor, beside: Tensor | None, relu: bool) -> Tensor:
    out = norm(x) if beside is None else norm(x) + beside
    return torch.relu(out) if relu else out


@pytest.fixture
def compiled(monkeypatch):
    """How often the compiled loops were taken."""
    taken: list[int] = []
    inner = normed._trained
    monkeypatch.setattr(normed, "_trained", lambda *args: taken.append(1) or inner(*args))
    return taken


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_results_gradients_and_statistics_are_those_of_float64(shape, added, relu, compiled):
    norm = norm_of(shape[1])
    exact = norm_of(shape[1]).double()
    x, grad = maps(shape, 0).requires_grad_(), maps(shape, 1)
    beside = maps(shape, 2).requires_grad_() if added else None
    inputs = [x, norm.weight, norm.bias, *([beside] if added else [])]
    out = normed.normed(norm, x, beside, relu=relu)
    found = torch.autograd.grad(out, inputs, grad)
    assert compiled == [1]

    wide_x = x.detach().double().requires_grad_()
    wide_beside = beside.detach().double().requires_grad_() if added else None
    wide = [wide_x, exact.weight, exact.bias, *([wide_beside] if added else [])]
    expected = plain(exact, wide_x, wide_beside, relu)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())

    assert out.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out.double(), expected, rtol=2**-8, atol=1e-5)
    scale = max(float(value.abs().max()) for value in expected_grads)
    for value, right in zip(found, expected_grads, strict=True):
        rtol = 2**-8 if value.dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(value.double(), right, rtol=rtol, atol=1e-5 * scale)
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(value.double(), exact.state_dict()[name].double(), rtol=1e-5, atol=1e-6)


def test_a_far_mean_does_not_hide_the_variance(compiled):
    values = 96 + torch.randint(0, 2, (4, 8, 16, 16)) * 0.5
    x = values.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    assert torch.equal(x.float(), values)
    norm = nn.BatchNorm2d(8)
    out = normed.normed(norm, x, relu=False)
    variance, mean = torch.var_mean(values.double(), (0, 2, 3))
    torch.testing.assert_close(norm.running_mean.double(), 0.1 * mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(norm.running_var.double(), 0.9 + 0.1 * variance, rtol=1e-6, atol=0)
    assert out.float().abs().max() < 1.2
    assert compiled


def test_any_number_of_threads_gives_the_same_bits():
    x, grad = maps((16, 64, 20, 20), 0).requires_grad_(), maps((16, 64, 20, 20), 1)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            norm = norm_of(64)
            out = normed.normed(norm, x)
            found.append((out, *torch.autograd.grad(out, (x, norm.weight, norm.bias), grad)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


GRADIENTS = """
import hashlib
import torch
from ta2net.fast.normed import normed

torch.manual_seed(0)
x = torch.randn(32, 32, 64, 64).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
norm = torch.nn.BatchNorm2d(32)
torch.nn.init.normal_(norm.weight)
out = normed(norm, x)
grads = torch.autograd.grad(out, (x, norm.weight, norm.bias), torch.randn_like(out))
results = [out.float(), *(grad.float() for grad in grads)]
print([hashlib.sha256(result.detach().numpy().tobytes()).hexdigest() for result in results])
"""


def test_code_just_compiled_and_code_kept_from_before_give_the_same_bits(tmp_path):
    """They are optimised apart; a sum of two products that could be fused in two ways would be."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command, root = [sys.executable, "-c", GRADIENTS], Path(__file__).parents[2]
    compiled, kept = (
        subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True).stdout
        for _ in range(2)
    )
    assert any(tmp_path.rglob("*.nbc"))
    assert compiled == kept


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_hidden(bad, compiled):
    x = maps((2, 3, 4, 4), 0)
    x[1, 1, 2, 2] = bad
    out = normed.normed(norm_of(3), x)
    assert compiled
    assert out[:, 1].isnan().all()
    assert out[:, [0, 2]].isfinite().all()


@pytest.mark.parametrize(
    "change",
    [
        lambda norm, x: (norm.eval(), x),
        lambda norm, x: (norm, x.float()),
        lambda norm, x: (norm, x.contiguous()),
        lambda norm, x: (nn.BatchNorm2d(norm.num_features, momentum=None), x),
        lambda norm, x: (nn.BatchNorm2d(norm.num_features, affine=False), x),
        lambda norm, x: (nn.BatchNorm2d(norm.num_features, track_running_stats=False), x),
    ],
    ids=["evaluation", "float32", "channels first", "cumulative", "no weights", "no statistics"],
)
def test_all_else_is_torchs(change, compiled):
    norm, x = change(norm_of(16), maps((2, 16, 4, 4), 0))
    beside = maps((2, 16, 4, 4), 1).to(x.dtype)
    out = normed.normed(norm, x, beside)
    assert not compiled
    if norm.training and norm.running_mean is not None:
        norm.reset_running_stats()
    assert torch.equal(out, torch.relu(norm(x) + beside))


def test_layers_are_the_sequence(compiled):
    torch.manual_seed(0)
    parts = [
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ReLU(),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(8),
        nn.Tanh(),
    ]
    layers, sequence = Layers(*parts), nn.Sequential(*parts)
    assert list(layers.state_dict()) == list(sequence.state_dict())
    x = torch.randn(2, 3, 12, 12).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layers(x), sequence(x), rtol=0, atol=0)
    assert not compiled
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layers(x)
    assert len(compiled) == 3
    torch.testing.assert_close(found.float(), sequence(x), rtol=0, atol=0.05)


@njit
def rounded(values, out):
    """float32 -> bfloat16 by the compiled rounding."""
    for i in range(values.size):
        out[i] = kernels._bfloat(values[i])


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_rounding_is_torchs(values):
    exact = np.array(values, np.float32)
    out = np.empty(exact.size, np.uint16)
    rounded(exact, out)
    found = torch.from_numpy(out).view(torch.bfloat16)
    assert torch.equal(found.nan_to_num(7.0), torch.from_numpy(exact).to(torch.bfloat16).nan_to_num(7.0))
    assert found.isnan().tolist() == np.isnan(exact).tolist()
