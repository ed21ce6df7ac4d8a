"""The fusion head against a literal NumPy version of section 4.3, written from the method's description."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ta2net.fast import accelerate
from ta2net.fast.winograd import WinogradFramesConv
from ta2net.methods.ta2net.fusion import FramesConv, FusionHead
from ta2net.methods.ta2net.params import FusionParams

PARAMS = FusionParams(channels=8, heads=2, similarity_channels=3, hidden=8, offset=False)
FRAMES, LENGTH, REAL, CHANNELS, SIDE = 9, 7, 5, 6, 3
EPSILON = 1e-5


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x, weights, name):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def literal_head(clip, valid, weights, params):
    """One clip (T, C, h, w) -> logits (T, 2), frame by frame and product by product."""
    length = len(clip)
    clip = clip * valid[:, None, None, None]
    kernel = weights["mix.0.weight"]  # (out, in, 3, 3, 3)
    mixed = np.zeros((length, params.channels, SIDE, SIDE))
    for t in range(length):
        for dt in (-1, 0, 1):
            source = t + 3 * dt  # temporal dilation 3
            if not 0 <= source < length:
                continue
            picture = np.pad(clip[source], ((0, 0), (1, 1), (1, 1)))
            for y in range(SIDE):
                for x in range(SIDE):
                    patch = picture[:, y : y + 3, x : x + 3]
                    mixed[t, :, y, x] += np.tensordot(kernel[:, :, dt + 1], patch, axes=3)
    mean, variance = weights["mix.1.running_mean"], weights["mix.1.running_var"]
    scale, shift = weights["mix.1.weight"], weights["mix.1.bias"]
    mixed = (mixed - mean[:, None, None]) / np.sqrt(variance + EPSILON)[:, None, None]
    mixed = np.maximum(mixed * scale[:, None, None] + shift[:, None, None], 0)
    vectors = mixed.max(axis=(2, 3)) * valid[:, None]
    query, key = linear(vectors, weights, "query"), linear(vectors, weights, "key")
    width = params.channels // params.heads
    similarity = np.zeros((params.heads, length, length))
    for head in range(params.heads):
        span = slice(head * width, (head + 1) * width)
        scores = query[:, span] @ key[:, span].T / np.sqrt(width)
        scores[:, ~valid] = -np.inf
        similarity[head] = softmax(scores) * valid[:, None]
    padded = np.pad(similarity, ((0, 0), (1, 1), (1, 1)))
    tokens = np.zeros((length, params.hidden))
    for t in range(length):
        row = np.zeros((params.similarity_channels, FRAMES))
        for s in range(length):
            if valid[t] and valid[s]:
                patch = padded[:, t : t + 3, s : s + 3]
                value = np.tensordot(weights["similarity.0.weight"], patch, axes=3)
                row[:, s] = np.maximum(value + weights["similarity.0.bias"], 0)
        tokens[t] = linear(row.reshape(-1), weights, "project")
        if params.frame_tokens:
            tokens[t] += linear(vectors[t], weights, "frame_token")
    tokens = layer_norm(tokens, weights, "norm")
    tokens = transformer_layer(tokens, valid, weights, params.heads)
    hidden = np.maximum(linear(tokens, weights, "classify.0"), 0)
    hidden = np.maximum(linear(hidden, weights, "classify.2"), 0)
    return linear(hidden, weights, "classify.4")


def transformer_layer(tokens, valid, weights, heads):
    """Vaswani et al. (2017), norms after the sums, as torch's default has it."""
    joint = tokens @ weights["encoder.self_attn.in_proj_weight"].T + weights["encoder.self_attn.in_proj_bias"]
    query, key, value = np.split(joint, 3, axis=1)
    width = tokens.shape[1] // heads
    found = np.zeros_like(tokens)
    for head in range(heads):
        span = slice(head * width, (head + 1) * width)
        scores = query[:, span] @ key[:, span].T / np.sqrt(width)
        scores[:, ~valid] = -np.inf
        found[:, span] = softmax(scores) @ value[:, span]
    tokens = layer_norm(
        tokens + linear(found, weights, "encoder.self_attn.out_proj"), weights, "encoder.norm1"
    )
    inner = np.maximum(linear(tokens, weights, "encoder.linear1"), 0)
    return layer_norm(tokens + linear(inner, weights, "encoder.linear2"), weights, "encoder.norm2")


@pytest.mark.parametrize("frame_tokens", [False, True])
def test_the_head_is_the_literal_one(frame_tokens):
    params = PARAMS.model_copy(update={"frame_tokens": frame_tokens})
    torch.manual_seed(3)
    head = FusionHead(CHANNELS, FRAMES, params).double().eval()
    clip = torch.randn(1, LENGTH, CHANNELS, SIDE, SIDE, dtype=torch.float64)
    valid = torch.arange(LENGTH)[None] < REAL
    logits, offsets = head(clip, valid)
    weights = {name: value.numpy() for name, value in head.state_dict().items()}
    expected = literal_head(clip[0].numpy(), valid[0].numpy(), weights, params)
    np.testing.assert_allclose(logits[0, :REAL].detach().numpy(), expected[:REAL], atol=1e-10)
    assert offsets is None


def test_the_offset_is_one_number_a_frame_beside_the_same_logits():
    torch.manual_seed(3)
    head = FusionHead(CHANNELS, FRAMES, PARAMS.model_copy(update={"offset": True})).eval()
    plain = FusionHead(CHANNELS, FRAMES, PARAMS).eval()
    plain.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("displace")})
    clip, valid = torch.randn(2, LENGTH, CHANNELS, SIDE, SIDE), torch.ones(2, LENGTH, dtype=torch.bool)
    logits, offsets = head(clip, valid)
    assert offsets.shape == (2, LENGTH)
    assert offsets.std() > 0
    torch.testing.assert_close(logits, plain(clip, valid)[0])


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 7, 13, 64])
def test_frames_are_convolved_as_in_three_dimensions(length):
    torch.manual_seed(length)
    plain = FramesConv(4, 5, 3).double()
    ours = accelerate(FramesConv(4, 5, 3).double(), torch.device("cpu"))
    assert type(ours) is WinogradFramesConv
    ours.load_state_dict(plain.state_dict())
    clips = torch.randn(2, length, 4, 6, 3, dtype=torch.float64, requires_grad=True)
    out = ours(clips)
    expected = plain(clips)
    torch.testing.assert_close(out, expected)
    grad = torch.randn_like(expected)
    found = torch.autograd.grad(out, (clips, ours.weight), grad)
    right = torch.autograd.grad(expected, (clips, plain.weight), grad)
    torch.testing.assert_close(found, right)
    # weights keep their order in memory, and the optimiser gets gradients in the same
    assert found[1].stride() == ours.weight.stride() != plain.weight.stride()
    assert ours.weight.select(2, 0).is_contiguous(memory_format=torch.channels_last)
