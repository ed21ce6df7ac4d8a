"""One optimisation step: forward, objective, backward, clipping, update; in parts and processes or whole."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from ta2net.methods.batch import Batch
from ta2net.methods.ta2net.losses import Losses, objective
from ta2net.methods.ta2net.network import Output, TA2Net
from ta2net.params import LossParams, Params
from ta2net.training.optimizer import set_learning_rate
from ta2net.training.processes import gathered_labels, gathered_output


class _Fields(nn.Module):
    """The network with its output as a tuple: Fabric cannot look into a frozen dataclass."""

    def __init__(self, model: TA2Net) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Any, ...]:
        output = self.model(*inputs)
        return tuple(getattr(output, f.name) for f in fields(output))


class Step:
    """Improves the network by one batch at a time.

    With several processes each is given its share of the batch, and all of them compute the objective of the
    whole one: means are over all frames and the contrast pairs all clips. With ``optim.accumulate`` the
    objective is that of one part (of all processes) at a time, weighted by what the part is of the batch.
    """

    def __init__(
        self, fabric: Fabric, model: TA2Net, optimizer: Optimizer, params: Params, steps_per_px: float
    ) -> None:
        self.fabric, self.params, self.steps_per_px = fabric, params, steps_per_px
        self.raw_optimizer = optimizer
        self.network, self.optimizer = fabric.setup(_Fields(model), optimizer)

    def __call__(self, batch: Batch, rate: float) -> Losses:
        """One step at learning rate ``rate`` with this process's share of a batch; the losses of it all."""
        set_learning_rate(self.raw_optimizer, rate)
        losses = self.gradients(batch)
        if self.params.optim.clip_norm:
            self.fabric.clip_gradients(
                self.network,
                self.optimizer,
                max_norm=self.params.optim.clip_norm,
                error_if_nonfinite=False,  # would wait for the device; the loop looks at the losses
            )
        self.optimizer.step()
        return losses

    def gradients(self, batch: Batch) -> Losses:
        """Leave the gradient of the whole batch's objective in the parameters; the losses of all of it."""
        self.network.train()
        data = batch.to(self.fabric.device)
        parts = self.params.optim.accumulate
        if parts == 1:
            return self._backward(data, self.params.loss, fresh=True)
        pieces = [
            Batch(**dict(zip((f.name for f in fields(data)), values, strict=True)))
            for values in zip(*(getattr(data, f.name).chunk(parts) for f in fields(data)), strict=True)
        ]
        shares = self._shares(pieces)
        done: list[Losses] = []
        for number, (piece, share) in enumerate(zip(pieces, shares, strict=True), start=1):
            with self.fabric.no_backward_sync(self.network, enabled=number < parts):
                done.append(self._backward(piece, scaled(self.params.loss, share), fresh=number == 1))
        return Losses(
            total=torch.stack([losses.total for losses in done]).sum(),
            **{
                name: torch.stack(
                    [getattr(losses, name) * share[name] for losses, share in zip(done, shares, strict=True)]
                ).sum()
                for name in TERMS
            },
        )

    def _backward(self, data: Batch, loss: LossParams, *, fresh: bool) -> Losses:
        """Add the gradient of a batch on the device, to none if ``fresh``; its losses without their graph."""
        fabric = self.fabric
        output = Output(
            *self.network(
                data.frames,
                data.velocity.float() / self.steps_per_px,
                data.inflection.float() / self.steps_per_px,
                data.valid,
            )
        )
        losses = objective(
            gathered_output(fabric, output), gathered_labels(fabric, data), loss, self.params.contrast
        )
        if fresh:  # only now: cleared before the forward pass, a step was measured to take some 6 % longer
            self.optimizer.zero_grad(set_to_none=True)
        # each process has the whole gradient of its own clips, and gradients are averaged over processes
        fabric.backward(losses.total * fabric.world_size if fabric.world_size > 1 else losses.total)
        return Losses(**{f.name: getattr(losses, f.name).detach() for f in fields(losses)})

    def _shares(self, pieces: list[Batch]) -> list[dict[str, Tensor]]:
        """What each part is of the whole batch, per loss term: the terms are means over different things."""
        counts = torch.stack([counted(piece, self.params.loss) for piece in pieces])
        if self.fabric.world_size > 1:
            dist.all_reduce(counts)
        action, offset = (counts / counts.sum(dim=0).clamp(min=torch.finfo(counts.dtype).tiny)).unbind(dim=1)
        equal = torch.full_like(action, 1 / len(pieces))
        shares = {"action": action, "contrast": equal, "smoothness": equal, "offset": offset}
        return [{name: share[part] for name, share in shares.items()} for part in range(len(pieces))]


TERMS = ("action", "contrast", "smoothness", "offset")
"""The terms of the objective; each is a field of ``Losses`` and its weight one of ``LossParams``."""


def counted(batch: Batch, loss: LossParams) -> Tensor:
    """What the means of the action and of the offset loss divide by: (2,)."""
    weight = batch.known * (1 + (loss.foreground_weight - 1) * batch.soft)
    near = batch.known & (batch.offset.abs() <= loss.cut_frames)
    return torch.stack((weight.sum(), near.sum().to(weight.dtype)))


def scaled(loss: LossParams, share: dict[str, Tensor]) -> LossParams:
    """``loss`` with the weight of every term multiplied by its share.

    The weights become tensors on the device: as numbers they would have to be fetched from it at every step.
    """
    return loss.model_copy(update={name: getattr(loss, name) * share[name] for name in TERMS})
