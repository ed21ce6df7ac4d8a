"""Parameters and arithmetic of the network: pinned, and counted a second way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from pipeline.params import StoreParams
from ta2net.cli import main
from ta2net.methods.ta2net.network import TA2Net
from ta2net.methods.ta2net.params import TA2NetParams
from ta2net.networks.size import part_sizes
from ta2net.params import ClipsParams, InferParams, Params, read

ROOT = Path(__file__).resolve().parents[2]


def counted_by_hand(params: TA2NetParams, frames: int, size: int) -> int:
    """2 x products of every convolution and linear layer, from the shapes that pass through them."""
    model = TA2Net(params, frames).eval()
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Linear):
            products = inputs[0].numel() * layer.out_features
        else:
            products = output.numel() * layer.weight[0].numel()
        total += 2 * products

    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            layer.register_forward_hook(count)
    # hooks on the layers inside it switch the transformer layer's fused path off, so that they are called
    fields = torch.zeros(1, frames, 2, 2, size, size)
    with torch.no_grad():
        model(
            torch.zeros(1, frames, 3, size, size, dtype=torch.uint8),
            fields,
            fields,
            torch.ones(1, frames, dtype=torch.bool),
        )
    return total


def test_flops_are_those_of_the_layers_and_of_the_attentions():
    params, frames, positions = TA2NetParams(), 16, 4 * 4
    whole = Params(
        method=params,
        clips=ClipsParams(frames=frames),
        store=StoreParams(size=(32, 32)),
        infer=InferParams(stride=16),
    )
    hidden, heads_width, vectors = params.fusion.hidden, params.fusion.channels, 2  # two branches
    attention = 2 * frames * (2 * 2 * positions**2 * params.channels)  # motion, inflection: QK^T and AV
    similarity = vectors * 2 * frames**2 * heads_width
    transformer = vectors * 2 * 2 * frames**2 * hidden
    # torch's own attention multiplies by its input matrix as a function: no hook sees it
    packed = vectors * 2 * frames * hidden * 3 * hidden
    # ... and its output matrix likewise
    packed += vectors * 2 * frames * hidden * hidden
    expected = counted_by_hand(params, frames, 32) + attention + similarity + transformer + packed
    assert sum(part.flops for part in part_sizes(whole)) == expected


@pytest.mark.parametrize(
    ("config", "parameters", "gflop"),
    [(None, 619_845, 6.303), ("audible623.yaml", 41_117_540, 628.841)],
)
def test_the_configurations_have_the_size_they_had(config, parameters, gflop):
    params = read(ROOT / "configs" / config) if config else Params()
    parts = part_sizes(params, accelerated=True)
    assert sum(part.parameters for part in parts) == parameters
    assert sum(part.flops for part in parts) / 1e9 == pytest.approx(gflop, abs=5e-4)


def test_describe_prints_every_part_and_the_step():
    result = CliRunner().invoke(main, ["describe", "--params", str(ROOT / "params.yaml")])
    assert result.exit_code == 0, result.output
    assert "619,845" in result.output
    assert "one training step of 4 clips, forward and backward: 0.086 TFLOP" in result.output


def test_parts_that_are_not_built_are_not_listed():
    parts = part_sizes(Params(method=TA2NetParams(motion=False, inflection=False)))
    assert [part.name for part in parts if "encoder" in part.name] == ["frame encoder E_X"]
