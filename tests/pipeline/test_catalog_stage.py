"""The catalog stage as a user runs it: label files and videos in, catalog and report out."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from pipeline.catalog import read_catalog
from pipeline.errors import UserError
from stages.catalog import main

HEADER = "video_id,sound_label,class\n"


class Bench:
    """A folder with videos and label files, and the stage run on it."""

    def __init__(self, root: Path, films: Any) -> None:
        self.root = root
        self.films = films
        (root / "videos").mkdir()

    def video(self, name: str, n_frames: int = 20, **options: Any) -> Path:
        path: Path = self.films.write_video(self.root / "videos" / name, n_frames=n_frames, **options)
        return path

    def labels(self, part: str, *lines: str) -> None:
        (self.root / f"{part}.csv").write_text(HEADER + "".join(f"{line}\n" for line in lines))

    def run(self, **source: Any) -> Result:
        settings = {
            "name": "csv",
            "videos": str(self.root / "videos"),
            "catalog": str(self.root / "out" / "catalog.jsonl"),
            "report": str(self.root / "out" / "report.json"),
        }
        for part in ("train", "eval"):
            file = self.root / f"{part}.csv"
            settings[f"{part}_labels"] = str(file) if file.exists() else None
        params = {"source": {**settings, **source}, "impacts": {"dir": str(self.root)}}
        with (self.root / "params.yaml").open("w") as handle:
            YAML().dump(params, handle)
        return CliRunner().invoke(main, ["--params", str(self.root / "params.yaml")])

    def rows(self) -> dict[str, Any]:
        return {row.row_id: row for row in read_catalog(self.root / "out" / "catalog.jsonl")}

    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.root / "out" / "report.json").read_text())
        return document


@pytest.fixture
def bench(tmp_path: Path, films: Any) -> Bench:
    return Bench(tmp_path, films)


def test_a_good_data_set(bench: Bench) -> None:
    bench.video("hammer/a.mp4", rate=30)
    bench.video("b.avi", codec="mpeg4")
    bench.labels("train", 'a,"3,9",hammer', 'a,"12",hammer')
    bench.labels("eval", "b,,drum")
    result = bench.run(val_fraction=0.5, annotated_frames=10)
    assert result.exit_code == 0, result.output
    rows = bench.rows()
    assert list(rows) == ["a", "a~2", "b"]
    assert [row.split for row in rows.values()] == ["train", "train", "eval"], "one group alone has no val"
    assert (rows["a"].labels, rows["a~2"].labels, rows["b"].labels) == ((3, 9), (12,), ())
    assert [row.annotated for row in rows.values()] == [((0, 10),), ((0, 13),), ((0, 10),)]
    assert (rows["a"].fps, rows["a"].n_frames, rows["a"].group) == (Fraction(30), 20, "a")
    assert rows["a"].label_positions_px is None
    assert Path(rows["a"].path).is_file()
    assert len(rows["a"].sha256) == 64
    report = bench.report()
    assert (report["splits"]["train"]["rows"], report["splits"]["eval"]["rows"]) == (2, 1)
    assert report["splits"]["train"]["labels"] == 3
    [doubt] = report["doubtful"]
    assert (doubt["line"], doubt["video_id"]) == (3, "a")
    assert "the same video as" in doubt["message"]
    assert "3 rows (train 2, val 0, eval 1) from 3 label rows" in result.output


def test_running_again_changes_nothing(bench: Bench) -> None:
    for name in "abcdef":
        bench.video(f"{name}.mp4", n_frames=6 + ord(name) - ord("a"))
    lines = [f"{name},2,x" for name in "abcdef"]
    bench.labels("train", *lines)
    bench.run()
    first = (bench.root / "out" / "catalog.jsonl").read_bytes()
    bench.labels("train", *lines[::-1])
    bench.run()
    assert (bench.root / "out" / "catalog.jsonl").read_bytes() == first
    assert {row.split for row in bench.rows().values()} == {"train", "val"}


def test_bad_rows_and_videos_do_not_stop_the_others(bench: Bench) -> None:
    bench.video("good.mp4")
    bench.video("short.mp4", n_frames=4)
    whole = bench.video("whole.mp4").read_bytes()
    videos = bench.root / "videos"
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("no film " * 1000)
    (videos / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    bench.labels(
        "train",
        *(f"{name},3,x" for name in ("empty", "good", "text", "missing", "short", "cut", "../good")),
        "whole,99,x",
        "good,-3,x",
    )
    result = bench.run()
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert "8 label rows cannot be used (source.allow_refused is 0)" in result.output
    assert str(bench.root / "out" / "report.json") in result.output
    assert list(bench.rows()) == ["good"]
    refused = {(one["line"], one["video_id"]): one["message"] for one in bench.report()["refused"]}
    expected = {
        (2, "empty"): "0 bytes",
        (4, "text"): "FFmpeg cannot read it",
        (5, "missing"): "no video file of that name",
        (6, "short"): "4 frames; at least 5 are needed",
        (7, "cut"): "FFmpeg cannot read it",
        (8, "../good"): "invalid video_id",
        (9, "whole"): "all labels lie after them (from 99)",
        (10, "good"): "'-3': not a frame number",
    }
    assert refused.keys() == expected.keys()
    for key, message in expected.items():
        assert message in refused[key]


@pytest.mark.parametrize(("allowed", "code"), [(0, 2), (11, 2), (12, 0), ("any", 0)])
def test_allow_refused(bench: Bench, allowed: int | str, code: int) -> None:
    bench.video("good.mp4")
    bench.labels("train", "good,3,x", *(f"missing{number},3,x" for number in range(12)))
    result = bench.run(allow_refused=allowed)
    assert result.exit_code == code
    assert ("... and 2 more" in result.output) == (code == 2)
    assert list(bench.rows()) == ["good"]


def test_nothing_usable_is_an_error_even_if_any_refusal_is_allowed(bench: Bench) -> None:
    bench.labels("train", "missing,3,x")
    result = bench.run(allow_refused="any")
    assert result.exit_code == 2
    assert "no label row can be used (1 refused)" in result.output


def test_labels_behind_the_end_are_dropped_and_told(bench: Bench) -> None:
    bench.video("a.mp4")
    bench.labels("eval", 'a,"3,19,20,31",x')
    assert bench.run().exit_code == 0
    assert bench.rows()["a"].labels == (3, 19)
    [repair] = bench.report()["repaired"]
    assert repair["message"] == "labels after the last frame (19) dropped: 20, 31"


def test_annotated_spans_are_cut_and_labels_outside_dropped(bench: Bench) -> None:
    """A row with spans of its own keeps to them; the others to ``source.annotated_frames``."""
    for name in "abcd":
        bench.video(f"{name}.mp4")
    (bench.root / "train.csv").write_text(
        "video_id,sound_label,class,annotated\n"
        'a,"3,7,16,25",x,0-4 15-99\n'
        'b,"3,7",x,\n'
        'c,"3,7",x,5-8\n'
        "d,3,x,20-30\n"
    )
    result = bench.run(annotated_frames=5, allow_refused=1)
    assert result.exit_code == 0, result.output
    rows = bench.rows()
    assert {name: (row.labels, row.annotated) for name, row in rows.items()} == {
        "a": ((3, 16), ((0, 5), (15, 20))),
        "b": ((3, 7), ((0, 8),)),
        "c": ((7,), ((5, 9),)),
    }
    report = bench.report()
    assert [(one["line"], one["message"]) for one in report["repaired"]] == [
        (2, "labels after the last frame (19) dropped: 25"),
        (2, "annotated spans cut at the last frame (19): 0-4 15-19"),
        (2, "labels outside the annotated spans (0-4 15-19) dropped: 7"),
        (4, "labels outside the annotated spans (5-8) dropped: 3"),
    ]
    [refused] = report["refused"]
    assert refused["line"] == 5
    assert "20 frames and all annotated spans lie after them (20-30)" in refused["message"]


def test_a_catalog_of_an_earlier_version_asks_for_the_stage(bench: Bench) -> None:
    bench.video("a.mp4")
    bench.labels("train", "a,3,x")
    assert bench.run().exit_code == 0
    file = bench.root / "out" / "catalog.jsonl"
    row = json.loads(file.read_text())
    labels, positions = row.pop("labels"), row.pop("label_positions_px")
    [(_, stop)] = row.pop("annotated")
    file.write_text(
        json.dumps({**row, "hits": labels, "hit_positions_px": positions, "annotated_until": stop})
    )
    with pytest.raises(UserError, match=r"line 1: .*earlier version.* run the catalog stage again"):
        read_catalog(file)


def test_a_folder_name_that_is_no_text_is_refused(bench: Bench) -> None:
    path = bench.video("a.mp4")
    folder = bench.root / "videos" / "caf\udce9"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system allows UTF-8 names only")
    path.rename(folder / "a.mp4")
    bench.labels("eval", "a,3,x")
    result = bench.run()
    assert result.exit_code == 2
    assert "not valid text; rename it" in bench.report()["refused"][0]["message"]


def test_five_frames_are_enough(bench: Bench) -> None:
    bench.video("a.mp4", n_frames=5)
    bench.labels("eval", "a,4,x")
    assert bench.run().exit_code == 0


def test_groups_of_ucf101(bench: Bench) -> None:
    for number, name in enumerate(("v_Drum_g01_c01", "v_Drum_g01_c02", "v_Drum_g02_c01", "v_Drum_g03_c01")):
        bench.video(f"ucf50/{name}.avi", codec="mpeg4", n_frames=8 + number)
    bench.labels("train", "v_Drum_g01_c01,3,drum", "v_Drum_g02_c01,3,drum")
    bench.labels("eval", "v_Drum_g01_c02,3,Drum", "v_Drum_g03_c01,3,Drum")
    assert bench.run(val_fraction=0.0).exit_code == 0
    assert len(bench.rows()) == 4
    assert bench.report()["groups_in_both_train_and_eval"] == 1
    result = bench.run(group_disjoint=True, val_fraction=0.0)
    assert result.exit_code == 0
    assert "v_Drum_g01_c02" not in bench.rows()
    assert bench.report()["shared_groups"] == ["v_Drum_g01"]
    [left] = bench.report()["left_out"]
    assert (left["video_id"], left["line"]) == ("v_Drum_g01_c02", 2)


def test_positions_of_the_embedded_data_set(bench: Bench) -> None:
    bench.video("a.mp4")
    bench.video("b.mp4", n_frames=21)
    bench.labels("train", 'a,"3,9,50",x', 'b,"3,4",x')
    (bench.root / "contacts.csv").write_text(
        "video_id,frame,time_s,x_px,y_px,impulse,material\n"
        "a,3,0.12,10.5,20.25,1,wood\na,9,0.36,11,21,1,wood\nb,3,0.12,1,2,1,wood\n"
    )
    assert bench.run(name="impacts").exit_code == 0
    rows = bench.rows()
    assert rows["a"].source == "impacts"
    assert rows["a"].label_positions_px == ((10.5, 20.25), (11.0, 21.0))
    assert rows["b"].label_positions_px is None
    [doubt] = bench.report()["doubtful"]
    assert "no contact at frames 4" in doubt["message"]


def test_notes_on_videos_reach_the_report(bench: Bench, films: Any) -> None:
    gop = {"x264-params": "keyint=12:scenecut=0:log-level=none"}
    whole = films.write_video(bench.root / "whole.mp4", options=gop)
    films.copy_stream(whole, bench.root / "videos" / "a.mp4", shift=-5 * 512)
    bench.labels("eval", "a,3,x")
    assert bench.run().exit_code == 0
    assert bench.rows()["a"].n_frames == 35
    assert "hidden by the container's edit list" in bench.report()["noted"][0]["message"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"videos": "nowhere"}, "nowhere: no such folder"),
        ({"train_labels": "nowhere.csv"}, "nowhere.csv: no such annotation file"),
        ({"train_labels": None}, "both empty"),
        ({"name": "impacts"}, "contacts.csv: no such file"),
        ({"name": "else"}, "source.name"),
        ({"surprise": 1}, "source.surprise: unknown key"),
    ],
)
def test_what_is_wrong_as_a_whole(bench: Bench, source: dict[str, Any], message: str) -> None:
    bench.video("a.mp4")
    bench.labels("train", "a,3,x")
    result = bench.run(**source)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_real_labelled_clips(bench: Bench, shared: Path) -> None:
    folder = shared / "clips" / "labelled"
    result = bench.run(videos=str(folder), eval_labels=str(folder / "labels.csv"))
    assert result.exit_code == 0, result.output
    rows = bench.rows()
    assert rows["v_SoccerJuggling_g23_c01"].group == "v_SoccerJuggling_g23"
    assert rows["v_SoccerJuggling_g23_c01"].labels[-1] == 238
    assert rows["v_BoxingPunchingBag_g05_c01"].n_frames == 296
    assert bench.report()["counts"]["refused"] == 0
