"""The loss of frames that are given two logits, silent and hit: shared by the methods that do so."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ta2net.methods.batch import Batch
from ta2net.methods.params import FrameLossParams


def frame_weights(batch: Batch, params: FrameLossParams) -> Tensor:
    """How much each frame counts, (B, T): 0 where it is unknown, more where it is near a hit."""
    return batch.known * (1 + (params.foreground_weight - 1) * batch.soft)


def action_loss(logits: Tensor, soft: Tensor, hard: Tensor, known: Tensor, params: FrameLossParams) -> Tensor:
    """Eq. 13: ``ce * CE(soft) + focal * Focal(hard)``, the weighted mean over the known frames (0 if none).

    The focal loss (Lin et al., 2017) is linear in the label: a blended one is a blend of both losses. A frame
    weighs ``1 + (foreground_weight - 1) * soft``.

    logits (B, T, 2); soft, hard (B, T) in [0, 1]; known (B, T) bool.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    log_silent, log_hit = log_p[..., 0].contiguous(), log_p[..., 1].contiguous()
    cross_entropy = -((1 - soft) * log_silent + soft * log_hit)
    gamma = params.focal_gamma
    focal = hard * focal_loss(log_hit, gamma) + (1 - hard) * focal_loss(log_silent, gamma)
    per_frame = params.cross_entropy * cross_entropy + params.focal * focal
    weight = known * (1 + (params.foreground_weight - 1) * soft)
    return (per_frame * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def focal_loss(log_p: Tensor, gamma: float) -> Tensor:
    """``-(1 - p)^gamma log p`` (Lin et al., 2017) from the log-probability of the true class."""
    return -((1 - log_p.exp()) ** gamma) * log_p


def offset_loss(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Smooth L1 with beta = 1 frame (Girshick, 2015), mean over the frames that count (0 if there are none).

    predicted, target (B, T) in frames; counts (B, T) bool. The target may be infinite where none is counted.
    """
    wanted = torch.where(counts, target, 0.0)
    error = F.smooth_l1_loss(predicted.float(), wanted, beta=1.0, reduction="none")
    return (error * counts).sum() / counts.sum().clamp(min=1)
