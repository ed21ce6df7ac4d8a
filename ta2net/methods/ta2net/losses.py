"""The objective, Eq. 7-14. Padded and unannotated frames enter none of its terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ta2net.methods.batch import Batch
from ta2net.methods.ta2net.network import Output
from ta2net.params import ContrastParams, LossParams

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
    chosen, counts = chosen_frames(valid, contrast.frames)
    motion, still = (x.flatten(0, 1).index_select(0, chosen) for x in (output.motion, output.still))
    contrastive = contrastive_loss(motion, still, counts, contrast)
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


def chosen_frames(valid: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """At most ``frames`` of the valid frames of a batch, evenly spread over it.

    How many are valid is known to the device alone, and the host must not wait for it: the shapes follow
    from the batch's own, and of what is chosen only the first so many count.

    Args:
        valid: (B, T) bool.

    Returns:
        indices (k,) into the B T frames, and (k,) bool: which of them count; k = min(B T, frames).
    """
    flat = valid.flatten()
    count = flat.sum()
    size = min(len(flat), frames)
    place = torch.arange(size, device=valid.device)
    counts = place < count
    if size < len(flat):
        place = torch.where(count > size, (place * ((count - 1) / (size - 1))).round().long(), place)
    valid_first = flat.int().argsort(descending=True, stable=True)
    return valid_first[place], counts


def contrastive_loss(motion: Tensor, still: Tensor, counts: Tensor, params: ContrastParams) -> Tensor:
    """Eq. 11: ``L_nc + L_pc(motion) + L_pc(still)``; 0 for fewer than two frames that count.

    motion, still (k, C); counts (k,) bool.
    """
    if len(counts) < 2:
        return (motion.float().sum() + still.float().sum()) * 0.0
    motion, still = F.normalize(motion.float(), dim=1), F.normalize(still.float(), dim=1)
    both = counts[:, None] & counts
    negative = -_mean(torch.log(1 - _clamped(_cosines(motion, still))), both)
    positive = positive_contrast(motion, both, params) + positive_contrast(still, both, params)
    return (negative + positive) * (counts.sum() > 1)


def positive_contrast(unit: Tensor, both: Tensor, params: ContrastParams) -> Tensor:
    """Eq. 9-10 for unit vectors (k, C): pairs weighted by ``exp(-alpha rank)``, the diagonal left out.

    ``rank: row`` counts from the most similar other vector of the same row (Xie et al., 2022);
    ``rank: global`` ranks all pairs together, as the paper's text reads. Only pairs in ``both`` (k, k) bool
    count.
    """
    pairs, both = _off_diagonal(_cosines(unit, unit)), _off_diagonal(both)
    ranked = pairs.detach().masked_fill(~both, -torch.inf)  # behind all others
    order = (ranked if params.rank == "row" else ranked.flatten()).argsort(
        dim=-1, descending=True, stable=True
    )
    rank = order.argsort(dim=-1).view_as(pairs)
    weight = torch.exp(-params.alpha * rank)
    return -_mean(weight * torch.log(_clamped(pairs)), both)


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


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Of the values that count; 0 if none does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)


def _off_diagonal(square: Tensor) -> Tensor:
    """(k, k) -> (k, k - 1), without the diagonal; a mask would make the host wait for a GPU to count it."""
    size = len(square)
    return square.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    """Products of unit vectors (k, C), in full precision.

    Autocast would take them in bfloat16, which has nothing between 1 - floor and 1: log(1 - 1) is no number.
    """
    with torch.autocast(one.device.type, enabled=False):
        return one @ other.T


def _clamped(cosine: Tensor) -> Tensor:
    return cosine.clamp(COSINE_FLOOR, 1 - COSINE_FLOOR)
