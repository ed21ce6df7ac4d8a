"""A block's input on both of its ways, against torch's own operations in float64 and in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ta2net.fast import branch
from ta2net.fast.branch import branched, every
from ta2net.fast.residual import FastBottleneck

SIZES = [(3, 8, 5, 7, 4), (2, 64, 8, 8, 16), (1, 5, 1, 2, 3)]


@pytest.fixture
def joined(monkeypatch):
    """How often both gradients became one while the product was written."""
    taken: list[int] = []
    inner = branch._Branched.apply
    monkeypatch.setattr(branch._Branched, "apply", lambda *args: taken.append(1) or inner(*args))
    return taken


def random_map(*shape: int, seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.bfloat16().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_both_ways_and_their_gradients_are_those_of_float64(size, step, joined):
    batch, inside, height, width, outside = size
    torch.manual_seed(0)
    convolution = nn.Conv2d(inside, outside, 1, bias=False)
    x = random_map(batch, inside, height, width, seed=1).requires_grad_()
    weight = convolution.weight.detach().bfloat16().double().requires_grad_()
    wide = x.detach().double().requires_grad_()

    through, past = branched(convolution, x, step, nn.BatchNorm2d(7))
    exact = torch.einsum("bchw,dc->bdhw", wide, weight.flatten(1)), wide[..., ::step, ::step]
    assert joined == [1]
    torch.testing.assert_close(through.double(), exact[0], rtol=2**-8, atol=2**-8)
    assert torch.equal(past.double(), exact[1])

    grads = random_map(*through.shape, seed=2), random_map(*past.shape, seed=3)
    expected = torch.autograd.grad(exact, (wide, weight), [grad.double() for grad in grads])
    found = torch.autograd.grad((through, past), (x, convolution.weight), [grad.clone() for grad in grads])
    for value, right in zip(found, expected, strict=True):
        bound = 2**-7 * float(right.abs().max())
        torch.testing.assert_close(value.double(), right, rtol=2**-7, atol=bound)


@pytest.mark.parametrize(
    "change",
    [
        lambda norm, x: (norm.eval(), x),
        lambda norm, x: (norm, x.float()),
        lambda norm, x: (norm, x.contiguous()),
        lambda _, x: (nn.GroupNorm(1, 6), x),
    ],
    ids=["frozen", "float32", "channels first", "another norm"],
)
def test_a_gradient_that_may_be_anothers_too_is_not_added_to(change, joined):
    last, x = change(nn.BatchNorm2d(6), random_map(2, 6, 4, 4, seed=0))
    convolution = nn.Conv2d(6, 3, 1, bias=False).to(x.dtype)
    through, past = branched(convolution, x, 2, last)
    assert not joined
    assert torch.equal(through, convolution(x))
    assert torch.equal(past, x[..., ::2, ::2])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_gives_what_it_gives_without(stride, joined, monkeypatch):
    torch.manual_seed(0)
    shortcut = (
        None if stride == 1 else nn.Sequential(nn.Conv2d(32, 32, 1, stride, bias=False), nn.BatchNorm2d(32))
    )
    block = FastBottleneck(32, 8, stride, shortcut).train()
    x = random_map(4, 32, 12, 12, seed=4).requires_grad_()

    def result_and_gradients() -> tuple[Tensor, ...]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = block(x)
        return out, *torch.autograd.grad(out, (x, *block.parameters()), random_map(*out.shape, seed=5))

    found = result_and_gradients()
    assert joined == [1]
    monkeypatch.setattr(branch, "has_kernels", lambda *_: False)
    expected = result_and_gradients()
    assert joined == [1]
    assert torch.equal(found[0], expected[0])
    # a sum rounded once, not twice
    torch.testing.assert_close(found[1], expected[1], rtol=2**-6, atol=2**-7)
    for value, right in zip(found[2:], expected[2:], strict=True):
        torch.testing.assert_close(value, right, rtol=0, atol=2**-7 * float(right.abs().max()))


def test_every_pixel_of_a_step_and_its_gradient_are_channels_last():
    x = random_map(2, 3, 5, 6, seed=0).requires_grad_()
    seen = every(2, x)
    assert torch.equal(seen, x[..., ::2, ::2])
    (found,) = torch.autograd.grad(seen, x, torch.ones_like(seen))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.sum() == seen.numel()
