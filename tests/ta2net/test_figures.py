"""Figures beyond the paper's: intervals, average precision, times, the authors' rule, classes."""

from __future__ import annotations

import time
import warnings

import mir_eval
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ta2net.evaluation.average_precision import average_precision, found_greedily
from ta2net.evaluation.bootstrap import Quotient, intervals, mean_over
from ta2net.evaluation.matching import match, merged_events
from ta2net.evaluation.metrics import Judged, counting_metrics, event_counts, event_metrics, paper_metrics
from ta2net.evaluation.reference_code import reference_code_metrics, reference_code_quotients
from ta2net.evaluation.sections import hit_sections, per_class
from ta2net.evaluation.timing import error_figures, onset_matches, time_errors_s
from ta2net.hits.decoding import Peaks

FPS = 25
frames = st.lists(st.integers(0, 60), unique=True, max_size=8).map(sorted)
spaced = st.lists(st.integers(6, 15), max_size=6).map(lambda steps: np.cumsum(steps).tolist())
heights = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8])


def judged(predicted, labelled, class_name="", fps=FPS):
    times = np.arange(300) / fps
    return Judged(np.array(predicted, np.int64), np.array(labelled, np.int64), times, class_name)


def peaks(*pairs):
    return Peaks(np.array([t for t, _ in pairs], np.int64), np.array([p for _, p in pairs], np.float64))


@given(frames, frames, st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_as_many_pairs_as_mir_eval_at_every_tolerance(predicted, labelled, tolerance):
    pairs = mir_eval.util.match_events(np.array(labelled, float), np.array(predicted, float), tolerance + 0.5)
    assert len(match(predicted, labelled, tolerance)[0]) == len(pairs)


@given(
    st.lists(st.tuples(frames, frames), min_size=1, max_size=4),
    # at none of these rates are two frames a window apart, which rounding would decide
    st.sampled_from(
        [(50, 10), (50, 24), (50, 25), (50, 30), (50, 90), (80, 15), (80, 24), (80, 30), (80, 60)]
    ),
)
@settings(max_examples=120, deadline=None)
def test_windows_in_ms_are_mir_evals_rule(pairs, window_and_fps):
    """mir_eval's whole onset measure on one long time line, videos 1000 s apart, is the pooled figure."""
    window_ms, fps = window_and_fps
    videos = [judged(*pair, fps=fps) for pair in pairs]
    predicted, labelled = (
        np.concatenate([1000 * k + merged_events(side[n]) / fps for k, side in enumerate(pairs)])
        for n in (0, 1)
    )
    assume(len(predicted) + len(labelled))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one of both may be empty
        f1, precision, recall = mir_eval.onset.f_measure(labelled, predicted, window=window_ms / 1000)
    event = hit_sections(videos, None, 0)["event"]
    ours = [event[f"{name}_{window_ms}ms"] for name in ("f1", "precision", "recall")]
    assert ours == pytest.approx([f1, precision, recall])


def test_three_frames_at_60_per_second_are_50_ms():
    """0.05 exactly, but not in binary: no pair may depend on the rounding of its times."""
    labelled = np.arange(0, 290, 7)
    assert onset_matches([judged(labelled + 3, labelled, fps=60)]).tolist() == [len(labelled)]
    assert onset_matches([judged(labelled + 2, labelled, fps=30)]).tolist() == [0]


def test_80_ms_are_two_frames_at_25_and_one_at_15_per_second():
    labelled = np.arange(0, 280, 20)
    for fps, within in ((25, 2), (15, 1), (60, 4)):
        videos = [judged(labelled + off, labelled, fps=fps) for off in (within, within + 1)]
        assert onset_matches(videos, 80).tolist() == [len(labelled), 0]
        assert hit_sections(videos[:1], None, 20)["event"]["ci95"]["f1_80ms"] == [1.0, 1.0]


def test_bias_and_errors_by_hand():
    """Errors of +1, -2 and 0 frames of 40 ms; the hit 3 frames off is no match."""
    errors = time_errors_s([judged([11, 28], [10, 30]), judged([50, 93], [50, 90])])
    np.testing.assert_allclose(sorted(errors), [-0.08, 0.0, 0.04], atol=1e-12)
    figures = error_figures(errors)
    assert figures["bias_ms"] == pytest.approx(-40 / 3)
    assert figures["abs_error_ms_p50"] == pytest.approx(40)
    assert figures["abs_error_ms_p90"] == pytest.approx(40 + 0.8 * 40)  # linear between 40 and 80
    assert figures["abs_error_ms_p95"] == pytest.approx(40 + 0.9 * 40)
    assert set(error_figures(np.empty(0)).values()) == {None}


def test_times_are_those_of_the_frames():
    """A stalled clock: frame 11 comes 1 s after frame 10."""
    times = np.arange(20) / 25 + (np.arange(20) > 10)
    video = Judged(np.array([11]), np.array([10]), times)
    assert time_errors_s([video]).tolist() == pytest.approx([1.04])
    assert onset_matches([video]).tolist() == [0]
    with pytest.raises(ValueError, match="presentation times"):
        onset_matches([Judged(np.array([11]), np.array([10]))])


def reference_code_slowly(video):
    """Recall, precision, F1, NME, PME of one video, by the rule's words."""
    if not len(video.predicted):
        return 0.0, 0.0, 0.0, 0.0, 0.0
    found = sum(any(abs(p - t) <= 3 for p in video.predicted) for t in video.labelled)
    right = [p for p in video.predicted if any(abs(p - t) <= 3 for t in video.labelled)]
    recall = found / len(video.labelled) if len(video.labelled) else 0.0
    precision = len(right) / len(video.predicted)
    f1 = 2 * recall * precision / (recall + precision) if right else 0.0
    errors = [min(abs(p - t) for t in video.labelled) for p in right]
    count_error = abs(len(video.predicted) - len(video.labelled))
    return recall, precision, f1, count_error, float(np.mean(errors)) if errors else None


@given(st.lists(st.tuples(frames, frames), min_size=1, max_size=5))
def test_the_authors_rule_against_its_words(pairs):
    videos = [judged(*pair) for pair in pairs]
    figures = reference_code_metrics(videos)
    columns = zip(*map(reference_code_slowly, videos), strict=True)
    for name, values in zip(("recall", "precision", "f1", "nme", "pme"), columns, strict=True):
        known = [value for value in values if value is not None]
        assert figures[name] == (pytest.approx(np.mean(known)) if known else None)


def test_the_authors_rule_by_hand():
    """7, 9 and 13 all count for 10: precision 3/4; 30 is missed: recall 1/2; a silent video adds zeros."""
    busy, silent = judged([7, 9, 13, 50], [10, 30]), judged([], [5, 15])
    figures = reference_code_metrics([busy, silent])
    assert figures["recall"] == 0.25
    assert figures["precision"] == 0.375
    assert figures["f1"] == pytest.approx(0.6 / 2)
    assert figures["nme"] == (2 + 0) / 2
    assert figures["pme"] == pytest.approx((7 / 3 + 0) / 2)
    assert figures["mae"] == (1 + 0) / 2
    assert figures["obo"] == 0.0
    assert figures["videos"] == 2
    assert paper_metrics([busy])["f1"] < reference_code_metrics([busy])["f1"]
    assert all(quotient.value() == 0 for quotient in reference_code_quotients([silent]).values())


def average_precision_slowly(candidates, events, tolerance):
    """E2E-Spot's loop in words: every prediction in turn takes its nearest free event; equals at once."""
    pooled = sorted(
        (
            (p, video, int(t))
            for video, c in enumerate(candidates)
            for t, p in zip(c.frames, c.heights, strict=True)
        ),
        key=lambda entry: (-entry[0], entry[1], entry[2]),
    )
    taken, points = set(), []
    for number, (height, video, frame) in enumerate(pooled, start=1):
        free = [t for t in events[video] if (video, t) not in taken]
        nearest = min(free, key=lambda t: (abs(frame - t), t), default=None)
        if nearest is not None and abs(frame - nearest) <= tolerance:
            taken.add((video, nearest))
        if number == len(pooled) or pooled[number][0] != height:
            points.append((len(taken), len(taken) / number))
    area, before = 0.0, 0
    for index, (recalled, _) in enumerate(points):
        area += (recalled - before) * max(precision for _, precision in points[index:])
        before = recalled
    return area / sum(len(e) for e in events)


candidates = st.lists(st.tuples(st.integers(0, 40), heights), max_size=6, unique_by=lambda pair: pair[0])


@given(st.lists(st.tuples(candidates, frames), min_size=1, max_size=4), st.sampled_from([0, 1, 2, 4]))
@settings(max_examples=150, deadline=None)
def test_average_precision_against_the_literal_loop(videos, tolerance):
    found = [peaks(*sorted(pairs)) for pairs, _ in videos]
    events = [np.array(labels, np.int64) for _, labels in videos]
    assume(sum(map(len, events)))
    ours = average_precision(found, events, tolerance)
    assert ours == pytest.approx(average_precision_slowly(found, events, tolerance))
    assert ours == average_precision(found[::-1], events[::-1], tolerance)


def test_average_precision_by_hand():
    """True, false, true of three events: 1 * 1/3 + 2/3 * 1/3; the third event is never found."""
    events = [np.array([10, 20, 30])]
    found = [peaks((10, 0.9), (15, 0.8), (21, 0.7))]
    assert average_precision(found, events, 1) == pytest.approx(1 / 3 + 2 / 9)
    assert average_precision(found, events, 0) == pytest.approx(1 / 3)
    assert average_precision([peaks()], events, 1) == 0.0
    assert average_precision(found, [np.array([], np.int64)], 1) is None
    assert average_precision([*found, peaks((5, 0.95))], [*events, np.array([])], 1) == pytest.approx(
        2 * (1 / 2) / 3  # the false one before all: precisions 1/2 and 2/4, interpolated 1/2
    )


def test_the_surest_peak_takes_the_nearest_free_event():
    found = found_greedily(peaks((11, 0.5), (12, 0.9), (13, 0.7)), np.array([10, 12]), 2)
    assert found.tolist() == [True, True, False]  # 12 -> 12, then 13 is 3 frames from 10, 11 -> 10


@given(spaced, st.data())
def test_a_perfect_prediction_is_perfect_everywhere(labelled, data):
    assume(labelled)
    sure = [peaks(*((t, data.draw(heights)) for t in labelled))]
    sections = hit_sections([judged(labelled, labelled)], sure, 20)
    for section in ("paper", "reference_code"):
        assert [sections[section][name] for name in ("recall", "precision", "f1", "obo")] == [1.0] * 4
        assert [sections[section][name] for name in ("nme", "pme", "mae")] == [0.0] * 3
        assert sections[section]["ci95"]["f1"] == [1.0, 1.0]
    event = sections["event"]
    ones = [name for name in event if name.startswith(("f1", "recall", "precision", "map"))]
    assert len(ones) == 4 * 3 + 2 * 3 + 4
    assert all(event[name] == 1.0 for name in ones)
    assert [event[name] for name in ("bias_ms", "abs_error_ms_p50", "abs_error_ms_p95")] == [0.0] * 3
    assert sections["counting"] == {"mae": 0.0, "obo": 1.0, "videos": 1}


@given(frames, frames)
def test_labels_scored_against_themselves_are_perfect_runs_and_all(labelled, other):
    videos = [judged(labelled, labelled), judged(other, other)]
    assert all(event_metrics(videos)[f"f1_at_{k}"] == 1.0 for k in range(4))
    assert paper_metrics(videos)["f1"] == 1.0


@given(spaced)
def test_one_frame_late_in_milliseconds(labelled):
    assume(labelled)
    late = np.array(labelled) + 1
    event = hit_sections([judged(late, labelled)], [peaks(*((t, 0.5) for t in late))], 0)["event"]
    assert event["bias_ms"] == pytest.approx(40)
    assert (event["f1_50ms"], event["f1_at_0"], event["f1_at_2"]) == (1.0, 0.0, 1.0)
    assert (event["map_at_0"], event["map_at_1"], event["map_at_4"]) == (0.0, 1.0, 1.0)


@given(spaced, frames, st.integers(150, 200), heights)
@settings(max_examples=50)
def test_a_false_hit_raises_no_precision(labelled, predicted, far, height):
    assume(labelled)
    sections = []
    for found in (predicted, [*predicted, far]):
        ranked = peaks(*((t, height if t == far else 0.4) for t in found))
        sections.append(hit_sections([judged(found, labelled)], [ranked], 0))
    before, after = sections
    names = [name for name in before["event"] if name.startswith(("precision", "map"))]
    assert len(names) == 4 + 2 + 4
    assert all(after["event"][name] <= before["event"][name] for name in names)
    assert all(after[s]["precision"] <= before[s]["precision"] for s in ("paper", "reference_code"))


@given(st.lists(st.tuples(spaced, frames), min_size=2, max_size=5), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_videos_matters_nowhere(pairs, random):
    videos = [judged(*pair, class_name=f"c{len(pair[0])}") for pair in pairs]
    ranked = [peaks(*((t, 0.3 + t % 3 / 10) for t in pair[0])) for pair in pairs]
    order = random.sample(range(len(pairs)), len(pairs))
    ours = hit_sections(videos, ranked, 50)
    shuffled = hit_sections([videos[k] for k in order], [ranked[k] for k in order], 50)
    for section in ours:
        intervals_, other = ours[section].pop("ci95", None), shuffled[section].pop("ci95", None)
        assert intervals_ == other
        assert ours[section] == pytest.approx(shuffled[section], abs=1e-9)
    again = per_class([videos[k] for k in order])
    assert all(again[name] == pytest.approx(figures) for name, figures in per_class(videos).items())


def test_counts_are_of_events():
    """Two runs are two events; predicted 4 instead of 2, and 1 instead of 2."""
    counts = event_counts([judged([5, 15, 25, 35], [10, 11, 12, 30, 31]), judged([5], [4, 9])])
    assert counting_metrics(counts) == {"mae": (2 / 2 + 1 / 2) / 2, "obo": 0.5, "videos": 2}


def test_classes_apart():
    videos = [judged([10], [10, 11, 30], "b"), judged([52], [50], "a"), judged([], [7], "a")]
    assert per_class(videos) == {
        "a": {"videos": 2, "labelled": 2, "f1_at_1": 0.0, "f1_at_2": pytest.approx(2 / 3), "paper_f1": 0.5},
        "b": {"videos": 1, "labelled": 2, "f1_at_1": 2 / 3, "f1_at_2": 2 / 3, "paper_f1": 0.5},
    }


def test_the_interval_is_the_percentile_bootstrap():
    """Against one resampling at a time, drawn by another generator: equal but for chance."""
    rng = np.random.default_rng(1)
    matched, total = rng.integers(0, 5, 40).astype(float), rng.integers(5, 9, 40).astype(float)
    found = intervals({"x": Quotient(matched, total)}, 20000)["x"]
    draws = [rng.integers(0, 40, 40) for _ in range(20000)]
    slow = np.percentile([matched[d].sum() / total[d].sum() for d in draws], [2.5, 97.5])
    np.testing.assert_allclose(found, slow, atol=0.004)


@pytest.mark.parametrize("seed", range(40))
def test_the_interval_holds_the_figure_itself(seed):
    rng = np.random.default_rng(seed)
    videos = []
    for _ in range(rng.integers(2, 40)):
        labelled = np.cumsum(rng.integers(4, 15, rng.integers(1, 9)))
        kept = labelled[rng.random(len(labelled)) < 0.7] + rng.integers(-3, 4)
        videos.append(judged(np.unique(np.maximum(kept, 0)), labelled))
    sections = hit_sections(videos, None, 300)
    for section in ("paper", "event", "reference_code"):
        for name, span in sections[section]["ci95"].items():
            value = sections[section][name]
            assert (span is None) == (value is None)
            assert span is None or span[0] - 1e-12 <= value <= span[1] + 1e-12


def test_the_interval_of_equal_videos_is_a_point():
    sections = hit_sections([judged([10, 21], [10, 20, 30])] * 12, None, 100)
    for section in ("paper", "event", "reference_code"):
        for name, span in sections[section]["ci95"].items():
            assert span == pytest.approx([sections[section][name]] * 2)


def test_intervals_where_little_is_known():
    assert intervals({"x": mean_over(np.empty(0))}, 50) == {"x": None}
    assert intervals({"x": mean_over(np.ones(3), np.zeros(3, bool))}, 50) == {"x": None}
    assert intervals({"x": Quotient(np.zeros(3), np.zeros(3), empty=1.0)}, 50) == {"x": [1.0, 1.0]}
    assert "ci95" not in hit_sections([judged([1], [1])], None, 0)["paper"]
    none = hit_sections([], None, 20)
    assert none["paper"]["f1"] is None
    assert none["paper"]["ci95"]["f1"] is None


def test_a_thousand_resamplings_of_200_videos_take_no_time():
    figures = {str(k): mean_over(np.random.default_rng(k).random(200)) for k in range(20)}
    began = time.process_time()
    intervals(figures, 1000)
    assert time.process_time() - began < 1.0
