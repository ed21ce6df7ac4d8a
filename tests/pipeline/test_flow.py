"""Flow estimators and resampling: against closed forms, against the libraries' own calls, and refusals."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import optical_flow
from torchvision.transforms import functional as transforms

from pipeline.errors import UserError, WeightsError
from pipeline.flow import check_estimator, flow_identity, make_estimator, resample_flow, resize_frames
from pipeline.params import FlowParams
from tests.ptlflow_calls import one_direction_a_call


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks on a busy machine: threads would wait for one another most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def moving():
    """Four 128x128 frames of a smooth random picture that moves by (3, 2) px per frame."""
    noise = np.random.default_rng(3).normal(size=(180, 180, 3)).astype(np.float32)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3.0), None, 0, 255, cv2.NORM_MINMAX).astype(
        np.uint8
    )
    return np.stack([picture[20 - 2 * t :, 20 - 3 * t :][:128, :128] for t in range(4)])


@pytest.fixture
def small_raft_file(tmp_path):
    """A file of random weights for torchvision's raft_small."""
    torch.manual_seed(0)
    path = tmp_path / "small.pth"
    torch.save(optical_flow.raft_small(weights=None).state_dict(), path)
    return path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, and an empty download cache: its path."""

    def refuse(*_args, **_kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


# --- resampling -------------------------------------------------------------------------------------------


def linear_flow(height, width):
    """The flow of a zoom and shear about the corner, in px of an h x w grid, at its pixel centres."""
    y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    x, y = x / width, y / height  # 0..1 over the picture
    u, v = 0.1 * x + 0.03 * y, -0.05 * x + 0.2 * y  # displacement as a share of the picture
    return np.stack([u * width, v * height]).astype(np.float32)


@pytest.mark.parametrize("size", [(48, 64), (32, 32), (96, 128), (64, 100), (13, 17), (24, 128)])
def test_resampled_flow_is_the_same_motion_on_another_grid(size):
    field = np.broadcast_to(linear_flow(96, 128), (3, 2, 2, 96, 128))
    resampled = resample_flow(np.ascontiguousarray(field), size)
    assert resampled.shape == (3, 2, 2, *size)
    expected = linear_flow(*size)
    # averaging the covered area of steps instead of the slope itself: a small part of one px's slope
    assert np.abs(resampled - expected).max() < 0.02


def test_enlarged_flow_scales_too():
    grown = resample_flow(np.ascontiguousarray(linear_flow(24, 32)[None]), (48, 96))
    expected = linear_flow(48, 96)
    inner = (slice(None), slice(4, -4), slice(4, -4))  # beyond the outermost centres the edge is repeated
    assert np.abs(grown[0] - expected)[inner].max() < 1e-3 * np.abs(expected).max()


def test_shrinking_frames_averages_the_area():
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3)).astype(np.uint8)
    means = frames.reshape(2, 12, 4, 16, 4, 3).mean(axis=(2, 4))
    assert np.abs(resize_frames(frames, (12, 16)) - means).max() <= 0.5 + 1e-9
    # one axis shrinks, the other grows: the shrinking one must not alias
    stripes = np.zeros((1, 60, 20, 3), np.uint8)
    stripes[:, ::2] = 200
    assert set(np.unique(resize_frames(stripes, (30, 40)))) == {100}
    assert resize_frames(frames, (48, 64)) is frames


# --- DIS --------------------------------------------------------------------------------------------------


def test_dis_reads_the_motion(moving):
    flow = make_estimator(FlowParams()).estimate(moving)
    assert flow.shape == (3, 2, 2, 128, 128)
    assert flow.dtype == np.float32
    speed = flow[..., 30:-30, 30:-30].mean(axis=(0, 3, 4))
    np.testing.assert_allclose(speed, [[3, 2], [-3, -2]], atol=0.1)


def test_dis_is_deterministic_whatever_the_threads(moving):
    reference = make_estimator(FlowParams()).estimate(moving)
    before = cv2.getNumThreads()
    try:
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            estimator = make_estimator(FlowParams())
            estimator.estimate(moving[::-1])
            np.testing.assert_array_equal(estimator.estimate(moving), reference)
    finally:
        cv2.setNumThreads(before)


@pytest.mark.slow
def test_dis_needs_no_torch():
    code = (
        "import sys; from pipeline.flow import make_estimator; from pipeline.params import FlowParams; "
        "make_estimator(FlowParams()); import pipeline.build.row; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_identity_tells_model_weights_library_and_size():
    identity = flow_identity(FlowParams(size=(96, 64)))
    assert identity == make_estimator(FlowParams(size=(96, 64))).identity
    assert identity["library"] == f"opencv {cv2.__version__}"
    assert identity["size"] == [96, 64]
    assert identity["weights_sha256"] is None


def test_a_size_the_model_cannot_take_is_told():
    with pytest.raises(UserError, match=r"dis cannot estimate flow at flow\.size \[8, 8\]"):
        check_estimator(make_estimator(FlowParams(size=(8, 8))), (8, 8))
    check_estimator(make_estimator(FlowParams(size=(32, 48))), (32, 48))


@pytest.mark.slow
def test_an_estimator_that_sees_a_still_picture_move_is_refused(shared):
    weights = str(shared / "weights" / "gmflow_refine.ckpt")
    for size, fits in (((128, 160), False), ((160, 224), True)):
        params = FlowParams(model="gmflow_refine", checkpoint=weights, size=size, batch=1, device="cpu")
        if fits:
            check_estimator(make_estimator(params), size)
        else:
            with pytest.raises(UserError, match=r"sees a still picture move by 0\.\d+ px .* \[128, 160\]"):
                check_estimator(make_estimator(params), size)


# --- torchvision ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_raft_equals_torchvisions_own_call(moving, small_raft_file):
    params = FlowParams(model="raft_small", checkpoint=str(small_raft_file), batch=1, device="cpu")
    estimator = make_estimator(params)
    assert estimator.identity == flow_identity(params)
    assert estimator.identity["weights_sha256"] == hashlib.sha256(small_raft_file.read_bytes()).hexdigest()
    flow = estimator.estimate(moving[:3])

    network = optical_flow.raft_small(weights=None)
    network.load_state_dict(torch.load(small_raft_file, weights_only=True))
    prepare = optical_flow.Raft_Small_Weights.DEFAULT.transforms()
    pictures = torch.stack([transforms.to_tensor(frame) for frame in moving])
    with torch.inference_mode():
        for i in range(2):
            for direction, (a, b) in enumerate([(i, i + 1), (i + 1, i)]):
                first, second = prepare(pictures[a : a + 1], pictures[b : b + 1])
                expected = network.eval()(first, second)[-1][0].numpy()
                assert np.abs(flow[i, direction] - expected).max() < 1e-3 * max(1.0, np.abs(expected).max())


def test_raft_pads_odd_sizes(small_raft_file):
    estimator = make_estimator(FlowParams(model="raft_small", checkpoint=str(small_raft_file), device="cpu"))
    frames = np.random.default_rng(0).integers(0, 256, (2, 130, 141, 3)).astype(np.uint8)
    assert estimator.estimate(frames).shape == (1, 2, 2, 130, 141)
    with pytest.raises(UserError, match="raft_small cannot estimate"):
        check_estimator(estimator, (64, 64))


# --- ptlflow ----------------------------------------------------------------------------------------------


def ptlflow_pairs(frames, model, path):
    """ptlflow's own way, a pair at a time: its loader, its adapter, one direction per call."""
    import ptlflow
    from ptlflow.utils.io_adapter import IOAdapter

    network = ptlflow.get_model(model, ckpt_path=str(path)).eval()
    bgr = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
    adapter = IOAdapter(network.output_stride, bgr[0].shape[:2])
    flow = np.empty((len(bgr) - 1, 2, 2, *bgr[0].shape[:2]), np.float32)
    with torch.inference_mode():
        for i in range(len(bgr) - 1):
            for direction, pair in enumerate([[bgr[i], bgr[i + 1]], [bgr[i + 1], bgr[i]]]):
                flow[i, direction] = network(adapter.prepare_inputs(pair))["flows"][0, 0].numpy()
    return flow


@contextmanager
def float64():
    """Where nothing says otherwise, numbers are double."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def exact_gmflow(frames, path):
    """The flow that ptlflow's own forward would give if it did not round: in float64."""
    import ptlflow

    network = ptlflow.get_model("gmflow_refine", ckpt_path=str(path)).eval().double()
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).double() / 255
    with float64(), torch.inference_mode():
        return one_direction_a_call(network, images).numpy()


@pytest.mark.slow
def test_gmflow_equals_ptlflows_own_call_pair_by_pair(moving, shared):
    path = shared / "weights" / "gmflow_refine.ckpt"
    params = FlowParams(model="gmflow_refine", checkpoint=str(path), batch=1, device="cpu")
    estimator = make_estimator(params)
    assert estimator.identity == flow_identity(params)
    assert estimator.identity["checkpoint"] == "gmflow_refine.ckpt"
    flow = estimator.estimate(moving[:3])
    # so small a picture is ambiguous to this network: rounding grows, at single pixels past a thousandth, in
    # ptlflow's own forward, too; ours must be as near to what float64 gives
    theirs, exact = ptlflow_pairs(moving[:3], "gmflow_refine", path), exact_gmflow(moving[:3], path)
    error_px = np.linalg.norm(flow - theirs, axis=2)
    assert error_px.mean() < 2e-4
    assert np.percentile(error_px, 99) < 1e-3
    own_px, their_px = (np.linalg.norm(found - exact, axis=2) for found in (flow, theirs))
    assert own_px.mean() < 1.5 * their_px.mean()
    assert np.percentile(own_px, 99.9) < 2 * np.percentile(their_px, 99.9)

    # directions and axes; the shift is large, because this network misses small ones in small pictures
    coarse = np.random.default_rng(4).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (240, 240), interpolation=cv2.INTER_CUBIC)
    fast = np.stack([picture[40 - 8 * t :, 40 - 16 * t :][:128, :128] for t in range(2)])
    speed = np.median(estimator.estimate(fast)[0, ..., 30:-30, 30:-30], axis=(2, 3))
    np.testing.assert_allclose(speed, [[16, 8], [-16, -8]], atol=1.0)


@pytest.mark.slow
def test_another_ptlflow_model_quietly(moving, tmp_path, capfd):
    import ptlflow

    torch.manual_seed(0)
    path = tmp_path / "rapidflow.ckpt"
    network = ptlflow.get_model("rapidflow_it1").eval()
    torch.save({"state_dict": network.state_dict()}, path)
    capfd.readouterr()
    estimator = make_estimator(FlowParams(model="rapidflow_it1", checkpoint=str(path), batch=2, device="cpu"))
    flow = estimator.estimate(moving)
    expected = ptlflow_pairs(moving, "rapidflow_it1", path)
    assert np.abs(flow - expected).max() < 1e-3 * max(1.0, np.abs(expected).max())
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_ptlflow_is_loaded_quietly():
    code = (
        "from pipeline.flow import ptlflow_models as models; print(len(models.names())); "
        "import logging; logging.error('still heard')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50
    assert done.stderr == "ERROR:root:still heard\n"


# --- wrong names and wrong weights --------------------------------------------------------------------------


def test_unknown_model_names_near_ones():
    with pytest.raises(UserError, match=r"called 'gmflw'; did you mean .*gmflow"):
        make_estimator(FlowParams(model="gmflw"))
    with pytest.raises(UserError, match=r"known are dis, raft_small"):
        flow_identity(FlowParams(model="0123456789"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "names"), [("gmflow", "chairs, things, sintel, kitti"), ("raft_small", "C_T_V")]
)
def test_unknown_checkpoint_lists_the_known(model, names):
    with pytest.raises(UserError, match=f"no checkpoint 'thnigs'; it has {names}"):
        make_estimator(FlowParams(model=model, checkpoint="thnigs"))


@pytest.mark.parametrize(
    ("model", "checkpoint", "file"),
    [
        ("gmflow", None, "gmflow-things-5a18a9e8.ckpt"),
        ("ptlflow/raft_small", None, "raft_small-things-b7d9f997.ckpt"),
        ("gmflow_refine", "sintel", "gmflow_refine-sintel-ee46a2c4.ckpt"),
        ("raft_large", None, "raft_large_C_T_SKHT_V2-ff5fadd5.pth"),
    ],
)
def test_missing_weights_offline_say_where_to_put_them(offline, model, checkpoint, file):
    with pytest.raises(WeightsError) as caught:
        make_estimator(FlowParams(model=model, checkpoint=checkpoint))
    assert str(offline / file) in caught.value.message
    assert "flow.checkpoint: FILE" in caught.value.message
    assert "no route to host" in caught.value.message


def test_named_weights_are_taken_from_the_download_cache(offline, small_raft_file):
    offline.mkdir(parents=True)
    name = Path(optical_flow.Raft_Small_Weights.DEFAULT.value.url).name
    small_raft_file.rename(offline / name)
    identity = make_estimator(FlowParams(model="raft_small", device="cpu")).identity
    assert identity["checkpoint"] == "C_T_V2"
    assert identity["weights_sha256"] == hashlib.sha256((offline / name).read_bytes()).hexdigest()


def test_a_file_of_another_model_is_refused(small_raft_file, tmp_path, shared):
    with pytest.raises(WeightsError, match=r"not the weights of raft_large:\n  \d+ missing: "):
        make_estimator(FlowParams(model="raft_large", checkpoint=str(small_raft_file), device="cpu"))
    with pytest.raises(WeightsError) as caught:
        make_estimator(
            FlowParams(model="raft_small", checkpoint=str(shared / "weights" / "gmflow_refine.ckpt"))
        )
    assert "missing: feature_encoder.convnormrelu.0.weight" in caught.value.message
    assert "124 unexpected: backbone.conv1.weight" in caught.value.message
    with pytest.raises(WeightsError, match="there is no file"):
        make_estimator(FlowParams(model="raft_small", checkpoint=str(tmp_path / "none.pth")))


class Harmful:
    """Unpickling it would run a command."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('harm done')",))


@pytest.mark.parametrize("content", ["garbage", "empty", "harmful", "list", "numbers", "truncated"])
def test_a_file_that_is_no_weights_is_refused(content, tmp_path, small_raft_file):
    path = tmp_path / "bad.pth"
    documents = {"harmful": {"state_dict": Harmful()}, "list": [1, 2], "numbers": {"state_dict": {"a": 1}}}
    if content in documents:
        buffer = io.BytesIO()
        torch.save(documents[content], buffer)
        path.write_bytes(buffer.getvalue())
    else:
        whole = small_raft_file.read_bytes()
        path.write_bytes(
            {"garbage": b"garbage" * 99, "empty": b"", "truncated": whole[: len(whole) // 2]}[content]
        )
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        make_estimator(FlowParams(model="raft_small", checkpoint=str(path)))


def test_devices():
    with pytest.raises(UserError, match="device 'tpu9' cannot be used here"):
        make_estimator(FlowParams(model="raft_small", checkpoint=__file__, device="tpu9"))
