"""Benchmarks measure what they say, and run at a tiny size; no time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import measure, training
from benchmarks.__main__ import main
from benchmarks.flow import precisions
from benchmarks.plain import PlainTA2Net
from ta2net.fast import accelerate
from ta2net.methods.ta2net.network import TA2Net

pytestmark = pytest.mark.slow

NAMES = {
    *(
        f"flow.gmflow_{size}.{precision}_vs_{other}"
        for size in ("128", "224", "256x320")
        for precision, _ in precisions(torch.device("cpu"))
        for other in ("naive", "flop_bound")
    ),
    "streaming.warm_vs_plain_zarr",
    "streaming.warm_vs_memmap",
    "streaming.uncached_vs_plain_zarr",
    "streaming.stall",
    "streaming.epoch_as_rows_grow",
    "norm.tiny_8px_vs_pytorch",
    "training.step_vs_fp32_eager",
    "training.step_vs_flop_bound",
    "build.vs_slowest_part",
    "predict.memory_10min_vs_1min",
    "predict.dis_720p_vs_realtime",
    "predict.dis_10s_vs_realtime",
    "predict.dis_1min_vs_realtime",
    "predict.dis_10min_vs_realtime",
    "predict.gmflow_2s_vs_realtime",
}
"""What two commits are compared by; a machine may have more, such as a second worker."""


def test_the_ratio_is_theirs_over_ours_per_unit(monkeypatch):
    """A clock that each call moves: ours takes 2 s for 4 units, theirs 6 s for 2, then 2 s for 2."""
    now, their_seconds = [0.0], iter([1.0, 6.0, 2.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def ours() -> float:
        now[0] += 2.0
        return 4

    def theirs() -> float:
        now[0] += next(their_seconds)
        return 2

    ratio = measure.compared("a.b", ours, theirs, "theirs", rounds=2)
    assert ratio.ratio == pytest.approx((3.0 / 0.5 + 1.0 / 0.5) / 2)
    assert ratio.spread == pytest.approx((2.0, 6.0))


def test_everything_is_measured_and_written(tmp_path):
    out = tmp_path / "results.json"
    done = CliRunner().invoke(main, ["--quick", "--device", "cpu", "--out", str(out)])
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    names = [row["name"] for row in document["ratios"]]
    assert set(names) >= NAMES
    assert names == sorted(set(names))
    for row in document["ratios"]:
        assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
        assert row["name"] in done.output
        assert row["against"]
    assert document["machine"]["versions"]["torch"]


def test_groups_not_measured_now_stay_if_the_machine_is_the_same(tmp_path, monkeypatch):
    def measured(names):
        done = CliRunner().invoke(main, [*names, "--out", str(out)])
        assert done.exit_code == 0, done.output
        return {row["name"]: row["ratio"] for row in json.loads(out.read_text())["ratios"]}

    out, figures = tmp_path / "results.json", iter(range(9))
    groups = {
        name: lambda _, name=name: iter([measure.Ratio(f"{name}.x", next(figures), "y", (0, 9))])
        for name in ("build", "flow")
    }
    monkeypatch.setattr("benchmarks.__main__.GROUPS", groups)
    assert measured([]) == {"build.x": 0, "flow.x": 1}
    assert measured(["flow"]) == {"build.x": 0, "flow.x": 2}
    monkeypatch.setattr("benchmarks.__main__.machine", lambda: {"cores": 64})
    assert measured(["build"]) == {"build.x": 3}


def test_what_the_parent_holds_is_not_a_process_s_peak():
    ballast = np.ones(1 << 27)  # a gigabyte
    code = """
import numpy as np
from benchmarks.measure import peak_bytes
before = peak_bytes()
held = np.ones(1 << 25)
print(before, peak_bytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, grown = map(float, done.stdout.split())
    assert before < ballast.nbytes
    assert grown > 0.9 * (1 << 28)


def test_a_fresh_process_that_fails_says_why(tmp_path):
    (tmp_path / "good.json").write_text('{"a": 1}')
    assert measure.in_fresh_process("json.tool", ["--compact", str(tmp_path / "good.json")]) == {"a": 1}
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(RuntimeError, match="Expecting property name"):
        measure.in_fresh_process("json.tool", [str(tmp_path / "bad.json")])


def test_the_plain_network_is_the_same_network():
    params = training.tiny_params()
    torch.manual_seed(0)
    ours = accelerate(TA2Net(params.method, params.clips.frames).eval(), torch.device("cpu"))
    plain = PlainTA2Net(params.method, params.clips.frames).eval()
    plain.load_state_dict(ours.state_dict())
    batch = training.random_batch(training.CASES["tiny"]())
    fields = [field.float() / training.STEPS_PER_PX for field in (batch.velocity, batch.inflection)]
    with torch.no_grad():
        said = [network(batch.frames, *fields, batch.valid).probability for network in (ours, plain)]
    torch.testing.assert_close(said[0], said[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["tiny", "resnet18", "resnet50"])
def test_plain_encoders_train_alike(backbone):
    """In float64: features, every gradient and the running statistics."""
    params = training.tiny_params()
    model = params.method.model_copy(update={"backbone": backbone})
    ours = accelerate(TA2Net(model, params.clips.frames).double(), torch.device("cpu"))
    plain = PlainTA2Net(model, params.clips.frames).double()
    plain.load_state_dict(ours.state_dict())
    pictures = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    found = []
    for encoder in (ours.encode_frames, plain.encode_frames):
        features = encoder(pictures)
        features.square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in encoder.named_parameters()}
        found.append((features, gradients, encoder.state_dict()))
    torch.testing.assert_close(*found)


def test_a_step_of_the_paper_is_eight_teraflop():
    """A clip takes the authors' network 668 GFLOP forward; with the backward pass three times that.

    The fusion head's convolution is 133 of them; of its products our network does four in six.
    """
    forward = 668e9 - (3 * 64 - 4 * 33) * 2 * 49 * 512 * 768 * 9 * 2
    assert training.CASES["paper_batch4"]().flops == pytest.approx(4 * 3 * forward, rel=0.01)
