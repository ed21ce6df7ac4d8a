"""The objective, Eq. 7-14. Padded and unannotated frames enter none of its terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ta2net.model.ta2net import Output
from ta2net.params import ContrastParams, LossParams
from ta2net.training.batch import Batch

COSINE_FLOOR = 5e-4
"""Cosines are clamped to [floor, 1 - floor] before the logarithm."""


@dataclass(frozen=True)
class Losses:
    """The total (Eq. 14) and its unweighted terms, as scalars on the device.

    ``offset`` is 0 for a network without an offset head.
    """

    total: Tensor
    action: Tensor
    contrast: Tensor
    smoothness: Tensor
    offset: Tensor


def objective(output: Output, batch: Batch, loss: LossParams, contrast: ContrastParams) -> Losses:
    """Eq. 14: ``action L_action + contrast L_cont + smoothness L_temp``, and the offset head's term.

    All terms are computed in float32, whatever the type of the output.

    Args:
        output: of the network for ``batch``.
        batch: its labels and masks, on the output's device.
    """
    soft, hard, known, valid = batch.soft, batch.hard, batch.known, batch.valid
    action = torch.stack([action_loss(logits, soft, hard, known, loss) for logits in output.logits]).mean()
    vectors = capped(torch.stack((output.motion[valid], output.still[valid])), contrast.frames)
    contrastive = contrastive_loss(vectors[0], vectors[1], contrast)
    smoothness = smoothness_loss(output.localization, valid)
    total = loss.action * action + loss.contrast * contrastive + loss.smoothness * smoothness
    offset = torch.zeros_like(action)
    if output.offsets:
        near = known & (batch.offset.abs() <= loss.cut_frames)
        offset = torch.stack([offset_loss(said, batch.offset, near) for said in output.offsets]).mean()
        total = total + loss.offset * offset
    return Losses(total, *(term.detach() for term in (action, contrastive, smoothness, offset)))


def action_loss(logits: Tensor, soft: Tensor, hard: Tensor, known: Tensor, params: LossParams) -> Tensor:
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


def capped(vectors: Tensor, frames: int) -> Tensor:
    """At most ``frames`` of the k vectors in (2, k, C), evenly spread over the batch."""
    count = vectors.shape[1]
    if count <= frames:
        return vectors
    chosen = torch.linspace(0, count - 1, frames, device=vectors.device).round().long()
    return vectors[:, chosen]


def contrastive_loss(motion: Tensor, still: Tensor, params: ContrastParams) -> Tensor:
    """Eq. 11: ``L_nc + L_pc(motion) + L_pc(still)`` for (k, C) vectors; 0 for fewer than two frames."""
    if motion.shape[0] < 2:
        return motion.float().sum() * 0.0
    motion, still = F.normalize(motion.float(), dim=1), F.normalize(still.float(), dim=1)
    negative = -torch.log(1 - _clamped(_cosines(motion, still))).mean()
    return negative + positive_contrast(motion, params) + positive_contrast(still, params)


def positive_contrast(unit: Tensor, params: ContrastParams) -> Tensor:
    """Eq. 9-10 for unit vectors (k, C): pairs weighted by ``exp(-alpha rank)``, the diagonal left out.

    ``rank: row`` counts from the most similar other vector of the same row (Xie et al., 2022);
    ``rank: global`` ranks all pairs together, as the paper's text reads.
    """
    count = unit.shape[0]
    cosine = _cosines(unit, unit)
    pairs = cosine[~torch.eye(count, dtype=torch.bool, device=unit.device)].view(count, count - 1)
    ranked = pairs.detach() if params.rank == "row" else pairs.detach().flatten()
    order = ranked.argsort(dim=-1, descending=True, stable=True)
    rank = order.argsort(dim=-1).view_as(pairs)
    weight = torch.exp(-params.alpha * rank)
    return -(weight * torch.log(_clamped(pairs))).mean()


def smoothness_loss(localization: Tensor, valid: Tensor) -> Tensor:
    """Eq. 12: per clip the sum over i of ``||D_{i+2} + D_i - 2 D_{i+1}||_2``, mean over clips.

    localization (B, T, h, w), valid (B, T) bool. A triple with a padded frame is left out.
    """
    if localization.shape[1] < 3:
        return localization.float().sum() * 0.0
    maps = localization.float().flatten(2)
    second = maps[:, 2:] + maps[:, :-2] - 2 * maps[:, 1:-1]
    whole = valid[:, 2:] & valid[:, :-2] & valid[:, 1:-1]
    # the norm has no gradient at zero; a perfectly still map must give 0, not NaN
    squared = second.square().sum(dim=2)
    norm = torch.where(squared > 0, squared.clamp(min=1e-20), 1.0).sqrt() * (squared > 0)
    return (norm * whole).sum(dim=1).mean()


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    """Products of unit vectors (k, C), in full precision.

    Autocast would take them in bfloat16, which has nothing between 1 - floor and 1: log(1 - 1) is no number.
    """
    with torch.autocast(one.device.type, enabled=False):
        return one @ other.T


def _clamped(cosine: Tensor) -> Tensor:
    return cosine.clamp(COSINE_FLOOR, 1 - COSINE_FLOOR)
