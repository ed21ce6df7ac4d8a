"""The network's parts against the equations, computed another way, and the laws of its masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from pipeline.errors import WeightsError
from ta2net.methods.ta2net.aggregation import Aggregation, KinematicAttention
from ta2net.methods.ta2net.encoders import Encoder, field_picture, normalized_frames
from ta2net.methods.ta2net.localization import motion_vectors
from ta2net.methods.ta2net.network import TA2Net
from ta2net.methods.ta2net.params import AggregationParams, FusionParams, TA2NetParams
from ta2net.params import read

ROOT = Path(__file__).resolve().parents[2]

TINY = TA2NetParams(channels=8, fusion=FusionParams(channels=8, heads=2, similarity_channels=4, hidden=16))


def random_clip(batch: int, length: int, size: int = 32, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (batch, length, 3, size, size), dtype=torch.uint8, generator=generator)
    velocity, inflection = (torch.randn(batch, length, 2, 2, size, size, generator=generator) for _ in "va")
    return frames, velocity, inflection


@pytest.fixture
def net():
    torch.manual_seed(0)
    model = TA2Net(TINY, frames=12)
    model.train()
    with torch.no_grad():  # give the running statistics of the norms something to hold
        model(*random_clip(2, 12), torch.ones(2, 12, dtype=torch.bool))
    return model.eval()


def test_attention_is_the_formula():
    """Eq. 5-6 with NumPy: softmax(Q K^T / sqrt(d)) V, the query from the kinematics."""
    torch.manual_seed(1)
    layer = KinematicAttention(4, AggregationParams(residual=False))
    image, kinematics = torch.randn(2, 9, 4), torch.randn(2, 9, 8)
    weights = {name: value.detach().numpy() for name, value in layer.named_parameters()}

    def linear(x, name):
        return x.numpy() @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    scores = linear(kinematics, "kinematics") @ linear(image, "image").transpose(0, 2, 1) / np.sqrt(4)
    attention = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attention /= attention.sum(axis=-1, keepdims=True)
    expected = attention @ linear(image, "value")
    np.testing.assert_allclose(layer(image, kinematics).detach().numpy(), expected, atol=1e-5)


def test_without_pictures_only_motion_counts():
    """The same fields before other frames give the same scores; the features hold two parts, not three."""
    torch.manual_seed(2)
    model = TA2Net(TINY.model_copy(update={"pictures": False}), frames=12).eval()
    frames, velocity, inflection = random_clip(1, 12)
    valid = torch.ones(1, 12, dtype=torch.bool)
    seen, other = model(frames, velocity, inflection, valid), model(255 - frames, velocity, inflection, valid)
    assert torch.equal(seen.probability, other.probability)
    assert not torch.equal(seen.probability, model(frames, -velocity, inflection, valid).probability)
    assert seen.motion.shape == (1, 12, 2 * TINY.channels)
    with pytest.raises(ValueError, match="the network sees nothing"):
        TA2NetParams(pictures=False, motion=False, inflection=False)


def test_query_image_swaps_query_and_key():
    """With the value left alone, the swapped attention matrix is built from the transposed scores."""
    torch.manual_seed(1)
    asks, asked = (
        KinematicAttention(4, AggregationParams(query=q, residual=False)) for q in ("kinematics", "image")
    )
    asked.load_state_dict(asks.state_dict())
    image, kinematics = torch.randn(1, 5, 4), torch.randn(1, 5, 8)
    scores = asks.kinematics(kinematics) @ asks.image(image).transpose(1, 2) / 2.0
    value = asks.value(image)
    torch.testing.assert_close(asks(image, kinematics), torch.softmax(scores, -1) @ value)
    torch.testing.assert_close(asked(image, kinematics), torch.softmax(scores.transpose(1, 2), -1) @ value)


def test_the_residual_adds_a_linear_map_of_the_kinematics():
    torch.manual_seed(1)
    with_it, without = (KinematicAttention(4, AggregationParams(residual=r)) for r in (True, False))
    without.load_state_dict(with_it.state_dict(), strict=False)
    image, kinematics = torch.randn(2, 5, 4), torch.randn(2, 5, 8)
    added = with_it(image, kinematics) - without(image, kinematics)
    expected = kinematics @ with_it.residual.weight.T + with_it.residual.bias
    torch.testing.assert_close(added, expected)


def test_the_papers_configuration_has_neither_addition():
    params = read(ROOT / "configs" / "audible623.yaml").method
    model = TA2Net(params.model_copy(update={"pretrained": "none"}), frames=64)
    assert model.aggregate.motion.residual is None
    assert model.fuse.frame_token is None
    parts = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    # three encoders of ResNet-50 to layer3 (8.543 M) with a 1x1 convolution to 256 channels (0.262 M, norm)
    for name in ("encode_frames", "encode_velocity", "encode_inflection"):
        assert parts[name] == pytest.approx(8.543 + 0.2627, abs=0.001)


def test_aggregation_keeps_the_image_and_the_places():
    layer = Aggregation(TA2NetParams(channels=4))
    image = torch.randn(3, 4, 2, 5)
    result = layer(image, torch.randn(3, 8, 2, 5), torch.randn(3, 8, 2, 5))
    assert result.shape == (3, 12, 2, 5)
    torch.testing.assert_close(result[:, :4], image)


def test_without_attention_a_linear_map_stands_beside_the_image():
    layer = Aggregation(TA2NetParams(channels=4, aggregation=AggregationParams(attention=False)))
    image, motion, inflection = torch.randn(3, 4, 2, 5), torch.randn(3, 8, 2, 5), torch.randn(3, 8, 2, 5)
    expected = [image]
    for branch, field in ((layer.motion, motion), (layer.inflection, inflection)):
        weight, bias = branch.linear.weight, branch.linear.bias
        expected.append(torch.einsum("oc,bchw->bohw", weight, field) + bias[:, None, None])
    torch.testing.assert_close(layer(image, motion, inflection), torch.cat(expected, dim=1))


@pytest.mark.parametrize(("motion", "inflection"), [(False, False), (True, False), (False, True)])
def test_a_switched_off_input_changes_nothing_and_costs_nothing(motion, inflection):
    """Table 4: without a kind of input its encoder is not built, and what that input holds is not read."""
    model = TA2Net(TINY.model_copy(update={"motion": motion, "inflection": inflection}), frames=12).eval()
    valid = torch.ones(1, 12, dtype=torch.bool)
    frames, velocity, change = random_clip(1, 12)
    whole = model(frames, velocity, change, valid).probability
    for used, other in (
        (motion, (frames, velocity + 1, change)),
        (inflection, (frames, velocity, change + 1)),
    ):
        assert torch.equal(model(*other, valid).probability, whole) != used
    encoders = [name for name, _ in model.named_children() if name.startswith("encode")]
    assert len(encoders) == 1 + motion + inflection
    assert model.aggregate.channels == 8 * (1 + motion + inflection)


def test_both_directions_are_backward_then_forward():
    """Eq. 4: one encoder for both, ``concat(m-, m+)``."""
    model = TA2Net(TINY, frames=12).eval()
    seen = {}
    model.aggregate.register_forward_hook(lambda _m, inputs, _o: seen.update(motion=inputs[1]))
    frames, velocity, inflection = random_clip(1, 3)
    model(frames, velocity, inflection, torch.ones(1, 3, dtype=torch.bool))
    forward, backward = (
        model.encode_velocity(field_picture(velocity[0, :, d], TINY.velocity_scale_px)) for d in (0, 1)
    )
    torch.testing.assert_close(seen["motion"], torch.cat((backward, forward), dim=1))


def test_motion_and_still_vectors_add_up():
    features, where = torch.rand(2, 6, 3, 3), torch.rand(2, 1, 3, 3)
    moving, still = motion_vectors(features, where)
    torch.testing.assert_close(moving, (features * where).mean(dim=(2, 3)))
    torch.testing.assert_close(moving + still, features.mean(dim=(2, 3)))


def test_field_picture_by_hand():
    field = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
    assert field_picture(field, 2.0).flatten().tolist() == [1.5, -2.0, 2.5]


def test_frames_are_normalised_as_imagenet():
    frames = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = torchvision.transforms.functional.normalize(
        frames / 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    torch.testing.assert_close(normalized_frames(frames), expected)


@pytest.mark.parametrize(("branches", "count"), [("both", 2), ("aggregated", 1), ("motion", 1)])
def test_shapes_and_branches(branches, count):
    params = TINY.model_copy(update={"fusion": TINY.fusion.model_copy(update={"branches": branches})})
    model = TA2Net(params, frames=12).eval()
    output = model(*random_clip(2, 12), torch.ones(2, 12, dtype=torch.bool))
    assert len(output.logits) == count
    assert output.logits[0].shape == (2, 12, 2)
    assert output.localization.shape == (2, 12, 4, 4)
    assert ((output.localization > 0) & (output.localization < 1)).all()
    expected = torch.stack([x.softmax(-1)[..., 1] for x in output.logits]).mean(0)
    torch.testing.assert_close(output.probability, expected)


def test_what_padding_holds_changes_nothing(net):
    frames, velocity, inflection = random_clip(1, 12)
    valid = torch.arange(12)[None] < 7
    before = net(frames, velocity, inflection, valid).probability
    other = random_clip(1, 12, seed=9)
    for clip, noise in zip((frames, velocity, inflection), other, strict=True):
        clip[:, 7:] = noise[:, 7:]
    after = net(frames, velocity, inflection, valid).probability
    torch.testing.assert_close(before[:, :7], after[:, :7])


def test_a_padded_clip_scores_as_the_short_one(net):
    frames, velocity, inflection = random_clip(1, 12)
    valid = torch.arange(12)[None] < 7
    padded = net(frames, velocity, inflection, valid).probability[:, :7]
    short = net(frames[:, :7], velocity[:, :7], inflection[:, :7], valid[:, :7]).probability
    torch.testing.assert_close(padded, short)


def test_clips_of_a_batch_do_not_mix(net):
    clip = random_clip(2, 12)
    together = net(*clip, torch.ones(2, 12, dtype=torch.bool)).probability
    alone = net(*(x[1:] for x in clip), torch.ones(1, 12, dtype=torch.bool)).probability
    torch.testing.assert_close(together[1:], alone)


def test_a_clip_longer_than_configured_is_refused(net):
    with pytest.raises(ValueError, match="13 frames is longer than the configured 12"):
        net(*random_clip(1, 13), torch.ones(1, 13, dtype=torch.bool))


def test_every_weight_learns():
    model = TA2Net(TINY, frames=12).train()
    output = model(*random_clip(2, 12), torch.ones(2, 12, dtype=torch.bool))
    said = (*output.logits, *output.offsets)
    (sum(x.square().sum() for x in said) + output.motion.square().sum()).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias of a key shifts all scores of a row alike: softmax does not see it
    assert {name for name in idle if not name.endswith(("image.bias", "key.bias"))} == set()


@pytest.mark.parametrize(
    ("name", "channels", "millions"), [("resnet18", 256, 2.782), ("resnet50", 1024, 8.543)]
)
def test_resnets_stop_before_layer4(name, channels, millions):
    encoder = Encoder(TA2NetParams(backbone=name, channels=256))
    count = sum(p.numel() for p in encoder.backbone.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.001)
    assert encoder.head[0].in_channels == channels
    assert encoder(torch.zeros(1, 3, 112, 112)).shape == (1, 256, 7, 7)


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match="no such file; give imagenet, none or a weights file"):
        Encoder(TA2NetParams(backbone="resnet18", pretrained=str(tmp_path / "none.pth")))


def test_weights_that_would_run_code_are_refused(tmp_path):
    file = tmp_path / "evil.pth"
    torch.save({"conv1.weight": print}, file)
    with pytest.raises(WeightsError, match="not a plain state dict"):
        Encoder(TA2NetParams(backbone="resnet18", pretrained=str(file)))


def test_weights_of_another_net_are_refused(tmp_path):
    file = tmp_path / "small.pth"
    torch.save(torchvision.models.resnet18().state_dict(), file)
    Encoder(TA2NetParams(backbone="resnet18", pretrained=str(file)))
    with pytest.raises(WeightsError, match="does not fit resnet50"):
        Encoder(TA2NetParams(backbone="resnet50", pretrained=str(file)))


def test_real_weights_give_torchvisions_activations(shared):
    file = shared / "weights" / "resnet50_imagenet1k_v1_stem_layer1-3.pth"
    ours = Encoder(TA2NetParams(backbone="resnet50", pretrained=str(file))).backbone.eval()
    theirs = torchvision.models.resnet50()
    theirs.load_state_dict(torch.load(file, weights_only=True), strict=False)
    grabbed = {}
    theirs.layer3.register_forward_hook(lambda _m, _i, output: grabbed.update(layer3=output))
    picture = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        theirs.eval()(picture)
        torch.testing.assert_close(ours(picture), grabbed["layer3"])
