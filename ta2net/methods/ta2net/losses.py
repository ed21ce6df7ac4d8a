"""The objective, Eq. 7-14. Padded and unannotated frames enter none of its terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ta2net.methods.batch import Batch
from ta2net.methods.frame_loss import action_loss, frame_weights, offset_loss
from ta2net.methods.method import Term
from ta2net.methods.ta2net.network import Output
from ta2net.methods.ta2net.params import ContrastParams, TA2NetParams

COSINE_FLOOR = 5e-4
"""Cosines are clamped to [floor, 1 - floor] before the logarithm."""


def terms(params: TA2NetParams, batch: Batch) -> dict[str, Term]:
    """Eq. 14: ``action L_action + contrast L_cont + smoothness L_temp``, and the offset head's term.

    All are computed in float32, whatever the type of the output. Contrast and smoothness are no means over
    labels: of a batch in parts each part counts the same.

    Args:
        batch: labels and masks, on the output's device.
    """
    loss, valid = params.loss, batch.valid
    found = {
        "action": Term(
            lambda output: _over_branches(
                lambda logits: action_loss(logits, batch.soft, batch.hard, batch.known, loss), output.logits
            ),
            frame_weights(batch, loss).sum(),
            loss.action,
        ),
        "contrast": Term(lambda output: contrast(output, valid, params.contrast), 1.0, loss.contrast),
        "smoothness": Term(lambda output: smoothness_loss(output.localization, valid), 1.0, loss.smoothness),
    }
    if params.fusion.offset:
        near = batch.known & batch.offset.isfinite()
        found["offset"] = Term(
            lambda output: _over_branches(lambda said: offset_loss(said, batch.offset, near), output.offsets),
            near.sum(),
            loss.offset,
        )
    return found


def _over_branches(loss: Callable[[Tensor], Tensor], branches: Sequence[Tensor]) -> Tensor:
    return torch.stack([loss(branch) for branch in branches]).mean()


def contrast(output: Output, valid: Tensor, params: ContrastParams) -> Tensor:
    """Eq. 11 over at most ``params.frames`` of the batch's frames; valid (B, T) bool."""
    chosen, counts = chosen_frames(valid, params.frames)
    motion, still = (x.flatten(0, 1).index_select(0, chosen) for x in (output.motion, output.still))
    return contrastive_loss(motion, still, counts, params)


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
