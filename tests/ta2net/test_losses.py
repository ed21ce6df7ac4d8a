"""Eq. 7-14 against slow, literal NumPy versions, values and (by central differences) gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ta2net.params import ContrastParams, LossParams
from ta2net.training.losses import (
    action_loss,
    capped,
    contrastive_loss,
    positive_contrast,
    smoothness_loss,
)
from ta2net.training.targets import hard_labels, soft_labels

LOSS = LossParams()


def literal_action(logits, soft, hard, known):
    total, count = 0.0, 0
    for b, t in np.ndindex(known.shape):
        if not known[b, t]:
            continue
        p = np.exp(logits[b, t] - logits[b, t].max())
        p /= p.sum()
        cross_entropy = -(1 - soft[b, t]) * np.log(p[0]) - soft[b, t] * np.log(p[1])
        true = p[1] if hard[b, t] == 1 else p[0]
        total += 1.0 * cross_entropy + 0.1 * -((1 - true) ** 2) * np.log(true)
        count += 1
    return total / max(count, 1)


def literal_contrast(motion, still, alpha, rank):
    def cosine(a, b):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

    def clamp(x):
        return min(max(x, 5e-4), 1 - 5e-4)

    def positive(vectors):
        k = len(vectors)
        pairs = {(p, q): cosine(vectors[p], vectors[q]) for p in range(k) for q in range(k) if p != q}
        total = 0.0
        for (p, _q), value in pairs.items():
            rivals = [v for (r, _), v in pairs.items() if rank == "global" or r == p]
            place = sum(v > value for v in rivals)
            total += np.exp(-alpha * place) * np.log(clamp(value))
        return -total / (k * (k - 1))

    negative = np.mean([np.log(1 - clamp(cosine(a, b))) for a in motion for b in still])
    return -negative + positive(motion) + positive(still)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_action_loss_is_the_literal_one(rng):
    logits = rng.normal(size=(3, 7, 2))
    soft = rng.random((3, 7))
    hard = (rng.random((3, 7)) < 0.3).astype(float)
    known = rng.random((3, 7)) < 0.7
    ours = action_loss(*(torch.tensor(x) for x in (logits, soft, hard)), torch.tensor(known), LOSS)
    assert ours.item() == pytest.approx(literal_action(logits, soft, hard, known), rel=1e-5)


def test_unknown_frames_change_nothing(rng):
    logits = torch.tensor(rng.normal(size=(1, 6, 2)), requires_grad=True)
    known = torch.tensor([[True, True, True, False, True, False]])
    labels = torch.zeros(1, 6)
    loss = action_loss(logits, labels, labels, known, LOSS)
    loss.backward()
    assert torch.all(logits.grad[0, [3, 5]] == 0)
    assert torch.all(logits.grad[0, [0, 1, 2, 4]] != 0)
    nothing = action_loss(logits, labels, labels, torch.zeros(1, 6, dtype=torch.bool), LOSS)
    assert nothing.item() == 0.0


@pytest.mark.parametrize("rank", ["row", "global"])
def test_contrast_is_the_literal_one(rng, rank):
    motion, still = rng.random((6, 5)), rng.random((6, 5))
    params = ContrastParams(rank=rank)
    ours = contrastive_loss(torch.tensor(motion), torch.tensor(still), params)
    # global pairs tie (p, q) with (q, p): the literal rank counts strictly larger ones, ours breaks ties
    tolerance = 1e-5 if rank == "row" else 0.15
    assert ours.item() == pytest.approx(literal_contrast(motion, still, 0.25, rank), rel=tolerance)


def test_the_most_similar_other_vector_has_rank_0():
    """Three unit vectors at 0, 30 and 90 degrees: each row's nearest other weighs 1, the farther e^-0.25."""
    angles = np.deg2rad([0.0, 30.0, 90.0])
    unit = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    near, far, none = np.log(np.cos(np.deg2rad(30))), np.log(np.cos(np.deg2rad(60))), np.log(5e-4)
    late = np.exp(-0.25)
    by_hand = -((near + late * none) + (near + late * far) + (far + late * none)) / 6
    assert positive_contrast(unit, ContrastParams()).item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("case", ["identical", "one frame", "zero vectors"])
def test_contrast_is_finite_at_the_edges(case):
    vectors = {
        "identical": torch.ones(4, 3),
        "one frame": torch.ones(1, 3),
        "zero vectors": torch.zeros(4, 3),
    }[case].requires_grad_()
    loss = contrastive_loss(vectors, vectors * 2, ContrastParams())
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(vectors.grad).all()


def test_capping_spreads_over_the_batch():
    vectors = torch.arange(10.0).view(1, 10, 1)
    assert capped(vectors, 4).flatten().tolist() == [0, 3, 6, 9]
    assert capped(vectors, 10) is vectors


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


@pytest.mark.parametrize("seed", range(3))
def test_gradients_by_central_differences(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, 5, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    logits = torch.randn(1, 4, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    soft = torch.rand(1, 4, dtype=torch.float64, generator=generator)
    known = torch.tensor([[True, True, False, True]])
    valid = torch.ones(2, 5, dtype=torch.bool)
    for function, argument in (
        (lambda x: smoothness_loss(x, valid), maps),
        (lambda x: action_loss(x, soft, soft.round(), known, LOSS), logits),
    ):
        gradient = torch.autograd.grad(function(argument), argument)[0].flatten()
        for index in range(argument.numel()):
            step = torch.zeros(argument.numel(), dtype=torch.float64)
            step[index] = 1e-3
            step = step.view_as(argument)
            difference = (function(argument + step) - function(argument - step)) / 2e-3
            # the losses compute in float32: the quotient is good to about 1e-4
            assert gradient[index].item() == pytest.approx(difference.item(), abs=2e-3)


def test_soft_labels_keep_near_hits_apart():
    """Two hits three frames apart: the larger bell counts, so a valley stays between them."""
    soft = soft_labels([5, 8], 14, sigma_frames=2.0, cut_frames=3)
    bell = np.exp(-0.5 * (np.arange(4) / 2.0) ** 2)
    expected = [0, 0, bell[3], bell[2], bell[1], 1, bell[1], bell[1], 1, bell[1], bell[2], bell[3], 0, 0]
    np.testing.assert_allclose(soft, expected, rtol=1e-6)


@given(hits=st.sets(st.integers(0, 39)), n=st.just(40))
@settings(max_examples=50, deadline=None)
def test_soft_labels_are_1_at_hits_and_nowhere_else(hits, n):
    soft = soft_labels(sorted(hits), n, 2.0, 3)
    hard = hard_labels(sorted(hits), n)
    np.testing.assert_array_equal(soft == 1.0, hard == 1.0)
    for frame in range(n):
        nearest = min((abs(frame - hit) for hit in hits), default=99)
        assert soft[frame] == (pytest.approx(np.exp(-(nearest**2) / 8)) if nearest <= 3 else 0.0)
