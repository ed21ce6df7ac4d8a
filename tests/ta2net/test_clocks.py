"""Hits of videos with different rates: each is judged by its own times, wherever they are said."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.errors import UserError
from ta2net.cli import main
from ta2net.evaluation.clocks import clocks_of, frame_rate
from ta2net.evaluation.label_files import compare_files, evaluate_files

HEADER = "video_id,sound_label,class\n"
LABELS = HEADER + 'slow,"10,20",x\nfast,"10,30",x\n'
HITS = HEADER + 'slow,"11,20",x\nfast,"13,30",x\n'
"""One hit a frame late at 15 per second (67 ms), one 3 frames late at 60 (50 ms)."""
VIDEOS = "video_id,fps,frames\nfast,60,40\nslow,15,30\nother,x,y\n"


@pytest.fixture
def files(tmp_path):
    def write(labels=LABELS, hits=HITS, videos=VIDEOS):
        paths = [tmp_path / name for name in ("hits.csv", "labels.csv", "videos.csv")]
        for path, text in zip(paths, (hits, labels, videos), strict=True):
            path.write_text(text)
        return tuple(map(str, paths))

    return write


def test_each_video_has_its_own_rate(files):
    """Of 4 hits all but the slow one are within 50 ms; errors 1/15 s (3 frames off is no match within 2)."""
    hits, labels, videos = files()
    metrics = evaluate_files(hits, labels, videos=[videos])
    assert metrics["event"]["f1_50ms"] == 0.75
    assert metrics["event"]["f1_80ms"] == 1.0
    assert metrics["event"]["bias_ms"] == pytest.approx(1000 / 15 / 3)
    assert metrics["data"]["frames"] == 40 + 30
    # one rate for both gets the one or the other wrong
    assert [evaluate_files(hits, labels, 40, Fraction(rate))["event"]["f1_50ms"] for rate in (60, 15)] == [
        1,
        0.5,
    ]


def test_the_label_file_may_say_it(files):
    hits, labels, videos = files()
    expected = evaluate_files(hits, labels, videos=[videos])
    with_columns = 'video_id,Frames,sound_label,class,fps\nslow,30,"10,20",x,15\nfast,40,"10,30",x,60\n'
    hits, labels, videos = files(labels=with_columns)
    assert evaluate_files(hits, labels) == expected
    assert evaluate_files(hits, labels, videos=[videos]) == expected  # twice the same is no contradiction


def test_files_are_judged_by_their_presentation_times(films, tmp_path, files):
    """Frame 10 of the one is shown 40 ms after frame 9; of the other, whose rate varies, 1 s after it."""
    folder = tmp_path / "videos"
    films.write_video(folder / "deep" / "even.mkv", n_frames=20)
    pts = [40 * t + 960 * (t >= 10) for t in range(20)]
    films.write_video(folder / "varied.mkv", n_frames=20, pts=pts, time_base=Fraction(1, 1000))
    (folder / "broken.mp4").write_text("nobody labelled it, so nobody reads it")
    text = HEADER + "even,9,x\nvaried,9,x\n"
    hits, labels, _ = files(labels=text, hits=text.replace("9", "10"))
    even, varied = compare_files(hits, labels, videos=[str(folder)]).videos
    assert float(np.diff(even.time_s[9:11])[0]) == pytest.approx(0.04)
    assert float(np.diff(varied.time_s[9:11])[0]) == pytest.approx(1.0)
    event = evaluate_files(hits, labels, videos=[str(folder)])["event"]
    assert (event["f1_50ms"], event["f1_at_1"]) == (0.5, 1.0)
    assert event["bias_ms"] == pytest.approx(520)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"videos": "video_id,fps,frames\nother,25,9\n"},
            ["2 of 2", "slow: its frame rate", "fast: its frame rate"],
        ),
        (
            {"videos": VIDEOS.replace("60", "0").replace("30", "-3")},
            ["2 lines", "line 2 (fast): '0' is no", "'-3' is no"],
        ),
        ({"videos": VIDEOS + "slow,15,30\n"}, ["line 5 (slow): stands at", "line 3 already"]),
        ({"videos": "video_id,fps\nslow,25\n"}, ["lacks frames"]),
        (
            {"videos": VIDEOS.replace("40", "30").replace("15,30", "15,20")},
            ["frame 20", "frame 30", "by ", "line 2"],
        ),
        (
            {"labels": 'video_id,sound_label,class,fps,frames\nslow,"10",x,25,30\nfast,"10",x,59.94,41\n'},
            [
                "2 of 2",
                "slow: 30 frames at 15 (",
                "but 30 frames at 25 (",
                "fast: 40 frames at 60",
                "but 41 frames",
            ],
        ),
    ],
)
def test_all_that_is_missing_or_contradicts_is_one_message(files, change, words):
    hits, labels, videos = files(**change)
    done = CliRunner().invoke(main, ["evaluate", "--hits", hits, "--labels", labels, "--videos", videos])
    assert done.exit_code == 2
    assert all(word in done.output for word in words), done.output
    assert "Traceback" not in done.output


def test_files_that_cannot_be_used_are_told_together(films, tmp_path, files):
    for name in ("a/slow.mkv", "b/slow.mp4"):
        films.write_video(tmp_path / "v" / name, n_frames=5)
    (tmp_path / "v" / "fast.mp4").write_text("no video")
    hits, labels, _ = files()
    with pytest.raises(UserError) as caught:
        compare_files(hits, labels, videos=[str(tmp_path / "v")])
    assert caught.value.message.startswith("2 videos cannot be used:")
    assert "slow: several files" in caught.value.message
    assert "fast.mp4" in caught.value.message


def test_a_files_length_counts_against_the_columns(films, tmp_path, files):
    films.write_video(tmp_path / "slow.mkv", n_frames=25)
    _, labels, _ = files(labels='video_id,sound_label,class,fps,frames\nslow,"10",x,25,26\n')
    with pytest.raises(
        UserError, match=r"slow: 25 frames at 25 \(.*slow\.mkv\), but 26 frames at 25 \(.*line 2"
    ):
        clocks_of(labels, ["slow"], videos=[str(tmp_path / "slow.mkv")])


def test_nothing_said_is_told_with_the_ways_to_say_it(files):
    hits, labels, _ = files()
    done = CliRunner().invoke(main, ["evaluate", "--hits", hits, "--labels", labels])
    assert done.exit_code == 2
    assert all(word in done.output for word in ("--frames", "--fps", "--videos", "columns fps and frames"))


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1/0", "nan", "inf", "1e9999999999", "x", "25 fps", "1" * 500]
)
def test_what_is_no_rate(text):
    with pytest.raises(ValueError, match="is not a frame rate"):
        frame_rate(text)
    assert frame_rate("29.97") == Fraction(2997, 100)
    assert frame_rate("30000/1001") == Fraction(30000, 1001)


def test_a_length_that_cannot_be_costs_no_memory(files):
    hits, labels, videos = files(videos=VIDEOS.replace("40", "999999999"))
    assert [len(v.time_s) for v in compare_files(hits, labels, videos=[videos]).videos] == [21, 31]


@pytest.mark.slow
def test_this_works_without_torch(files):
    hits, labels, videos = files()
    arguments = ["evaluate", "--hits", hits, "--labels", labels, "--videos", videos]
    code = (
        "import sys; from ta2net.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
