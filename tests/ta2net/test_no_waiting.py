"""A training step asks its device for nothing: on a GPU the host must run ahead of it.

On the meta device there are no values at all. Whatever needs one there (``item``, a mask as an index,
``nonzero``) raises, and what comes from the host's memory or goes there can be seen.
"""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.training import CASES, random_batch, tiny_params
from ta2net.methods.ta2net import TA2NetMethod
from ta2net.methods.ta2net.encoders import normalized_frames
from ta2net.methods.ta2net.params import ContrastParams, LossParams
from ta2net.networks.checkpoint import clip_shape
from ta2net.params import Params
from ta2net.training.optimizer import parameter_groups
from ta2net.training.step import Step

pytestmark = pytest.mark.slow

META = torch.device("meta")


class Made(TorchFunctionMode):
    """Remembers calls that make a tensor of Python's numbers for the device.

    Newer versions of torch show such a tensor to the dispatcher, as ``lift_fresh``; 2.11 does not where the
    device is meta. What ``Crossings`` has seen already is not remembered twice.
    """

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        before = len(self.seen)
        result = func(*args, **(kwargs or {}))
        if len(self.seen) == before and self.sends_numbers(func, args, kwargs or {}, result):
            self.seen.append(func)
        return result

    @staticmethod
    def sends_numbers(func, args, kwargs, result):
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):  # values[[0, 2]]
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            return args[0].device == META and any(isinstance(x, list) for x in index)
        if func not in (torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor):
            return False
        data = kwargs["data"] if "data" in kwargs else args[func is torch.Tensor.new_tensor]
        return result.device == META and not isinstance(data, torch.Tensor)


class Crossings(TorchDispatchMode):
    """Remembers every operation on two devices, and every tensor made of Python's numbers for the device."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.made = Made(self.seen)

    def __enter__(self):
        self.made.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.made.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        devices = {
            str(x.device)
            for x in tree_leaves((args, kwargs, result))
            if isinstance(x, torch.Tensor) and (x.ndim or x.device == META)  # numbers of Python's are free
        }
        if len(devices) > 1 or (func is torch.ops.aten.lift_fresh.default and str(META) in devices):
            self.seen.append(func)
        return result


def step_on_meta(params: Params):
    """A step whose network and optimiser live where there are no values."""
    with META:
        model = TA2NetMethod().build(params.method, clip_shape(params))
    fabric = SimpleNamespace(
        device=META,
        world_size=1,
        setup=lambda network, optimizer: (network, optimizer),
        backward=lambda loss: loss.backward(),
        clip_gradients=lambda network, _optimizer, max_norm, error_if_nonfinite: (
            torch.nn.utils.clip_grad_norm_(
                network.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite
            )
        ),
        no_backward_sync=lambda *_, **__: nullcontext(),
    )
    # the fused ones know no meta device; what they do on a GPU is one call there
    groups = parameter_groups(model, params.optim, ())
    return Step(fabric, TA2NetMethod(), model, torch.optim.SGD(groups, lr=0.1), params, 64.0)


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("rank", ["row", "global"])
def test_no_value_crosses_between_host_and_device(clip, offset, rank, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    params = tiny_params()
    fusion = params.method.fusion.model_copy(update={"offset": offset})
    params = params.model_copy(
        update={
            "method": params.method.model_copy(
                update={
                    "fusion": fusion,
                    "contrast": ContrastParams(rank=rank, frames=5),
                    "loss": LossParams(smoothness=0.1),
                }
            ),
            "optim": params.optim.model_copy(update={"clip_norm": clip}),
        }
    )
    step = step_on_meta(params)
    batch = random_batch(CASES["tiny"]()).to(META)
    step(batch, 0.1)  # what is sent once
    with Crossings() as crossings:
        losses = step(batch, 0.1)
    assert crossings.seen == []
    assert losses["total"].device == META


def test_the_detector_sees_what_a_gpu_would_be_waited_for():
    values = torch.ones(3, device=META)
    with pytest.raises((RuntimeError, NotImplementedError)):
        values[values > 0]
    with pytest.raises((RuntimeError, NotImplementedError)):
        values.sum().item()
    with Crossings() as crossings:
        torch.tensor([1.0, 2.0], device=META)
        torch.zeros(2).to(META)
    assert len(crossings.seen) == 2
    with Crossings() as crossings:
        values.new_tensor([1.0, 2.0])
        torch.as_tensor([1.0], device=META)
        values[[0, 2]]
    assert len(crossings.seen) == 3
    with Crossings() as crossings:
        normalized_frames(torch.zeros(1, 3, 2, 2, dtype=torch.uint8, device=META))
        2.0 * values + values.sum()
        torch.as_tensor(values, device=META)[1:]
    assert crossings.seen == []
