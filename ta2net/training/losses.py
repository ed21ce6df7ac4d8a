"""The objective, Eq. 7-14. Padded and unannotated frames enter none of its terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ta2net.model.ta2net import Output
from ta2net.params import ContrastParams, LossParams

COSINE_FLOOR = 5e-4
"""Cosines are clamped to [floor, 1 - floor] before the logarithm."""


@dataclass(frozen=True)
class Losses:
    """The total (Eq. 14) and its unweighted terms, as scalars on the device."""

    total: Tensor
    action: Tensor
    contrast: Tensor
    smoothness: Tensor


def objective(
    output: Output,
    soft: Tensor,
    hard: Tensor,
    valid: Tensor,
    known: Tensor,
    loss: LossParams,
    contrast: ContrastParams,
) -> Losses:
    """Eq. 14: ``action L_action + contrast L_cont + smoothness L_temp``.

    Args:
        output: of the network for a batch.
        soft, hard: (B, T) labels in [0, 1] and in {0, 1}.
        valid: (B, T) bool, False for padded frames.
        known: (B, T) bool, False for padded frames and for frames nobody annotated.
    """
    per_branch = [action_loss(logits, soft, hard, known, loss) for logits in output.logits]
    action = torch.stack(per_branch).mean()
    vectors = capped(torch.stack((output.motion[valid], output.still[valid])), contrast.frames)
    contrastive = contrastive_loss(vectors[0], vectors[1], contrast)
    smoothness = smoothness_loss(output.localization, valid)
    total = loss.action * action + loss.contrast * contrastive + loss.smoothness * smoothness
    return Losses(total, action.detach(), contrastive.detach(), smoothness.detach())


def action_loss(logits: Tensor, soft: Tensor, hard: Tensor, known: Tensor, params: LossParams) -> Tensor:
    """Eq. 13: ``ce * CE(soft) + focal * Focal(hard)``, means over the known frames (0 if there are none).

    logits (B, T, 2); soft, hard (B, T); known (B, T) bool.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    cross_entropy = -((1 - soft) * log_p[..., 0] + soft * log_p[..., 1])
    log_p_true = torch.where(hard > 0.5, log_p[..., 1], log_p[..., 0])
    focal = -((1 - log_p_true.exp()) ** params.focal_gamma) * log_p_true
    per_frame = params.cross_entropy * cross_entropy + params.focal * focal
    weight = known.float()
    return (per_frame * weight).sum() / weight.sum().clamp(min=1.0)


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
        return motion.sum() * 0.0
    motion, still = F.normalize(motion.float(), dim=1), F.normalize(still.float(), dim=1)
    negative = -torch.log(1 - _clamped(motion @ still.T)).mean()
    return negative + positive_contrast(motion, params) + positive_contrast(still, params)


def positive_contrast(unit: Tensor, params: ContrastParams) -> Tensor:
    """Eq. 9-10 for unit vectors (k, C): pairs weighted by ``exp(-alpha rank)``, the diagonal left out.

    ``rank: row`` counts from the most similar other vector of the same row (Xie et al., 2022);
    ``rank: global`` ranks all pairs together, as the paper's text reads.
    """
    count = unit.shape[0]
    cosine = unit @ unit.T
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
        return localization.sum() * 0.0
    maps = localization.float().flatten(2)
    second = maps[:, 2:] + maps[:, :-2] - 2 * maps[:, 1:-1]
    whole = valid[:, 2:] & valid[:, :-2] & valid[:, 1:-1]
    # the norm has no gradient at zero; a perfectly still map must give 0, not NaN
    squared = second.square().sum(dim=2)
    norm = torch.where(squared > 0, squared.clamp(min=1e-20), 1.0).sqrt() * (squared > 0)
    return (norm * whole).sum(dim=1).mean()


def _clamped(cosine: Tensor) -> Tensor:
    return cosine.clamp(COSINE_FLOOR, 1 - COSINE_FLOOR)
