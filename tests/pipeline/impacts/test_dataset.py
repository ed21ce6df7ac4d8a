"""Files: what a run leaves on the disk, what a second run keeps, and what is inside the videos."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.errors import ParamsError
from pipeline.impacts import dataset
from pipeline.impacts.compose import Wanted, compose
from pipeline.impacts.dataset import MARKER, Made, make_dataset
from pipeline.impacts.physics import Contact
from pipeline.impacts.sound import MATERIALS, SAMPLE_RATE, track
from pipeline.params import DataParams, ImpactsParams, parse_params

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "train_count": 3,
    "eval_count": 2,
    "duration_s": 1.2,
    "size": (64, 64),
    "difficulty": 0.3,
    "workers": 1,
}


def small(directory: Path, **changes: Any) -> ImpactsParams:
    return ImpactsParams(**{**SMALL, "dir": str(directory), **changes})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def snapshot(directory: Path) -> dict[str, bytes]:
    return {
        file.relative_to(directory).as_posix(): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def decoded(path: Path) -> tuple[list[float], Fraction, np.ndarray | None]:
    """Presentation times of the pictures (s), the rate, and the sound with its first sample at 0 s."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        rate = video.average_rate
        assert rate is not None
        times = [float(frame.time or 0.0) for frame in container.decode(video)]
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return times, rate, None
        pieces = []
        for number, frame in enumerate(container.decode(container.streams.audio[0])):
            if number == 0:
                pieces.append(np.zeros(round(float(frame.time or 0.0) * frame.sample_rate), np.float32))
            pieces.append(frame.to_ndarray()[0])
    return times, rate, np.concatenate(pieces)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("impacts")
    assert make_dataset(small(directory)) == Made(rendered=5, kept=0, removed=0)
    return directory


def test_label_files_are_audible623s(made: Path) -> None:
    lines = (made / "train.csv").read_text().splitlines()
    assert lines[0] == "video_id,sound_label,class"
    assert [row["video_id"] for row in table(made / "train.csv")] == [
        f"impacts_train_{index:04d}" for index in range(3)
    ]
    assert len(table(made / "eval.csv")) == 2
    several = [line for line in lines[1:] if len(line.split(",")) > 3]
    assert all('"' in line for line in several)


def test_labels_match_the_contacts(made: Path) -> None:
    contacts = table(made / "contacts.csv")
    for split in ("train", "eval"):
        for row in table(made / f"{split}.csv"):
            own = [contact for contact in contacts if contact["video_id"] == row["video_id"]]
            assert row["sound_label"] == ",".join(contact["frame"] for contact in own)
            _, fps, _ = decoded(made / "videos" / f"{row['video_id']}.mp4")
            for contact in own:
                assert int(contact["frame"]) == round(float(contact["time_s"]) * float(fps))
                assert 0 < float(contact["x_px"]) < 64
                assert 0 < float(contact["y_px"]) < 64


def test_videos_are_what_they_claim(made: Path) -> None:
    for row in table(made / "train.csv"):
        clip = compose(Wanted("train", int(row["video_id"][-4:]), 1.2, (64, 64), 0, 0.3, False))
        path = made / "videos" / f"{row['video_id']}.mp4"
        times, fps, _ = decoded(path)
        assert fps == clip.clock.fps
        assert len(times) == clip.clock.n_frames
        np.testing.assert_allclose(times, np.arange(len(times)) / float(fps), atol=1e-3)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec.canonical_name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.height, stream.width) == (64, 64)
            assert stream.frames == clip.clock.n_frames
            assert container.streams.audio[0].codec.canonical_name == "aac"


def test_sounds_set_in_at_the_contacts(made: Path) -> None:
    """Energy in 5 ms windows: hardly any just before a contact (compared to just after it)."""
    for row in table(made / "contacts.csv"):
        _, _, sound = decoded(made / "videos" / f"{row['video_id']}.mp4")
        assert sound is not None
        start = round(float(row["time_s"]) * SAMPLE_RATE)
        near = np.abs(sound[start - SAMPLE_RATE // 25 : start + SAMPLE_RATE // 25])
        loud = np.flatnonzero(near > 0.35 * near.max())
        onset_s = loud[0] / SAMPLE_RATE - 0.04
        assert abs(onset_s) < 0.02, (row, onset_s)


@pytest.mark.parametrize("material", MATERIALS)
def test_a_hit_starts_at_its_very_sample(material: str) -> None:
    clock = compose(Wanted("train", 1, 1.0, (64, 64), 0, 0.0, True)).clock
    sound = track((Contact(0.5, 0.0, 0.0, 300.0, material),), clock, seed=3)
    assert len(sound) == round(clock.duration_s * SAMPLE_RATE)
    audible = np.flatnonzero(np.abs(sound) > 1e-6)
    assert abs(audible[0] - SAMPLE_RATE // 2) <= 1
    assert np.abs(sound).max() <= 0.5
    # all but gone after half a second
    assert np.abs(sound[audible[0] + SAMPLE_RATE // 2 :]).max(initial=0.0) < 0.02


def test_silent_clips_have_no_sound_track(tmp_path: Path) -> None:
    make_dataset(small(tmp_path, train_count=1, eval_count=1, silent=True))
    assert decoded(tmp_path / "videos" / "impacts_train_0000.mp4")[2] is None


def test_a_second_run_keeps_everything(made: Path) -> None:
    before = snapshot(made)
    assert make_dataset(small(made)) == Made(rendered=0, kept=5, removed=0)
    assert snapshot(made) == before


def test_an_interrupted_run_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = small(tmp_path)
    make_dataset(params)
    whole = snapshot(tmp_path)
    videos = tmp_path / "videos"
    (videos / "impacts_train_0001.mp4").unlink()
    (videos / "impacts_eval_0000.mp4").write_bytes(b"half a file")
    (videos / ".impacts_train_0001.mp4.0123456789ab.tmp").write_bytes(b"left over")
    (tmp_path / "meta" / "impacts_train_0002.json").unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "write_clip", killed)
        with pytest.raises(KeyboardInterrupt):
            make_dataset(params)
    # no label file speaks of videos that are not there
    assert not list(tmp_path.glob("*.csv"))
    assert make_dataset(params) == Made(rendered=3, kept=2, removed=0)
    assert snapshot(tmp_path) == whole


def test_fewer_clips_are_the_same_clips(made: Path, tmp_path: Path) -> None:
    make_dataset(small(tmp_path))
    before = snapshot(tmp_path)
    (tmp_path / "videos" / "mine.mp4").write_bytes(b"not ours")
    assert make_dataset(small(tmp_path, train_count=1)).removed == 2
    names = {path.name for path in (tmp_path / "videos").iterdir()}
    assert names == {
        "impacts_train_0000.mp4",
        "impacts_eval_0000.mp4",
        "impacts_eval_0001.mp4",
        "mine.mp4",
    }
    assert before == snapshot(made)
    assert len(table(tmp_path / "train.csv")) == 1


def test_other_params_make_other_clips(tmp_path: Path) -> None:
    base = {"train_count": 1, "eval_count": 1}
    make_dataset(small(tmp_path, **base))
    for change in ({"seed": 1}, {"difficulty": 0.9}, {"duration_s": 1.3}, {"size": (64, 80)}):
        assert make_dataset(small(tmp_path, **base, **change)).rendered == 2


def test_several_processes_make_the_same_files(made: Path, tmp_path: Path) -> None:
    make_dataset(small(tmp_path, workers=2))
    assert snapshot(tmp_path) == snapshot(made)


def test_sizes_a_video_cannot_have_are_refused() -> None:
    for size in ([127, 128], [32, 64]):
        with pytest.raises(ParamsError, match=r"impacts\.size: .*even and at least 64"):
            parse_params({"impacts": {"size": size}}, DataParams, "p.yaml")


def test_the_stage_renders_or_says_why_not(tmp_path: Path) -> None:
    from stages.impacts import main

    data = tmp_path / "data"
    params = tmp_path / "params.yaml"
    keys = "train_count: 1\n  eval_count: 1\n  duration_s: 1.0\n  size: [64, 64]\n  workers: 1\n"
    params.write_text(f"impacts:\n  dir: {data}\n  {keys}")
    result = CliRunner().invoke(main, ["--params", str(params)])
    assert result.exit_code == 0, result.output
    assert "2 clips rendered" in result.output
    params.write_text(f"impacts:\n  dir: {data}\n  {keys}source:\n  name: csv\n")
    result = CliRunner().invoke(main, ["--params", str(params)])
    assert result.exit_code == 0, result.output
    assert "nothing to render" in result.output
    assert [file.name for file in data.rglob("*") if file.is_file()] == [MARKER]
