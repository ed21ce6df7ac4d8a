"""One optimisation step: forward, objective, backward, clipping, update; in parts and processes or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from ta2net.methods.batch import Batch
from ta2net.methods.method import NetworkMethod, Term
from ta2net.params import Params
from ta2net.training.optimizer import set_learning_rate
from ta2net.training.processes import gathered_labels, gathered_output

Losses = Mapping[str, Tensor]
"""``total`` and then every unweighted term of the objective, as scalars on the device, without their
graph."""


class Step:
    """Improves a network by one batch at a time.

    With several processes each is given its share of the batch, and all of them compute the objective of the
    whole one: means are over all frames, and terms that compare clips see all of them. With
    ``optim.accumulate`` the objective is that of one part (of all processes) at a time, weighted by what the
    part is of the batch.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: NetworkMethod,
        network: nn.Module,
        optimizer: Optimizer,
        params: Params,
        steps_per_px: float,
    ) -> None:
        self.fabric, self.method, self.params, self.steps_per_px = fabric, method, params, steps_per_px
        self.reads = method.reads(params.method)
        self.raw_optimizer = optimizer
        self.network, self.optimizer = fabric.setup(network, optimizer)

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
        pieces = batch.to(self.fabric.device).parts(self.params.optim.accumulate)
        objectives = [
            self.method.objective(self.params.method, gathered_labels(self.fabric, piece)) for piece in pieces
        ]
        shares = shares_of(objectives, self.fabric.device)
        done: list[Losses] = []
        for number, (piece, terms, share) in enumerate(zip(pieces, objectives, shares, strict=True), start=1):
            with self.fabric.no_backward_sync(self.network, enabled=number < len(pieces)):
                done.append(self._backward(piece, terms, share, fresh=number == 1))
        if len(done) == 1:
            return done[0]
        summed = {
            name: torch.stack(
                [losses[name] * share[name] for losses, share in zip(done, shares, strict=True)]
            ).sum()
            for name in objectives[0]
        }
        return {"total": torch.stack([losses["total"] for losses in done]).sum(), **summed}

    def _backward(
        self, piece: Batch, terms: Mapping[str, Term], share: Mapping[str, Tensor | float], *, fresh: bool
    ) -> Losses:
        """Add the gradient of a batch on the device, to none if ``fresh``."""
        fabric = self.fabric
        output = self.network(**piece.inputs(self.reads, self.steps_per_px))
        losses = weighted(terms, gathered_output(fabric, output), share)
        if fresh:  # only now: cleared before the forward pass, a step was measured to take some 6 % longer
            self.optimizer.zero_grad(set_to_none=True)
        # each process has the whole gradient of its own clips, and gradients are averaged over processes
        total = losses["total"]
        fabric.backward(total * fabric.world_size if fabric.world_size > 1 else total)
        return {name: value.detach() for name, value in losses.items()}


def weighted(
    terms: Mapping[str, Term], output: Any, shares: Mapping[str, Tensor | float] | None = None
) -> dict[str, Tensor]:
    """``total``, the sum of ``weight * share * mean(output)`` over the terms, and every unweighted term.

    Args:
        shares: by term, what the batch is of a larger one; None: it is whole.
    """
    values = {name: term.mean(output) for name, term in terms.items()}
    total: Tensor | float = 0.0
    for name, term in terms.items():
        # a share is a tensor on the device: as a number it would have to be fetched from it at every step
        total = total + (term.weight * shares[name] if shares else term.weight) * values[name]
    return {"total": torch.as_tensor(total), **values}


def shares_of(
    objectives: Sequence[Mapping[str, Term]], device: torch.device
) -> list[dict[str, Tensor | float]]:
    """What each part of a batch is of the whole, by term: the terms are means over different things."""
    if len(objectives) == 1:
        return [dict.fromkeys(objectives[0], 1.0)]
    shares: list[dict[str, Tensor | float]] = [{} for _ in objectives]
    for name in objectives[0]:
        counts = torch.stack([_count(terms[name], device) for terms in objectives])
        part_of_all = counts / counts.sum().clamp(min=torch.finfo(counts.dtype).tiny)
        for share, value in zip(shares, part_of_all, strict=True):
            share[name] = value
    return shares


def _count(term: Term, device: torch.device) -> Tensor:
    if isinstance(term.count, Tensor):
        return term.count.to(torch.float32)
    return torch.full((), float(term.count), device=device)
