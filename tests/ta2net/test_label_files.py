"""Hits of any program against labels, from two CSV files: figures, errors, and the command."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.errors import UserError
from ta2net.cli import main
from ta2net.evaluation.label_files import compare_files, evaluate_files
from ta2net.evaluation.summary import read_metrics, summary

HEADER = "video_id,sound_label,class\n"
LABELS = HEADER + 'a,"12,31,32,53",Drumming\nb,"20",drumming\nc,,typing\n'
HITS = HEADER + 'b,22,x\na,"13,32,60",x\n'
FRAMES, FPS = 100, Fraction(30000, 1001)


@pytest.fixture
def files(tmp_path):
    def write(hits=HITS, labels=LABELS):
        paths = tmp_path / "hits.csv", tmp_path / "labels.csv"
        for path, text in zip(paths, (hits, labels), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    return write


def run(hits, labels, *more):
    return CliRunner().invoke(
        main, ["evaluate", "--hits", str(hits), "--labels", str(labels), *map(str, more)]
    )


def test_figures_by_hand(files, capsys):
    """Labelled events 12, 31 (of 31 and 32), 53 and 20; found 13, 32, 60 and 22; c is silent in both."""
    metrics = evaluate_files(*files(), FRAMES, FPS)
    assert metrics["event"]["labelled"] == metrics["event"]["predicted"] == 4
    assert [metrics["event"][f"f1_at_{k}"] for k in range(4)] == [0.0, 0.5, 0.75, 0.75]
    assert metrics["event"]["f1_50ms"] == 0.5
    assert metrics["event"]["bias_ms"] == pytest.approx((1 + 1 + 2) / 3 * 1001 / 30)
    assert {metrics["event"][f"map_at_{k}"] for k in (0, 1, 2, 4)} == {None}
    assert metrics["paper"]["f1"] == pytest.approx((4 / 7 + 1 + 1) / 3)
    assert metrics["reference_code"]["f1"] == pytest.approx((2 * 3 / 4 * 2 / 3 / (3 / 4 + 2 / 3) + 1) / 3)
    assert metrics["per_class"]["drumming"]["videos"] == 2
    assert metrics["per_class"]["typing"]["labelled"] == 0
    assert metrics["data"] == {"rows": 3, "frames": 300, "labels": 5}
    assert metrics["counting"] == {"mae": 0.0, "obo": 1.0, "videos": 3}
    assert not {"thresholds", "untrained", "paper_frames", "where"} & set(metrics)
    assert "1 of 3 labelled videos are not in it" in capsys.readouterr().err


def test_labels_against_themselves_are_perfect(files):
    metrics = evaluate_files(*files(LABELS, LABELS), FRAMES, FPS)
    assert {metrics["event"][f"f1_at_{k}"] for k in range(4)} == {1.0}
    assert (metrics["paper"]["f1"], metrics["event"]["f1_50ms"]) == (1.0, 1.0)


def test_frames_become_times(files):
    video = compare_files(*files(), FRAMES, FPS).videos[0]
    np.testing.assert_allclose(video.time_s, np.arange(60 + 1) * 1001 / 30000, rtol=1e-15)  # to the last hit


def test_the_command_writes_what_summary_reads(files, tmp_path):
    out = tmp_path / "new" / "metrics.json"
    result = run(*files(), "--frames", FRAMES, "--fps", "30000/1001", "--out", out)
    assert result.exit_code == 0
    metrics = read_metrics(out)
    assert metrics == json.loads(json.dumps(evaluate_files(*files(), FRAMES, FPS)))
    assert summary(metrics) in result.output
    table = CliRunner().invoke(main, ["summary", str(out)])
    assert table.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in table.output.splitlines() if line.strip()}
    assert lines["hits"] == []
    assert lines["event.f1_at_2"] == ["0.750"]
    assert "event.map_at_2" not in lines
    assert lines["3"] == ["rows,", "5", "labelled", "of", "300", "frames"]


def test_cells_beyond_the_header_are_noted(files):
    hits, labels = files(HITS, LABELS.replace('"20",drumming', '"20",drumming,,see'))
    notes = compare_files(hits, labels, FRAMES, FPS).notes
    assert f"{labels}, line 3 (b): cells beyond the header ignored: see" in notes


SPANNED = (
    "video_id,sound_label,class,annotated\n"
    'a,"12,31,32,53",Drumming,0-20 31-40\n'
    "b,20,drumming,\n"
    "c,,typing,0-9\n"
)


def test_hits_on_frames_nobody_annotated_are_left_out(files):
    """Of a: labels 12, 31, 32 and hits 13, 32 stay; 41, right beside a label's span, is neither right nor
    wrong. Of c nothing is left of a hit at 60, and the one at 5 is false. The hits' own spans count nothing.
    """
    hits = HITS.replace('"13,32,60"', '"13,32,41,60"') + 'c,"5,60",x\n'
    found = compare_files(*files(hits, SPANNED), FRAMES, FPS)
    assert [video.predicted.tolist() for video in found.videos] == [[13, 32], [22], [5]]
    assert [video.labelled.tolist() for video in found.videos] == [[12, 31, 32], [20], []]
    assert any(
        "labels.csv, line 2 (a): 1 frames outside the annotated spans left out" in n for n in found.notes
    )
    metrics = evaluate_files(*files(hits, SPANNED), FRAMES, FPS)
    assert (metrics["event"]["predicted"], metrics["event"]["labelled"]) == (4, 3)
    assert metrics["event"]["precision_at_2"] == 0.75
    assert metrics["event"]["recall_at_2"] == 1.0
    assert metrics["data"]["labels"] == 4
    own = HITS.replace("class", "class,annotated").replace('60",x', '60",x,0-0')
    swapped = compare_files(*files(own, LABELS), FRAMES, FPS)
    assert swapped.videos[0].predicted.tolist() == [13, 32, 60]


def test_spans_that_go_past_the_end_are_cut(files):
    labels = SPANNED.replace("31-40", "15-35 31-400")
    notes = compare_files(*files(HITS, labels), FRAMES, FPS).notes
    where = "labels.csv, line 2 (a): "
    told = [note.partition(where)[2] for note in notes if where in note]
    assert "overlapping annotated spans merged: 0-400" in told
    assert f"annotated spans cut at the last frame ({FRAMES - 1}): 0-{FRAMES - 1}" in told


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("200-150", "labels.csv, line 2 (a): annotated holds '200-150': the span ends before it begins"),
        ("all", "labels.csv, line 2 (a): annotated holds 'all': not a span of frames"),
        ("100-120", "line 2 (a): a video of 100 frames ends before all annotated spans (100-120)"),
    ],
)
def test_spans_that_are_none_are_told_with_file_and_line(files, cell, words):
    result = run(*files(HITS, SPANNED.replace("0-20 31-40", cell)), "--frames", FRAMES, "--fps", 25)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_excluded_videos_are_left_out(files):
    labels = LABELS + "d,-1,typing\n"
    found = compare_files(*files(HITS + "d,5,x\n", labels), FRAMES, FPS)
    assert len(found.videos) == 3
    assert any("1 videos left out, excluded" in note for note in found.notes)
    with pytest.raises(UserError, match="d with -1 or -2"):
        compare_files(*files(HITS + "d,-1,x\n", labels), FRAMES, FPS)


def test_what_is_put_in_order_is_said(files):
    hits, labels = files(HITS.replace('"13,32,60"', '"60,13,32,13"'))
    notes = compare_files(hits, labels, FRAMES, FPS).notes
    assert f"{hits}, line 3 (a): labels sorted" in notes
    assert f"{hits}, line 3 (a): repeated label removed: 13" in notes


@pytest.mark.parametrize(
    ("hits", "labels", "words"),
    [
        (HITS + "a,5,x\n", LABELS, ["hits.csv, line 4 (a)", "already on line 3"]),
        (HITS, LABELS + "b,5,x\n", ["labels.csv, line 5 (b)", "already on line 3"]),
        (HITS, LABELS + "b,-1,x\n", ["labels.csv, line 5 (b)", "already on line 3"]),
        (HITS + "z,5,x\ny,,x\n", LABELS, ["hits.csv: 2 videos are not in", "z, y"]),
        (HITS.replace("60", "100"), LABELS, ["hits.csv, line 3 (a)", "frame 100", "ends at frame 99"]),
        (HITS, LABELS.replace("53", "5300"), ["labels.csv, line 2 (a)", "frame 5300"]),
        (HITS.replace("22", "22.5"), LABELS, ["hits.csv, line 2 (b)", "'22.5': not a frame number"]),
        (HITS.replace("22", "-3"), LABELS, ["hits.csv, line 2 (b)", "'-3': not a frame number"]),
        (HITS.replace('"', ""), LABELS, ["hits.csv, line 3 (a)", "double quotes"]),
        (HITS + "c\n", LABELS, ["hits.csv, line 4 (c)", "no cell for sound_label, class"]),
        (HITS.replace("video_id", "id"), LABELS, ["hits.csv", "header lacks video_id"]),
        ("a,5,x\n", LABELS, ["hits.csv", "header lacks"]),
        ("", LABELS, ["hits.csv", "empty"]),
        (HITS, HEADER, ["labels.csv", "no labelled video"]),
        (HITS + "../a,5,x\n", LABELS, ["hits.csv, line 4", "invalid video_id"]),
    ],
)
def test_mistakes_are_told_with_file_and_line(files, hits, labels, words):
    result = run(*files(hits, labels), "--frames", FRAMES, "--fps", 25)
    assert result.exit_code == 2
    assert all(word in result.output for word in words), result.output
    assert "Traceback" not in result.output


def test_many_mistakes_are_told_together(files):
    bad = HITS + "".join(f"v{k},x,c\n" for k in range(12))
    output = run(*files(bad), "--frames", FRAMES, "--fps", 25).output
    assert output.count("not a frame number") == 10
    assert "... and 2 more lines" in output


def test_the_published_labels_against_themselves(shared):
    """All 126 videos, runs, strays and all."""
    file = shared / "annotations" / "audible623_eval.csv"
    metrics = evaluate_files(file, file, 4000, Fraction(25))
    assert metrics["data"]["rows"] == 126
    assert metrics["data"]["labels"] > metrics["event"]["labelled"]
    assert {metrics["event"][f"f1_at_{k}"] for k in range(4)} == {1.0}
    videos = compare_files(file, file, 4000, Fraction(25)).videos
    silent = sum(len(video.labelled) == 0 for video in videos)
    assert metrics["reference_code"]["f1"] == pytest.approx(1 - silent / 126)


def test_a_missing_file_is_told(files, tmp_path):
    _, labels = files()
    result = run(tmp_path / "none.csv", labels, "--frames", FRAMES, "--fps", 25)
    assert result.exit_code == 2
    assert "none.csv: no such" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--hits h", "--hits also needs --labels"),
        ("--hits h --labels l --fps 25", "also needs --frames"),
        ("--hits h --labels l --videos v --fps 25 --frames 9", "do not go together"),
        ("--videos v", "--videos also needs --hits, --labels"),
        ("--labels l --fps 25", "also needs --frames, --hits"),
        ("--hits h --labels l --frames 9 --fps 25 --checkpoint c", "do not go together"),
        ("--hits h --labels l --frames 9 --fps 25 --params p.yaml", "do not go together"),
        ("--hits h --labels l --frames 9 --fps 25 --threshold 0.5", "do not go together"),
        ("--scores s --hits h", "do not go together"),
        ("--scores s --checkpoint c", "do not go together"),
        ("--threshold 0.5", "--threshold needs --scores"),
        ("--out o.json", "--out needs --scores"),
        ("--checkpoint c --out o.json", "do not go together"),
        ("--scores s --threshold 1.5", "0<=x<=1"),
        ("--scores s --threshold nan", "0<=x<=1"),
        ("--hits h --labels l --frames 0 --fps 25", "x>=1"),
        *(
            (f"--hits h --labels l --frames 9 --fps {rate}", "not a frame rate")
            for rate in ("0", "x", "1/0", "nan")
        ),
    ],
)
def test_options_that_contradict(options, words):
    result = CliRunner().invoke(main, ["evaluate", *options.split()])
    assert result.exit_code == 2
    # click breaks and frames long messages; single words survive
    assert all(word in result.output for word in words.split()), result.output
