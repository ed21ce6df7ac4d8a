"""Many files at once: which are taken, where their results go, and what happens to the bad ones."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.errors import UserError, VideoError
from ta2net.cli import main
from ta2net.hits.saved import SCORES, read_scores
from ta2net.hits.scoring import Scores
from ta2net.media.inputs import folders_of, videos_of
from ta2net.params import PeaksParams
from ta2net.prediction.file2hits import Prediction, Scores2Hits
from ta2net.prediction.many import CANDIDATES, HITS, predict_files


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Empty files with and without the look of a video, some deeper down."""
    for name in ("b.mp4", "a.MOV", "notes.txt", ".hidden.mp4", "sub/c.mkv", "sub/deep/b.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_folders_and_patterns(folder):
    def names(*inputs: str) -> list[str]:
        return [path.as_posix() for path in videos_of(inputs)]

    assert names("b.mp4", "notes.txt") == ["b.mp4", "notes.txt"]
    assert names(".") == ["a.MOV", "b.mp4", "sub/c.mkv", "sub/deep/b.avi"]
    assert names("*.*") == ["a.MOV", "b.mp4"]
    assert names("**/*.*", "b.mp4") == ["a.MOV", "b.mp4", "sub/c.mkv", "sub/deep/b.avi"]
    assert names(str(folder / "sub" / "*.mkv")) == [(folder / "sub/c.mkv").as_posix()]


def test_all_wrong_inputs_are_told_at_once(folder):
    (folder / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        videos_of(["b.mp4", "empty", "none.mp4", "*.webm"])
    assert caught.value.message.splitlines() == [
        "nothing to work on:",
        "  empty: no video in this folder",
        "  none.mp4: no such file, folder or pattern",
        "  *.webm: no such file, folder or pattern",
    ]


def test_names_that_are_shared_are_told_apart(folder):
    paths = [folder / "b.mp4", folder / "sub" / "c.mkv", folder / "sub" / "deep" / "b.avi"]
    folders = list(folders_of(paths, Path("out")).values())
    assert folders[1] == Path("out/c")
    assert folders[0] != folders[2]
    assert all(f.name.startswith("b-") and len(f.name) == 10 for f in (folders[0], folders[2]))
    assert list(folders_of(paths, Path("out")).values()) == folders


class Network:
    """Stands for a predictor: scores with peaks at frames 3 and 7; fails on files called bad."""

    def __init__(self):
        self.decide = Scores2Hits(0.5, PeaksParams(smoothing_frames=0.0))
        self.seen = []
        self.notes = ()

    def __call__(self, path, **_):
        self.seen.append(path.name)
        if path.stem == "bad":
            raise VideoError(f"{path}: not a video")
        if path.stem == "bug":
            raise ZeroDivisionError("oh")
        probability = np.zeros(10)
        probability[[3, 7]] = [0.9, 0.2]
        scores = Scores(probability, np.full((10, 2, 2), 0.5, np.float32))

        class Info:
            times_s = np.arange(10) / 25

        return Prediction(path.stem, Info, self.decide(path.stem, scores, Info.times_s), scores, 0.5)


def test_bad_files_are_told_and_the_rest_go_on(tmp_path):
    paths = [tmp_path / name for name in ("bad.mp4", "one.mp4", "bug.mp4", "two.mp4")]
    delivered = []
    outcomes = list(
        predict_files(Network(), paths, tmp_path / "out", deliver=lambda p, f: delivered.append((p.name, f)))
    )
    assert [outcome.hits for outcome in outcomes] == [None, 1, None, 1]
    assert outcomes[0].failure.endswith("bad.mp4: not a video")
    assert [outcome.fault for outcome in outcomes] == [False, False, True, False]
    log = tmp_path / "out" / "bug" / "error.log"
    assert outcomes[2].failure == (
        f"{paths[2]}: internal error (ZeroDivisionError: oh); please report it with {log}"
    )
    assert "Traceback" in log.read_text()
    assert 'raise ZeroDivisionError("oh")' in log.read_text()
    assert [name for name, _ in delivered] == ["one", "two"]
    made = tmp_path / "out" / "one"
    assert [line.split(",")[:3] for line in (made / HITS).read_text().splitlines()[1:]] == [
        ["one", "3", "0.12"]
    ]
    assert [line.split(",")[1] for line in (made / CANDIDATES).read_text().splitlines()[1:]] == ["3", "7"]
    assert read_scores(made / SCORES)["one"].probability[7] == 0.2
    assert not (tmp_path / "out" / "bad").exists()


@pytest.mark.parametrize(
    ("names", "code"),
    [(("one", "two"), 0), (("one", "bad"), 2), (("one", "bug"), 1), (("bad", "bug", "one"), 1)],
)
def test_the_exit_code_says_whose_fault_it_is(tmp_path, monkeypatch, names, code):
    monkeypatch.setattr("ta2net.prediction.many.File2Hits", lambda *_, **__: Network())
    for name in names:
        (tmp_path / f"{name}.mp4").touch()
    videos = [str(tmp_path / f"{name}.mp4") for name in names]
    done = CliRunner().invoke(main, ["predict", *videos, "--out", str(tmp_path / "out")])
    assert done.exit_code == code, done.output
    assert "one.mp4: 1 hits" in done.output
    assert "Traceback" not in done.output
    assert ("bad.mp4: not a video" in done.output) == ("bad" in names)
    assert (f"please report it with {tmp_path / 'out' / 'bug' / 'error.log'}" in done.output) == (
        "bug" in names
    )


def test_what_the_machine_refuses_is_no_fault_of_the_program(tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    (outcome,) = predict_files(Network(), [tmp_path / "one.mp4"], tmp_path / "out", deliver=full)
    assert not outcome.fault
    assert "No space left on device; fix that" in outcome.failure


def test_a_fault_that_leaves_no_room_for_its_log_is_told_whole(tmp_path):
    (tmp_path / "out").write_text("a file where the folder would be")
    (outcome,) = predict_files(Network(), [tmp_path / "bug.mp4"], tmp_path / "out", deliver=print)
    assert outcome.fault
    assert "cannot be written" in outcome.failure
    assert 'raise ZeroDivisionError("oh")' in outcome.failure


def test_a_log_goes_when_its_video_is_done(tmp_path):
    log = tmp_path / "out" / "one" / "error.log"
    log.parent.mkdir(parents=True)
    log.touch()
    list(predict_files(Network(), [tmp_path / "one.mp4"], tmp_path / "out", deliver=lambda *_: None))
    assert not log.exists()


def test_complete_folders_are_left_and_incomplete_ones_made_again(tmp_path):
    network, out = Network(), tmp_path / "out"
    paths = [tmp_path / "one.mp4", tmp_path / "two.mp4"]

    def fail_on_two(prediction, _):
        if prediction.name == "two":
            raise UserError("disk full")

    first = list(predict_files(network, paths, out, deliver=fail_on_two))
    assert [outcome.failure for outcome in first] == [None, "disk full"]
    again = list(predict_files(network, paths, out, deliver=lambda *_: None, skip_existing=True))
    assert [outcome.hits for outcome in again] == [None, 1]
    assert network.seen == ["one.mp4", "two.mp4", "two.mp4"]


def test_a_folder_that_is_made_anew_is_not_complete_before_its_end(tmp_path):
    """An old hits.csv beside new scores would let a stopped run pass for a finished one."""
    network, out = Network(), tmp_path / "out"
    list(predict_files(network, [tmp_path / "one.mp4"], out, deliver=lambda *_: None))
    assert (out / "one" / HITS).is_file()

    def fail(*_):
        raise UserError("disk full")

    list(predict_files(network, [tmp_path / "one.mp4"], out, deliver=fail))
    assert not (out / "one" / HITS).exists()
