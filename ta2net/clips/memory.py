"""Where batches are made: in the host's memory, or on a GPU, on a stream beside the training's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from ta2net.methods.batch import Batch

SHARE_OF_FREE = 0.5
"""Rows may fill so much of a GPU's free memory: the network's activations need the rest."""


class Memory(Protocol):
    """What a loader's threads do with the device that their batches go to."""

    @property
    def room_bytes(self) -> int:
        """How much of the device's memory rows may fill; 0 for the host, whose limit is a parameter."""
        ...

    def making(self) -> AbstractContextManager[object]:
        """The context in which a thread uploads and computes."""
        ...

    def uploaded(self, tensor: Tensor) -> Tensor:
        """``tensor`` on the device; itself if it is there already."""
        ...

    def finished(self, batch: Batch) -> Callable[[], Batch]:
        """Said by the thread that made a batch; what is returned gives it to the thread that trains."""
        ...


class HostMemory:
    """Batches that stay on the CPU."""

    room_bytes = 0

    def making(self) -> AbstractContextManager[object]:
        """Nothing special."""
        return nullcontext()

    def uploaded(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def finished(self, batch: Batch) -> Callable[[], Batch]:
        """It is ready."""
        return lambda: batch


class CudaMemory:
    """Batches on a CUDA device: pinned copies, made while the step before is computed."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)

    @property
    def room_bytes(self) -> int:
        """Half of what is free now."""
        return int(SHARE_OF_FREE * torch.cuda.mem_get_info(self.device)[0])

    def making(self) -> AbstractContextManager[object]:
        """The stream of all batches; it also makes the device the thread's current one."""
        return torch.cuda.stream(self._stream)

    def uploaded(self, tensor: Tensor) -> Tensor:
        """A copy that the calling thread does not wait for."""
        if tensor.is_cuda:
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def finished(self, batch: Batch) -> Callable[[], Batch]:
        """The training's stream waits for the batch; neither thread does."""
        made = self._stream.record_event()

        def taken() -> Batch:
            training = torch.cuda.current_stream(self.device)
            training.wait_event(made)
            # its memory must not go to a later batch before the training is done with it
            batch.each(lambda x: _recorded(x, training))
            return batch

        return taken


def _recorded(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    tensor.record_stream(stream)
    return tensor


def memory_of(device: torch.device) -> Memory:
    """The memory of a device."""
    return CudaMemory(device) if device.type == "cuda" else HostMemory()
