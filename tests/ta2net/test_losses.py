"""Eq. 7-14 against slow, literal NumPy versions: values, and gradients by central differences of those."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch

from ta2net.methods.batch import Batch
from ta2net.methods.frame_loss import action_loss, focal_loss, offset_loss
from ta2net.methods.ta2net.losses import (
    chosen_frames,
    contrastive_loss,
    positive_contrast,
    smoothness_loss,
    terms,
)
from ta2net.methods.ta2net.network import Output
from ta2net.methods.ta2net.params import ContrastParams, FusionParams, LossParams, TA2NetParams
from ta2net.training.step import weighted

LOSS = LossParams()
CUT_FRAMES = 3


def literal_action(logits, case, params):
    total, weights = 0.0, 0.0
    for b, t in np.ndindex(case.known.shape):
        if not case.known[b, t]:
            continue
        p = np.exp(logits[b, t] - logits[b, t].max())
        p /= p.sum()
        soft, hard = case.soft[b, t], case.hard[b, t]
        cross_entropy = -(1 - soft) * np.log(p[0]) - soft * np.log(p[1])
        focal = [-((1 - p[k]) ** params.focal_gamma) * np.log(p[k]) for k in (0, 1)]
        weight = 1 + (params.foreground_weight - 1) * soft
        per_frame = params.cross_entropy * cross_entropy
        per_frame += params.focal * (hard * focal[1] + (1 - hard) * focal[0])
        total, weights = total + weight * per_frame, weights + weight
    return total / weights if weights else 0.0


def cosine(a, b):
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / length if length else 0.0


def clamp(x):
    return min(max(x, 5e-4), 1 - 5e-4)


def literal_ranks(vectors, rank):
    """(p, q) -> how many rivals are more similar; of equals the one that comes first wins."""
    k = len(vectors)
    pairs = {(p, q): cosine(vectors[p], vectors[q]) for p in range(k) for q in range(k) if p != q}
    ranks = {}
    for (p, q), value in pairs.items():
        rivals = {pair: v for pair, v in pairs.items() if rank == "global" or pair[0] == p}
        ranks[p, q] = sum(v > value or (v == value and pair < (p, q)) for pair, v in rivals.items())
    return ranks


def literal_contrast(motion, still, ranks, alpha):
    """Eq. 8-11; ``ranks`` of motion and of still are given, since no gradient goes through them."""
    if len(motion) < 2:
        return 0.0
    total = -np.mean([np.log(1 - clamp(cosine(a, b))) for a in motion for b in still])
    for vectors, places in zip((motion, still), ranks, strict=True):
        terms = [
            np.exp(-alpha * r) * np.log(clamp(cosine(vectors[p], vectors[q]))) for (p, q), r in places.items()
        ]
        total -= np.mean(terms)
    return total


def literal_smoothness(maps, valid):
    total = 0.0
    for b in range(len(maps)):
        for i in range(maps.shape[1] - 2):
            if valid[b, i : i + 3].all():
                total += np.sqrt(np.sum((maps[b, i + 2] + maps[b, i] - 2 * maps[b, i + 1]) ** 2))
    return total / len(maps)


def literal_offset(said, case, cut_frames):
    errors = []
    for b, t in np.ndindex(said.shape):
        if case.known[b, t] and abs(case.offset[b, t]) <= cut_frames:
            error = abs(said[b, t] - case.offset[b, t])
            errors.append(0.5 * error**2 if error < 1 else error - 0.5)
    return np.mean(errors) if errors else 0.0


@dataclass
class Case:
    """Outputs of a network and labels, float64."""

    logits: np.ndarray  # (branch, B, T, 2)
    localization: np.ndarray
    motion: np.ndarray
    still: np.ndarray
    offsets: np.ndarray  # (branch, B, T)
    soft: np.ndarray
    hard: np.ndarray
    offset: np.ndarray
    valid: np.ndarray
    known: np.ndarray

    def literal(self, loss, contrast, ranks, **changed):
        """The unweighted terms of Eq. 14."""
        said = {f.name: getattr(self, f.name) for f in fields(self)} | changed
        return {
            "action": np.mean([literal_action(x, self, loss) for x in said["logits"]]),
            "contrast": literal_contrast(
                said["motion"][self.valid], said["still"][self.valid], ranks, contrast.alpha
            ),
            "smoothness": literal_smoothness(said["localization"], self.valid),
            "offset": np.mean([literal_offset(x, self, CUT_FRAMES) for x in said["offsets"]]),
        }

    def ranks(self, rank):
        return [literal_ranks(vectors[self.valid], rank) for vectors in (self.motion, self.still)]

    def tensors(self):
        """What the objective takes: leaves by name, the output made of them, the batch."""
        names = ("logits", "localization", "motion", "still", "offsets")
        leaves = {
            name: torch.tensor(getattr(self, name), dtype=torch.float32, requires_grad=True) for name in names
        }
        said = {
            name: leaf.unbind() if name in ("logits", "offsets") else leaf for name, leaf in leaves.items()
        }
        labels = {name: torch.tensor(getattr(self, name)).float() for name in ("soft", "hard", "offset")}
        masks = {name: torch.tensor(getattr(self, name)) for name in ("valid", "known")}
        labels["offset"][labels["offset"].abs() > CUT_FRAMES] = torch.inf
        masks["events"] = labels["offset"] == 0
        return leaves, Output(**said), Batch(None, None, None, **labels, **masks)


def objective(output, batch, loss, contrast, *, offset=True):
    params = TA2NetParams(loss=loss, contrast=contrast, fusion=FusionParams(offset=offset))
    return weighted(terms(params, batch), output)


def random_case(name="random", batch=2, length=5):
    rng = np.random.default_rng(5)
    length = 1 if name == "one frame" else length
    batch = 1 if name == "one frame" else batch
    shape = (batch, length)
    case = Case(
        logits=rng.normal(size=(2, *shape, 2)),
        localization=rng.random((*shape, 2, 2)),
        motion=rng.normal(size=(*shape, 4)) + 0.5,
        still=rng.normal(size=(*shape, 4)) + 0.5,
        offsets=2 * rng.normal(size=(2, *shape)),
        soft=rng.random(shape),
        hard=(rng.random(shape) < 0.4).astype(float),
        offset=rng.integers(-5, 6, size=shape).astype(float),
        valid=np.arange(length) < np.array([[length], [max(1, length - 1)]])[:batch],
        known=np.arange(length) < np.array([[max(1, length - 1)], [max(1, length - 2)]])[:batch],
    )
    if name == "identical":
        case.motion[:] = case.still[:] = np.array([1.0, 2.0, 3.0, 4.0])
    elif name == "all padded":
        case.valid[:] = case.known[:] = False
    elif name == "no hit":
        case.soft[:], case.hard[:], case.offset[:] = 0.0, 0.0, np.inf
    elif name == "all hits":
        case.soft[:], case.hard[:], case.offset[:] = 1.0, 1.0, 0.0
    elif name == "blended":
        case.hard = rng.random(shape)
    return case


EXTRAS = LossParams(foreground_weight=5.0, focal=1.5, focal_gamma=3.0, offset=0.7, contrast=0.5)
CASES = ("random", "identical", "one frame", "all padded", "no hit", "all hits", "blended")


@pytest.mark.parametrize("rank", ["row", "global"])
@pytest.mark.parametrize("loss", [LOSS, EXTRAS], ids=["default", "extras"])
@pytest.mark.parametrize("name", CASES)
def test_the_objective_is_the_literal_one(name, loss, rank):
    """Every term, their sum, and the gradient with respect to every output of the network."""
    case, contrast = random_case(name), ContrastParams(rank=rank)
    leaves, output, batch = case.tensors()
    ours = objective(output, batch, loss, contrast)
    ranks = case.ranks(rank)
    literal = case.literal(loss, contrast, ranks)
    for term, value in literal.items():
        assert ours[term].item() == pytest.approx(value, rel=1e-5, abs=1e-7), term
    assert ours["total"].item() == pytest.approx(
        sum(getattr(loss, t) * v for t, v in literal.items()), rel=1e-5
    )
    ours["total"].backward()
    term_of = {"logits": "action", "localization": "smoothness", "offsets": "offset"}
    for leaf, tensor in leaves.items():
        term = term_of.get(leaf, "contrast")
        numeric = central_differences(case, leaf, term, loss, contrast, ranks) * getattr(loss, term)
        np.testing.assert_allclose(tensor.grad, numeric, rtol=1e-3, atol=1e-5 * (1 + np.abs(numeric).max()))


def central_differences(case, leaf, term, loss, contrast, ranks, step=1e-6):
    """The gradient of one literal term with respect to one array, entry by entry."""
    literal = {
        "action": lambda x: np.mean([literal_action(y, case, loss) for y in x]),
        "contrast": lambda x: case.literal(loss, contrast, ranks, **{leaf: x})["contrast"],
        "smoothness": lambda x: literal_smoothness(x, case.valid),
        "offset": lambda x: np.mean([literal_offset(y, case, CUT_FRAMES) for y in x]),
    }[term]
    base = getattr(case, leaf)
    gradient = np.zeros_like(base)
    for index in np.ndindex(base.shape):
        moved = base.copy()
        moved[index] = base[index] + step
        above = literal(moved)
        moved[index] = base[index] - step
        gradient[index] = (above - literal(moved)) / (2 * step)
    return gradient


def test_without_an_offset_head_there_is_no_term():
    leaves, output, batch = random_case().tensors()
    bare = output._replace(offsets=())
    losses = objective(bare, batch, LOSS, ContrastParams(), offset=False)
    assert losses.keys() == {"total", "action", "contrast", "smoothness"}
    expected = LOSS.action * losses["action"] + LOSS.contrast * losses["contrast"]
    assert torch.equal(losses["total"], expected + LOSS.smoothness * losses["smoothness"])
    losses["total"].backward()
    assert leaves["offsets"].grad is None


def test_unknown_frames_change_nothing():
    logits = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(5)).requires_grad_()
    known = torch.tensor([[True, True, True, False, True, False]])
    labels = torch.zeros(1, 6)
    loss = action_loss(logits, labels, labels, known, LOSS)
    loss.backward()
    assert torch.all(logits.grad[0, [3, 5]] == 0)
    assert torch.all(logits.grad[0, [0, 1, 2, 4]] != 0)
    nothing = action_loss(logits, labels, labels, torch.zeros(1, 6, dtype=torch.bool), LOSS)
    assert nothing.item() == 0.0


def test_with_hard_labels_the_focal_loss_is_the_usual_one_to_the_last_bit():
    """No extra may change a run that does not use it: values and gradients, against a choice by label."""
    generator = torch.Generator().manual_seed(1)
    hard = (torch.rand(4, 63, generator=generator) < 0.1).float()
    soft, known = torch.rand(4, 63, generator=generator), torch.rand(4, 63, generator=generator) < 0.9
    for scale in (1.0, 30.0):
        one = (scale * torch.randn(4, 63, 2, generator=generator)).requires_grad_()
        other = one.detach().clone().requires_grad_()
        action_loss(one, soft, hard, known, LOSS).backward()
        log_p = torch.log_softmax(other, dim=-1)
        cross_entropy = -((1 - soft) * log_p[..., 0] + soft * log_p[..., 1])
        chosen = torch.where(hard > 0.5, log_p[..., 1], log_p[..., 0])
        per_frame = LOSS.cross_entropy * cross_entropy + LOSS.focal * focal_loss(chosen, LOSS.focal_gamma)
        ((per_frame * known).sum() / known.sum()).backward()
        assert torch.equal(one.grad, other.grad)


def test_foreground_weight_by_hand():
    """A hit that weighs 3 among two silent frames, all at p = 1/2 but one at p(hit) = 1/4."""
    logits = torch.log(torch.tensor([[[0.5, 0.5], [0.75, 0.25], [0.5, 0.5]]]))
    soft = torch.tensor([[1.0, 0.0, 0.0]])
    params = LossParams(focal=0.0, foreground_weight=3.0)
    by_hand = (3 * np.log(2) + np.log(4 / 3) + np.log(2)) / 5
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert action_loss(logits, soft, soft, everything, params).item() == pytest.approx(by_hand)
    less = LossParams(focal=0.0, foreground_weight=0.1)
    alone = action_loss(logits[:, :1], soft[:, :1], soft[:, :1], everything[:, :1], less)
    assert alone.item() == pytest.approx(np.log(2))  # a mean is a mean even where weights sum to less than 1


def test_offset_loss_by_hand():
    said = torch.tensor([[0.5, 3.0, 9.0, 9.0]], requires_grad=True)
    wanted = torch.tensor([[0.0, -1.0, torch.inf, 2.0]])
    counts = torch.tensor([[True, True, False, False]])
    loss = offset_loss(said, wanted, counts)
    assert loss.item() == pytest.approx((0.5 * 0.5**2 + (4 - 0.5)) / 2)
    loss.backward()
    assert said.grad.tolist() == [[0.25, 0.5, 0.0, 0.0]]


def test_the_most_similar_other_vector_has_rank_0():
    """Three unit vectors at 0, 30 and 90 degrees: each row's nearest other weighs 1, the farther e^-0.25."""
    angles = np.deg2rad([0.0, 30.0, 90.0])
    unit = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    near, far, none = np.log(np.cos(np.deg2rad(30))), np.log(np.cos(np.deg2rad(60))), np.log(5e-4)
    late = np.exp(-0.25)
    by_hand = -((near + late * none) + (near + late * far) + (far + late * none)) / 6
    every = torch.ones(3, 3, dtype=torch.bool)
    assert positive_contrast(unit, every, ContrastParams()).item() == pytest.approx(by_hand, rel=1e-6)


def test_one_vector_has_nothing_to_be_contrasted_with():
    vector = torch.ones(1, 3, requires_grad=True)
    loss = contrastive_loss(vector, vector * 2, torch.tensor([True]), ContrastParams())
    loss.backward()
    assert loss.item() == 0.0
    assert vector.grad.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("valid", "frames", "chosen"),
    [
        ("1111111111", 4, [0, 3, 6, 9]),
        ("1111111111", 10, [*range(10)]),
        ("0011111111", 3, [2, 6, 9]),  # the middle of eight is 3.5, to the even 4
        ("1010100000", 4, [0, 2, 4]),
        ("1100011000", 10, [0, 1, 5, 6]),
        ("0000000000", 4, []),
    ],
)
def test_the_frames_to_contrast_are_spread_over_the_valid_ones(valid, frames, chosen):
    mask = torch.tensor([bit == "1" for bit in valid]).view(2, 5)
    indices, counts = chosen_frames(mask, frames)
    assert len(indices) == len(counts) == min(10, frames)
    assert indices[counts].tolist() == chosen


@pytest.mark.parametrize("rank", ["row", "global"])
def test_frames_that_do_not_count_change_nothing(rank):
    generator = torch.Generator().manual_seed(0)
    motion, still = torch.randn(2, 6, 4, generator=generator) + 0.5
    params, counts = ContrastParams(rank=rank), torch.tensor([True] * 4 + [False] * 2)
    alone = contrastive_loss(motion[:4], still[:4], counts[:4], params)
    motion[4:], still[5] = motion[:2], 0.0
    torch.testing.assert_close(contrastive_loss(motion, still, counts, params), alone)


def test_smoothness_by_hand():
    """A map that moves evenly costs nothing; one that jumps by 3 and back costs 3 + 6 + 3."""
    even = torch.arange(5.0).view(1, 5, 1, 1).repeat(1, 1, 2, 2)
    jump = torch.zeros(1, 5, 1, 1)
    jump[0, 2] = 3.0
    everything = torch.ones(1, 5, dtype=torch.bool)
    assert smoothness_loss(even, everything).item() == 0.0
    assert smoothness_loss(jump, everything).item() == pytest.approx(12.0)
    padded = torch.tensor([[True, True, True, False, False]])
    assert smoothness_loss(jump, padded).item() == pytest.approx(3.0)


def test_smoothness_of_a_still_map_has_a_gradient():
    still = torch.full((1, 4, 2, 2), 0.5, requires_grad=True)
    smoothness_loss(still, torch.ones(1, 4, dtype=torch.bool)).backward()
    assert torch.all(still.grad == 0)
