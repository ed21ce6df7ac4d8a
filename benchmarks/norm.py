"""A batch norm, an addition and a ReLU in bfloat16, forward and back: in one step, and by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.measure import Ratio, Scale, compared
from ta2net.fast.normed import normed

SHAPES = {
    "resnet50_28px": (128, 256, 28, 28),
    "resnet50_7px": (128, 1024, 7, 7),
    "tiny_32px": (512, 16, 32, 32),
}
"""Pictures, channels and pixels of maps in the paper's network and in the embedded one."""
REPEATS = 5


def ratios(scale: Scale) -> Iterator[Ratio]:
    """For maps that memory has to deliver, for one that stays in the cache, and for one of few channels."""
    shapes = {"tiny_8px": (4, 16, 8, 8)} if scale.quick else SHAPES
    for name, shape in shapes.items():
        yield compared(
            f"norm.{name}_vs_pytorch",
            _passes(shape, normed),
            _passes(shape, _plain),
            "nn.BatchNorm2d, add and relu in place, bfloat16, forward and backward",
            scale.rounds,
        )


def _plain(norm: nn.Module, x: Tensor, beside: Tensor) -> Tensor:
    out: Tensor = norm(x)
    return out.add_(beside).relu_()


def _passes(shape: tuple[int, ...], block: Callable[..., Tensor]) -> Callable[[], float]:
    """Some passes forward and back through maps of a shape."""
    random = torch.Generator().manual_seed(0)
    x, beside, grad = (
        torch.randn(shape, generator=random).bfloat16().contiguous(memory_format=torch.channels_last)
        for _ in range(3)
    )
    inputs = (x.requires_grad_(), beside.requires_grad_())
    norm = nn.BatchNorm2d(shape[1])

    def work() -> float:
        for _ in range(REPEATS):
            torch.autograd.grad(block(norm, x, beside), (*inputs, norm.weight, norm.bias), grad)
        return REPEATS

    return work
