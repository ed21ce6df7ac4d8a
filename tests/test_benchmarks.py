"""Benchmarks measure what they say, and run at a tiny size; no time is asserted."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks import build, flow, measure
from benchmarks.__main__ import main


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


def test_the_command_writes_every_ratio(monkeypatch, tmp_path):
    monkeypatch.setattr(flow, "SIZES", {"gmflow_224": (64, 64)})
    monkeypatch.setattr(build, "ratios", lambda _: [])  # tests/test_benchmarks_build.py
    out = tmp_path / "results.json"
    done = CliRunner().invoke(main, ["--pairs", "2", "--rounds", "1", "--device", "cpu", "--out", str(out)])
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert [row["name"] for row in document["ratios"]] == [
        "flow.gmflow_224.fp32_vs_naive",
        "flow.gmflow_224.bf16_vs_naive",
    ]
    for row in document["ratios"]:
        assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
        assert f"{row['name']:<40}" in done.output
    assert document["machine"]["versions"]["torch"]
