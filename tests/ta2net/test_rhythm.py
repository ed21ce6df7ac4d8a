"""Hits at an even spacing: by hand, and beside the network in the figures."""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import Row
from ta2net.evaluation.evaluate import evaluate
from ta2net.evaluation.metrics import Judged, event_metrics
from ta2net.evaluation.rhythm import evenly_spaced, median_interval, median_intervals, rhythms
from ta2net.evaluation.summary import summary


def row(labels, n_frames=60, until=None, spans=None):
    annotated = spans or ((0, until or n_frames),)
    return Row("r", "csv", "v", "g", "v.mp4", "eval", "", labels, None, annotated, Fraction(25), n_frames, "")


def test_the_phase_is_half_an_interval():
    assert evenly_spaced(10, 30).tolist() == [5, 15, 25]
    assert evenly_spaced(5, 12).tolist() == [2, 7]
    assert evenly_spaced(5, 13).tolist() == [2, 7, 12]
    assert evenly_spaced(2.5, 10).tolist() == [1, 3, 6, 8]
    assert evenly_spaced(100, 30).tolist() == []


@given(st.integers(4, 60), st.integers(1, 200))
def test_hits_are_apart_inside_and_as_many_as_the_rate_says(half_intervals, n_frames):
    interval = half_intervals / 2
    frames = evenly_spaced(interval, n_frames)
    # literally: half an interval, and an interval on, as long as the film lasts
    assert frames.tolist() == [
        int(interval * (k + 0.5)) for k in range(n_frames) if int(interval * (k + 0.5)) < n_frames
    ]
    assert (np.diff(frames) >= 2).all()
    assert abs(len(frames) - n_frames / interval) <= 1


def test_the_interval_is_between_events():
    assert median_interval(row((3, 4, 5, 14, 30))) == 13.0  # a run is one event: 4, 14, 30
    assert median_interval(row((3, 14, 30, 31, 52))) == 16.0
    assert median_interval(row((3, 4, 5))) is None
    assert median_interval(row(())) is None
    # nobody knows what lies between two spans
    assert median_interval(row((3, 9, 40, 46), spans=((0, 20), (30, 60)))) == 6.0


def test_films_without_two_events_take_the_median_of_the_others():
    rows = [row((2, 12)), row((7,)), row((1, 5, 9, 13)), row(()), row((0, 20))]
    assert median_intervals(rows) == [10.0, 10.0, 4.0, 10.0, 20.0]
    # the second label is on a frame that nobody annotated, so that the film has one
    assert median_intervals([row((2, 25), until=20), row((0, 6))]) == [6.0, 6.0]


def test_both_on_annotated_frames_by_hand():
    rows = [row((4, 14, 24), 30), row((2, 6, 25), 30, until=16)]
    found = {name: [frames.tolist() for frames in each] for name, each in rhythms(rows).items()}
    assert found == {
        "evenly_spaced": [[5, 15, 25], [2, 6, 10, 14]],
        "every_5th_frame": [[2, 7, 12, 17, 22, 27], [2, 7, 12]],
    }


def test_no_rate_no_hits():
    found = rhythms([row((4,), 30), row((), 30)])
    assert [frames.tolist() for frames in found["evenly_spaced"]] == [[], []]
    assert [len(frames) for frames in found["every_5th_frame"]] == [6, 6]


@given(st.sets(st.integers(0, 34), min_size=1))
def test_every_fifth_frame_is_near_every_label(labels):
    """So its recall of well parted labels is 1, whatever the film shows: the worth of such a figure."""
    apart = [t for t in sorted(labels) if not {t - k for k in range(1, 5)} & labels]
    (frames,) = rhythms([row(tuple(apart), 35)])["every_5th_frame"]
    found = event_metrics([Judged(frames, np.array(apart, np.int64))])
    assert found["recall_at_2"] == 1.0
    assert found["predicted"] == 7


def test_they_stand_beside_the_network(toy_params, tmp_path):
    metrics = evaluate(toy_params, "real")
    assert set(metrics["untrained"]) >= {"evenly_spaced", "every_5th_frame"}
    section = metrics["untrained"]["every_5th_frame"]
    assert section["event"]["predicted"] == 3 * 8
    assert section["event"]["map_at_2"] is None
    title = summary(metrics).splitlines()[0]
    assert "evenly spaced" in title
    assert "every 5th frame" in title
    with (tmp_path / "evaluation" / "per_video.csv").open(newline="") as handle:
        *videos, pooled = csv.DictReader(handle)
    assert [int(v["every_5th_frame_found"]) + int(v["every_5th_frame_false"]) for v in videos] == [8, 8, 8]
    for name in ("evenly_spaced", "every_5th_frame"):
        event = metrics["untrained"][name]["event"]
        assert float(pooled[f"{name}_f1_at_2"]) == pytest.approx(event["f1_at_2"], abs=1e-3)


def test_a_film_cut_short_is_judged_up_to_there():
    whole = row((4, 14, 24), 30)
    assert rhythms([replace(whole, annotated=((0, 8),))])["every_5th_frame"][0].tolist() == [2, 7]
