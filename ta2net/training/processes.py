"""One process or several: the device of each, its share of every batch, and what they tell each other.

torchrun (and ``fabric run``, which calls it) starts the processes and says in the environment how many.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.plugins import Precision
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.fabric.strategies import DDPStrategy, SingleDeviceStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from pipeline.catalog import Row
from pipeline.device import autocast, chosen_device
from pipeline.errors import UserError
from pipeline.store import FlowStore
from ta2net.clips.augmentation import Mixup
from ta2net.clips.loader import CPU, ClipLoader
from ta2net.methods.batch import Batch
from ta2net.methods.method import INPUTS
from ta2net.params import Params, TrainParams

LONGEST_WAIT = timedelta(hours=1)
"""The others wait for the first process while it validates."""


class ProcessesError(UserError):
    """Processes, devices and batch size do not go together."""


class _Autocast(Precision):
    """``train.precision`` as everywhere in this program.

    Lightning's own mixed precision would round the inputs to bfloat16, too: a velocity of 20 px to eighths of
    a pixel.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device, self.wanted = device, precision

    def forward_context(self) -> AbstractContextManager[Any]:
        """What the forward pass runs under."""
        return autocast(self.device, self.wanted)


def process_count() -> int:
    """How many processes train together: what torchrun says, or 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def make_fabric(train: TrainParams) -> Fabric:
    """Device, precision and processes as ``train`` and torchrun's environment say.

    Raises:
        UserError: the device is not there, or cannot be shared by so many processes.
    """
    for talker in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(talker).setLevel(logging.WARNING)
    device = chosen_device(train.device)
    precision = _Autocast(device, train.precision)
    if process_count() == 1:
        return Fabric(strategy=SingleDeviceStrategy(device), accelerator=device.type, plugins=[precision])
    here = int(os.environ.get("LOCAL_WORLD_SIZE", process_count()))
    _check_devices(device, here)
    # DDP copies gradients of 1x1 convolutions, whose strides it finds unusual; they are small
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), timeout=LONGEST_WAIT)
    fabric = Fabric(
        strategy=strategy,
        accelerator=device.type,
        devices=here,
        num_nodes=process_count() // here,
        plugins=[precision],
    )
    if not dist.is_initialized():  # ``fabric run`` has the conversation begun already
        fabric.launch()
    return fabric


def _check_devices(device: torch.device, processes: int) -> None:
    """Whether ``processes`` processes on this machine can have a device each.

    Raises:
        ProcessesError: they cannot.
    """
    if device.type not in ("cpu", "cuda"):
        raise ProcessesError(f"several processes cannot train on {device.type}; set train.device: cpu")
    if device.type == "cuda" and torch.cuda.device_count() < processes:
        raise ProcessesError(
            f"torchrun started {processes} processes here for {torch.cuda.device_count()} CUDA device(s): "
            "one process per device; give a smaller --nproc-per-node, or train.device: cpu"
        )


def places_of(rank: int, processes: int, parts: int, batch: int) -> tuple[int, ...]:
    """Which clips of a batch a process takes, in the order in which it takes them.

    The batch is cut into ``parts``, each part into one piece per process; pieces in the order of ranks are
    the part again. So any number of processes sees the same parts.

    Raises:
        ProcessesError: the batch cannot be cut equally.

    Example:
        >>> places_of(rank=1, processes=2, parts=2, batch=8)
        (2, 3, 6, 7)
    """
    if batch % (processes * parts):
        raise ProcessesError(
            f"clips.batch ({batch}) must be a multiple of processes x optim.accumulate "
            f"({processes} x {parts}): every process takes an equal share in equal parts"
        )
    piece = batch // (processes * parts)
    starts = [(part * processes + rank) * piece for part in range(parts)]
    return tuple(place for start in starts for place in range(start, start + piece))


class ShareLoader(ClipLoader):
    """Makes one process's share of every batch."""

    def __init__(
        self,
        rows: tuple[Row, ...],
        store: FlowStore,
        params: Params,
        places: Sequence[int],
        device: torch.device = CPU,
    ) -> None:
        super().__init__(rows, store, params, device)
        self.places = tuple(places)

    def batch(self, step: int) -> Batch:
        """The share of the batch of one step, exactly as the whole batch would hold it."""
        mixup = self.plan.mixup(step)
        partners = [] if mixup is None else sorted({mixup.partner[p] for p in self.places} - {*self.places})
        places = (*self.places, *partners)
        plan, jitters = self.plan.clips(step), self.plan.jitters(step)
        batch = self._made(
            [plan[place] for place in places],
            None if jitters is None else [jitters[place] for place in places],
        )
        if mixup is not None:
            batch = _mixup_among(mixup, places, len(self.places))(batch)
        return batch.clips(slice(len(self.places)))


def _mixup_among(mixup: Mixup, places: Sequence[int], own: int) -> Mixup:
    """``mixup`` for the clips at ``places`` of its batch; all but the first ``own`` are left unblended."""
    index = {place: number for number, place in enumerate(places)}
    partner = [index[mixup.partner[place]] for place in places[:own]]
    kept = [mixup.kept[place] for place in places[:own]]
    rest = range(own, len(places))
    return Mixup((*partner, *rest), (*kept, *(1.0 for _ in rest)))


def gathered_output(fabric: Fabric, output: Any) -> Any:
    """The outputs of all processes as one batch, in the order of ranks; gradients reach the own one only.

    Every process computes the same objective of it, so each knows the whole gradient of its own output.
    """
    if fabric.world_size == 1:
        return output
    return apply_to_collection(output, Tensor, lambda tensor: _gathered(fabric, tensor))


def gathered_labels(fabric: Fabric, batch: Batch) -> Batch:
    """The batch with the labels and masks of all processes; pictures stay the own ones."""
    if fabric.world_size == 1:
        return batch
    names = [f.name for f in fields(batch) if f.name not in INPUTS]
    return replace(batch, **{name: _gathered(fabric, getattr(batch, name)) for name in names})


def stacked(fabric: Fabric, tensor: Tensor) -> Tensor:
    """A tensor of every process, stacked: (processes, ...); on the CPU."""
    return _gathered(fabric, tensor[None].to(fabric.device)).cpu()


def _gathered(fabric: Fabric, tensor: Tensor) -> Tensor:
    """(B, ...) of every process -> (processes B, ...)."""
    if fabric.world_size == 1:
        return tensor
    own = tensor.contiguous()
    everyone = [torch.empty_like(own) for _ in range(fabric.world_size)]
    dist.all_gather(everyone, own.detach())
    everyone[fabric.global_rank] = own
    return torch.cat(everyone)


def leave() -> None:
    """End the conversation with the other processes, if there was one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
