"""The build's benchmarks measure what they say, at a tiny size; no time is asserted."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks import build, build_memory, scheduling

pytestmark = pytest.mark.slow


def test_the_ratio_is_the_slowest_part_over_the_whole():
    times = build.Times(whole=8.0, parts={"decoding": 2.0, "flow": 6.0, "coding": 0.5, "writing": 0.2})
    assert times.slowest == "flow"
    assert times.ratio == 0.75


def test_workers_take_turns_and_the_last_one_counts():
    class Fake:
        def __init__(self, count):
            self._processes = [self] * count

        def run(self, task, job, _limits):
            return task(job)

    seconds = build._Workers.seconds
    assert seconds(Fake(2), float, [1, 10, 2, 20, 3]) == 30
    assert seconds(Fake(1), float, [1, 10, 2]) == 13


def test_every_number_of_workers_has_its_ratio(monkeypatch):
    monkeypatch.setattr(build, "core_count", lambda: 1)
    (ratio,) = build.ratios(1, videos=1, frames=5, size=64)
    assert ratio.name == "build.vs_slowest_part"
    assert ratio.spread == (ratio.ratio, ratio.ratio)
    assert ratio.ratio > 0
    assert "alone, 1 worker" in ratio.against


def test_memory_of_a_film_ten_times_as_long():
    done = CliRunner().invoke(build_memory.main, ["--frames", "5", "--height", "64", "--width", "96"])
    assert done.exit_code == 0, done.output
    assert "96x64, 5 frames" in done.output
    assert "96x64, 50 frames" in done.output


def test_the_costs_of_scheduling(capsys):
    done = CliRunner().invoke(scheduling.main, ["--rows", "20", "--planned", "30", "--nap-s", "0.001"])
    assert done.exit_code == 0, done.output
    assert "20 jobs:" in done.output
    assert "plan of 30 rows, 0 in the store: 30 to compute, 0 kept" in done.output
    assert "plan of 30 rows, 30 in the store: 0 to compute, 30 kept" in done.output
    assert capsys.readouterr().err == ""


def test_a_part_that_fails_is_no_figure(tmp_path):
    (job,) = build.jobs_for(tmp_path, [build.film_row(tmp_path / "film.mp4", 5, 64, 64)])
    with pytest.raises(TypeError, match="there is no flow store"):
        build.row_seconds(job)
