"""Batch norm over the clips of all processes: the statistics of one process that had the whole batch.

On CUDA torch's SyncBatchNorm does this. It cannot run on a CPU, for which ``GlobalBatchNorm`` is here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from ta2net.fast.normed import follow


class _Normalize(Function):
    """Normalise by the mean and variance over all processes (Ioffe & Szegedy, 2015), and differentiate it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (B, C, ...) -> x normalised, mean (C,), biased variance (C,), number of values per channel ()."""
        mean, variance, count = global_moments(x)
        deviation = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, deviation, count)
        ctx.mark_non_differentiable(mean, variance, count)
        normal = (_precise(x) - _along(mean, x)) * _along(deviation * weight, x) + _along(bias, x)
        return normal.to(x.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Only the sums over the batch need the other processes; those of weight and bias stay local.

        Whoever averages gradients over processes (DDP) adds the local parts up.
        """
        x, weight, mean, deviation, count = ctx.saved_tensors
        grad = _precise(grads[0])
        normal = (_precise(x) - _along(mean, x)) * _along(deviation, x)
        local = torch.stack((_summed(grad), _summed(grad * normal)))
        total = local.clone()
        dist.all_reduce(total)
        of_mean, of_deviation = total / count
        within = grad - _along(of_mean, x) - normal * _along(of_deviation, x)
        grad_x = within * _along(deviation * weight, x)
        return grad_x.to(x.dtype), local[1].to(weight.dtype), local[0].to(weight.dtype), None


def global_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and number of values () per channel of x (B, C, ...), all processes.

    Each process's own mean and variance are combined (Chan et al., 1979): no difference of large squares.
    """
    variance, mean = torch.var_mean(_precise(x), _batch_axes(x), correction=0)
    own = torch.cat((mean, variance, mean.new_full((1,), x.numel() / x.shape[1])))
    everyone = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, own)
    gathered = torch.stack(everyone)
    channels = x.shape[1]
    means, variances, counts = gathered[:, :channels], gathered[:, channels:-1], gathered[:, -1:]
    count = counts.sum()
    together = (counts * means).sum(dim=0) / count
    spread = (counts * (variances + (means - together).square())).sum(dim=0) / count
    return together, spread, count


class GlobalBatchNorm(_BatchNorm):
    """A batch norm whose training statistics are those of all processes; the same state as torch's.

    Evaluation uses the running statistics and talks to nobody.
    """

    momentum: float

    @classmethod
    def of(cls, norm: _BatchNorm) -> GlobalBatchNorm:
        """A global batch norm that shares the parameters and buffers of ``norm``.

        Raises:
            ValueError: ``norm`` has no weights, no running statistics or a cumulative average of them.
        """
        if not (norm.affine and norm.track_running_stats) or norm.momentum is None:
            raise ValueError(f"cannot make {norm} global: weights, running statistics, momentum are needed")
        made = cls(norm.num_features, norm.eps, norm.momentum)
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        made.training = norm.training
        return made

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        normal: Tensor
        normal, mean, variance, count = _Normalize.apply(x, self.weight, self.bias, self.eps)
        follow(self, mean, variance, count)
        return normal


def with_global_norms(module: nn.Module, device: torch.device) -> nn.Module:
    """``module`` with every batch norm in it made global, in place; the names of its state stay.

    Args:
        device: where it runs; its parameters stay where they are.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return GlobalBatchNorm.of(module)
    for name, child in module.named_children():
        setattr(module, name, with_global_norms(child, device))
    return module


def _precise(x: Tensor) -> Tensor:
    """Half precision as float32: sums over a batch need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _batch_axes(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def _summed(x: Tensor) -> Tensor:
    return x.sum(dim=_batch_axes(x))


def _along(channel_values: Tensor, x: Tensor) -> Tensor:
    """(C,) shaped to meet x (B, C, ...)."""
    return channel_values.view(1, -1, *(1 for _ in range(x.dim() - 2)))
