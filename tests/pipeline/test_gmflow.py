"""GMFlow in one pass for both directions, against ptlflow's own parts and its own forward, pair by pair."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.flow import make_estimator, resize_frames
from pipeline.flow.gmflow import Gmflow, OnePictureNorm
from pipeline.flow.gmflow.matching import (
    global_matching,
    local_matching,
    local_products,
    propagated,
    upsampled,
    warped,
)
from pipeline.flow.gmflow.transformer import Transformer, windows
from pipeline.flow.gmflow_models import REVISION
from pipeline.flow.ptlflow_models import LIBRARY, new_network
from pipeline.params import FlowParams
from pipeline.video.decode import open_video
from tests.ptlflow_calls import one_direction_a_call

pytestmark = pytest.mark.slow


def random_maps(seed: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator), torch.randn(*shape, generator=generator)


@pytest.mark.parametrize("radius", [1, 4])
def test_local_products_are_the_dot_products_of_shifted_maps(radius):
    first, second = random_maps(0, 2, 5, 6, 9)
    around = F.unfold(second, 2 * radius + 1, padding=radius).unflatten(2, (6, 9)).unflatten(1, (5, -1))
    expected = torch.einsum("bcyx,bcoyx->byxo", first, around)
    torch.testing.assert_close(local_products(first, second, radius), expected)


def test_matching_and_warping_are_ptlflows():
    from ptlflow.models.gmflow.geometry import flow_warp
    from ptlflow.models.gmflow.matching import global_correlation_softmax, local_correlation_softmax

    first, second = random_maps(1, 3, 16, 10, 12)
    ahead = global_correlation_softmax(first, second)[0]
    behind = global_correlation_softmax(second, first)[0]
    torch.testing.assert_close(global_matching(first, second), torch.cat((ahead, behind)), atol=1e-4, rtol=0)
    expected = local_correlation_softmax(first, second, 4)[0]
    torch.testing.assert_close(local_matching(first, second, 4), expected, atol=1e-4, rtol=0)
    flow = 3 * torch.randn(3, 2, 10, 12)
    torch.testing.assert_close(warped(second, flow), flow_warp(second, flow), atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def network():
    """ptlflow's GMFlow with random weights, its attentions as even as those of trained ones."""
    return calm(new_network("gmflow").eval())


def calm(network):
    """Fresh weights attend to one place each, and then the last digit decides which; trained ones do not."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "q_proj.weight" in name:
                weight *= 0.1
    return network


@pytest.mark.parametrize(("splits", "height", "width"), [(1, 6, 10), (2, 12, 16), (2, 10, 14), (4, 16, 24)])
def test_the_transformer_is_ptlflows(network, splits, height, width):
    """Half of its products, and never cut into windows: the same numbers."""
    first, second = random_maps(3, 2, 128, height, width)
    with torch.inference_mode():
        expected = network.transformer(first, second, attn_num_splits=splits)
        found = Transformer(network.transformer)(first, second, splits)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


def test_shifted_windows_and_their_mask_are_ptlflows():
    from ptlflow.models.gmflow.transformer import generate_shift_window_attn_mask
    from ptlflow.models.gmflow.utils import split_feature

    cut = windows(10, 14, 2, True, torch.device("cpu"))
    torch.testing.assert_close(cut.mask, generate_shift_window_attn_mask((10, 14), 5, 7, 2, 3, device="cpu"))
    places = torch.arange(140).view(1, 10, 14, 1).roll((-2, -3), (1, 2))
    assert torch.equal(cut.order, split_feature(places, 2, channel_last=True).flatten())


def test_a_norm_of_one_picture_is_an_instance_norm():
    """In bfloat16, too, whose norm goes another way: to its last bits."""
    picture = 3 + 2 * random_maps(4, 1, 6, 20, 30)[0]
    norm = OnePictureNorm(1e-5)
    assert torch.equal(norm(picture), F.instance_norm(picture))
    coarse = picture.bfloat16().contiguous(memory_format=torch.channels_last)
    assert torch.equal(norm(coarse.repeat(2, 1, 1, 1))[:1], F.instance_norm(coarse))
    torch.testing.assert_close(norm(coarse).float(), F.instance_norm(coarse.float()), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("reach", [-1, 1, 2])
def test_propagation_is_ptlflows(network, reach):
    features, flow = random_maps(5, 2, 128, 8, 11)[0], 3 * random_maps(6, 2, 2, 8, 11)[0]
    attention = network.feature_flow_attn
    with torch.inference_mode():
        expected = attention(features, flow, local_window_attn=reach > 0, local_window_radius=reach)
        torch.testing.assert_close(propagated(attention, features, flow, reach), expected, atol=1e-5, rtol=0)


def test_upsampling_is_ptlflows(network):
    features, flow = random_maps(7, 2, 128, 5, 7)[0], 3 * random_maps(8, 2, 2, 5, 7)[0]
    with torch.inference_mode():
        mask = network.upsampler(torch.cat((flow, features), dim=1))
        torch.testing.assert_close(
            upsampled(flow, mask, 8), network.upsample_flow(flow, features), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("model", ["gmflow", "gmflow_refine"])
def test_one_pass_equals_ptlflows_forward_with_any_weights(model):
    """The paper's gmflow has one scale, gmflow_refine two; sides that are no multiples of 32 are padded."""
    with contextlib.redirect_stdout(io.StringIO()):
        import ptlflow

        torch.manual_seed(0)
        network = calm(ptlflow.get_model(model).eval())
    images = torch.rand(4, 3, 90, 120, generator=torch.Generator().manual_seed(2))
    images = F.interpolate(F.interpolate(images, (12, 15)), (90, 120), mode="bilinear")
    with torch.inference_mode():
        expected = one_direction_a_call(network, images)
        for batch in (1, 2, 8):
            flow = torch.stack(Gmflow(network)(images, batch), dim=1)
            assert float((flow - expected).norm(dim=2).mean()) < 1e-4
            assert float((flow - expected).abs().max()) < 5e-3


@pytest.mark.parametrize("model", ["gmflow", "gmflow_refine"])
def test_ptlflows_plain_forward_is_a_model_by_itself(model, tmp_path):
    """``ptlflow/gmflow`` is ptlflow's own forward, whatever the batch, and ``gmflow`` agrees with it."""
    torch.manual_seed(0)
    network = calm(new_network(model).eval())
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    images = torch.rand(4, 3, 12, 15, generator=torch.Generator().manual_seed(2))
    frames = (255 * F.interpolate(images, (90, 120), mode="bilinear")).byte().permute(0, 2, 3, 1).numpy()
    params = FlowParams(
        model=model, checkpoint=str(tmp_path / "weights.pt"), size=(90, 120), batch=2, device="cpu"
    )
    engine = make_estimator(params)
    plain = make_estimator(params.model_copy(update={"model": f"ptlflow/{model}"}))
    with torch.inference_mode():
        expected = one_direction_a_call(network, torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
    found = plain.estimate(frames)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3, rtol=0)
    flow = engine.estimate(frames)
    assert not np.array_equal(flow, found)  # another way, indeed
    np.testing.assert_allclose(flow, found, atol=5e-3, rtol=0)
    assert (plain.name, engine.name) == (f"ptlflow/{model}", model)
    assert plain.identity["library"] == LIBRARY
    assert engine.identity["library"] == f"{LIBRARY}, one pass {REVISION}"
    assert plain.identity["weights_sha256"] == engine.identity["weights_sha256"]


@pytest.fixture(scope="module")
def boxing(shared):
    """Five frames of a real clip around a punch."""
    video = open_video(str(shared / "clips" / "labelled" / "v_BoxingPunchingBag_g05_c01.avi"), "auto", 32)
    chunk = list(video)[3]
    return resize_frames(chunk[5:10], (192, 256))


def real_flow(shared, frames, precision):
    weights = str(shared / "weights" / "gmflow_refine.ckpt")
    params = FlowParams(
        model="gmflow_refine", checkpoint=weights, size=(192, 256), batch=3, device="cpu", precision=precision
    )
    return make_estimator(params).estimate(frames)


def test_real_frames_and_real_weights(boxing, shared):
    """float32 within 1e-3 px of ptlflow's forward; bfloat16 a mean end-point error below 0.1 px from that."""
    with contextlib.redirect_stdout(io.StringIO()):
        import ptlflow

        network = ptlflow.get_model(
            "gmflow_refine", ckpt_path=str(shared / "weights" / "gmflow_refine.ckpt")
        ).eval()
    images = torch.from_numpy(boxing).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = one_direction_a_call(network, images).numpy()
    assert np.linalg.norm(expected, axis=2).max() > 2.0
    exact = real_flow(shared, boxing, "fp32")
    # a single pixel may round past it, in another order of sums with every number of threads
    assert np.percentile(np.abs(exact - expected), 99.9) < 1e-3
    assert np.abs(exact - expected).max() < 3e-3
    error_px = np.linalg.norm(real_flow(shared, boxing, "bf16") - expected, axis=2)
    assert error_px.mean() < 0.1
    assert np.median(error_px) < 0.005
