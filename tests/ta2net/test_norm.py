"""Batch norm over two processes against torch's own over the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ta2net.methods.ta2net.network import TA2Net
from ta2net.training.global_norm import GlobalBatchNorm, with_global_norms

PROCESSES = 2
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1),
        nn.BatchNorm3d(4, momentum=0.3),
        nn.Tanh(),
        nn.Flatten(2),
        nn.BatchNorm1d(4),
    ).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


def clips() -> torch.Tensor:
    # far from zero: a difference of squares would lose half of the digits
    return 50 + torch.randn(6, 3, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def loss_of(output: torch.Tensor) -> torch.Tensor:
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return (weight * output.square()).sum()


def half(rank: int, folder: str, kind: str) -> None:
    """One of two processes: its half of the clips, and its half of the objective of all of them."""
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    net = with_global_norms(network().to(device), device)
    own = clips().chunk(PROCESSES)[rank].to(device).requires_grad_()
    output = net(own)
    weight = torch.linspace(-1, 1, PROCESSES * output.numel(), dtype=output.dtype).view(-1, *output.shape[1:])
    (weight.chunk(PROCESSES)[rank].to(device) * output.square()).sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    for gradient in gradients.values():
        dist.all_reduce(gradient)
    torch.save(
        {"output": output.detach(), "input": own.grad, "state": net.state_dict(), "gradients": gradients},
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_halves_are_the_whole(tmp_path):
    """Output, running statistics, gradients of the input and of every parameter, in double precision."""
    mp.spawn(half, (str(tmp_path), "cpu"), nprocs=PROCESSES)
    assert_the_halves_are_the_whole(tmp_path, rtol=1e-9, atol=1e-10)


def assert_the_halves_are_the_whole(folder: Path, **exact: float) -> None:
    found = [
        torch.load(folder / f"{rank}.pt", map_location="cpu", weights_only=True) for rank in range(PROCESSES)
    ]
    net, whole = network(), clips().requires_grad_()
    output = net(whole)
    loss_of(output).backward()
    torch.testing.assert_close(torch.cat([half["output"] for half in found]), output, **exact)
    torch.testing.assert_close(torch.cat([half["input"] for half in found]), whole.grad, **exact)
    for half_ in found:
        assert half_["state"].keys() == net.state_dict().keys()
        for name, value in net.state_dict().items():
            torch.testing.assert_close(half_["state"][name], value, **exact)
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(half_["gradients"][name], parameter.grad, **exact)


@pytest.mark.slow
@pytest.mark.parametrize(("device", "kind"), [(CPU, GlobalBatchNorm), (CUDA, nn.SyncBatchNorm)])
def test_the_network_keeps_its_names_and_its_evaluation(toy_params, device, kind):
    """What a device is given is seen without one: evaluation runs anywhere."""
    model = TA2Net(toy_params.method, 24).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = (
        torch.randint(0, 256, (1, 24, 3, 32, 32), dtype=torch.uint8),
        torch.randn(1, 24, 2, 2, 32, 32),
        torch.randn(1, 24, 2, 2, 32, 32),
        torch.ones(1, 24, dtype=torch.bool),
    )
    expected = model(*inputs).probability
    parameters = list(map(id, model.parameters()))
    norms = sum(isinstance(module, _BatchNorm) for module in model.modules())
    assert with_global_norms(model, device) is model
    assert list(map(id, model.parameters())) == parameters
    assert [type(m) for m in model.modules() if isinstance(m, _BatchNorm)] == norms * [kind]
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    torch.testing.assert_close(model(*inputs).probability, expected)


@pytest.mark.skipif(
    torch.cuda.device_count() < PROCESSES, reason="NCCL wants a GPU for every process, and there are not two"
)
def test_two_halves_on_two_gpus_are_the_whole(tmp_path):
    mp.spawn(half, (str(tmp_path), "cuda"), nprocs=PROCESSES)
    assert_the_halves_are_the_whole(tmp_path, rtol=1e-6, atol=1e-6)


def test_a_norm_without_statistics_is_refused():
    with pytest.raises(ValueError, match="running statistics"):
        GlobalBatchNorm.of(nn.BatchNorm2d(3, track_running_stats=False))
