"""Labels from sound: strikes at known moments, found at those moments and put on the right frames."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.labels import main as benchmark
from pipeline.errors import UserError
from pipeline.impacts.physics import Contact
from pipeline.impacts.sound import MATERIALS, SAMPLE_RATE, strike
from pipeline.params import SourceParams
from pipeline.sources.audible623 import read_label_files
from pipeline.video.probe import probe
from ta2net.cli import main
from ta2net.label.labelling import hear, label_videos
from ta2net.label.onsets import HOP, WINDOW, novelty, onsets
from ta2net.label.snap import nearest_frames
from ta2net.label.sound import sound_blocks

pytestmark = pytest.mark.slow

RATE = SAMPLE_RATE
THRESHOLD = 0.3


def struck(moments_s, duration_s, noise=0.001, seed=0):
    """The embedded data set's own strikes, one of each material in turn, in a little noise."""
    rng = np.random.default_rng(seed)
    sound = noise * rng.standard_normal(round(duration_s * RATE))
    for moment_s, material in zip(moments_s, list(MATERIALS) * 9, strict=False):
        hit = strike(Contact(moment_s, 0, 0, 200.0, material), rng, 1.0)
        at = round(moment_s * RATE)
        room = sound[at : at + len(hit)]
        room += hit[: len(room)]
    return sound.astype(np.float32)


def with_sound(path: Path, pictures: Path, sound: np.ndarray, start_s: float, codec="pcm_s16le") -> Path:
    """The pictures of a video with a sound track (n,) at 48 kHz whose first sample is at ``start_s``."""
    with av.open(str(pictures)) as old, av.open(str(path), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        audio = new.add_stream(codec, rate=RATE, layout="mono")
        samples = np.ascontiguousarray((sound * 32767).astype(np.int16)[None])
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, round(start_s * RATE), Fraction(1, RATE)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = video
                new.mux(packet)
        resampler = av.AudioResampler(audio.codec_context.format or "fltp", "mono", RATE)
        for piece in resampler.resample(frame):
            new.mux(audio.encode(piece))
        new.mux(audio.encode(None))
    return path


def in_blocks(sound, size, start_s=0.0):
    return ((start_s + at / RATE, sound[at : at + size]) for at in range(0, len(sound), size))


def test_strikes_are_heard_when_they_sound():
    """Seven materials, 200 ms apart or more, none missed, none made up, each within 3 ms."""
    moments_s = np.cumsum(np.random.default_rng(1).uniform(0.2, 0.5, 14))
    heard = onsets(novelty(in_blocks(struck(moments_s, 7.0), 48 * 1024, 3.0)), THRESHOLD)
    np.testing.assert_allclose(heard.times_s - 3.0, moments_s, atol=0.003)
    assert abs(np.median(heard.times_s - 3.0 - moments_s)) < 0.0015
    assert (heard.confidence > 0.5).all()


@pytest.mark.parametrize("sound", ["noise", "tone", "silence"])
def test_what_goes_on_without_a_beginning_has_no_labels(sound):
    time_s = np.arange(3 * RATE) / RATE
    noise = np.random.default_rng(4).standard_normal(len(time_s))
    samples = {"noise": 0.1 * noise, "tone": 0.5 * np.sin(2 * np.pi * 440 * time_s), "silence": 0 * noise}[
        sound
    ]
    assert not len(onsets(novelty(in_blocks(samples.astype(np.float32), 50_000)), THRESHOLD).times_s)


def test_louder_is_surer_and_a_threshold_keeps_the_sure():
    moments_s = [0.5, 1.0, 1.5]
    sound = 0.01 * np.random.default_rng(2).standard_normal(2 * RATE)
    for moment_s, level in zip(moments_s, (0.05, 0.1, 0.5), strict=True):
        at = round(moment_s * RATE)
        sound[at : at + 2000] += (
            level * np.random.default_rng(3).standard_normal(2000) * np.exp(-np.arange(2000) / 500)
        )
    curve = novelty(in_blocks(sound.astype(np.float32), 50_000))
    every = onsets(curve, THRESHOLD)
    np.testing.assert_allclose(every.times_s, moments_s, atol=0.004)
    assert (np.diff(every.confidence) > 0.02).all()
    middle = float(every.confidence[1])
    np.testing.assert_allclose(every.confidence, 1 - 2 ** (-every.above_db / 6))
    assert onsets(curve, middle).times_s.tolist() == every.times_s[1:].tolist()


@pytest.mark.parametrize("size", [300, 7_001, 200_000])
def test_blocks_of_any_length_sound_the_same(size):
    sound = struck([0.4, 1.1], 2.0)
    whole, pieces = novelty(in_blocks(sound, len(sound))), novelty(in_blocks(sound, size))
    np.testing.assert_allclose(pieces.rise_db, whole.rise_db, atol=1e-4)
    np.testing.assert_array_equal(pieces.loudness, whole.loudness)
    assert len(whole.rise_db) == (len(sound) - WINDOW // 2) // HOP + 1
    assert whole.loudness.max() == np.abs(sound).max()


def test_too_short_a_sound_is_told():
    with pytest.raises(UserError, match=f"lasts 500 samples; at least {WINDOW // 2 + 1}"):
        novelty(in_blocks(np.zeros(500, np.float32), 100))


def test_the_nearest_frame_by_hand():
    times_s = np.array([1.0, 1.1, 1.5, 1.6])
    moments_s = np.array([0.94, 0.96, 1.04, 1.06, 1.29, 1.31, 1.64, 1.66])
    frames, inside = nearest_frames(times_s, moments_s)
    assert inside.tolist() == [False, True, True, True, True, True, True, False]
    assert frames[inside].tolist() == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "codec", "start_s"),
    [("late.mkv", "pcm_s16le", 0.5), ("coded.mp4", "aac", 0.0), ("coded.mkv", "libopus", 0.0)],
)
def test_labels_lie_on_the_containers_clock(tmp_path, films, name, codec, start_s):
    """Uneven frames from 0.4 s on; sound that starts elsewhere, or whose encoder put silence before it."""
    ticks = 400 + np.concatenate([[0], np.cumsum(np.random.default_rng(6).integers(20, 70, 59))])
    silent = films.write_video(
        tmp_path / "x.mkv", n_frames=60, pts=ticks.tolist(), time_base=Fraction(1, 1000)
    )
    moments_s = np.array([0.7, 1.1, 1.62, 2.3])
    path = with_sound(tmp_path / name, silent, struck(moments_s - start_s, 2.8), start_s, codec)
    times_s = probe(path).times_s
    heard = hear(path, threshold=THRESHOLD, min_distance=2)
    np.testing.assert_allclose([one.time_s for one in heard.onsets], moments_s, atol=0.004)
    expected = [int(np.abs(times_s - moment_s).argmin()) for moment_s in moments_s]
    assert [one.frame for one in heard.onsets] == expected
    assert [one.frame_time_s for one in heard.onsets] == times_s[expected].tolist()
    assert next(sound_blocks(path))[0] == pytest.approx(start_s, abs=1e-3)


def test_one_label_a_frame_and_none_outside_the_pictures(tmp_path, films):
    silent = films.write_video(tmp_path / "x.mkv", n_frames=20, rate=5)  # 200 ms a frame, the last at 3.8 s
    path = with_sound(tmp_path / "two.mkv", silent, struck([1.0, 1.06, 2.0, 2.2, 4.5], 5.0), 0.0)
    heard = hear(path, threshold=THRESHOLD, min_distance=1)
    assert [one.frame for one in heard.onsets] == [5, 10, 11]
    assert heard.outside == 1
    apart = hear(path, threshold=THRESHOLD, min_distance=2).onsets
    assert [one.frame for one in apart] in ([5, 10], [5, 11])
    assert apart[1].confidence == max(one.confidence for one in heard.onsets[1:])


@pytest.fixture
def takes(tmp_path, films):
    """A folder with two films that can be heard and one that cannot."""
    silent = films.write_video(tmp_path / "takes" / "mute.mkv", n_frames=50)
    with_sound(tmp_path / "takes" / "knock.mkv", silent, struck([0.4, 1.2], 2.0), 0.0)
    with_sound(tmp_path / "takes" / "calm.mkv", silent, struck([], 2.0), 0.0)
    return tmp_path / "takes"


def test_the_command_labels_a_folder(takes, tmp_path):
    out = tmp_path / "labels"
    out.mkdir()
    (out / "labels.csv").write_text(
        "video_id,sound_label,class,annotated\nolder,7,clap,0-9\nknock,1,door,0-30\n"
    )
    done = CliRunner().invoke(main, ["label", str(takes), "--out", str(out)])
    assert done.exit_code == 2, done.output
    assert f"1 of 3 videos failed:\n  {takes / 'mute.mkv'}: no sound track" in done.output
    assert f"{takes / 'knock.mkv'}: 2 labels; {out / 'knock'}/" in done.output
    listing = read_label_files(
        SourceParams(name="csv", train_labels=str(out / "labels.csv"), eval_labels=None)
    )
    assert not listing.findings
    assert {row.video_id: (row.labels, row.class_name, row.annotated) for row in listing.rows} == {
        "older": ((7,), "clap", ((0, 10),)),
        "knock": ((10, 30), "door", ((0, 31),)),
        "calm": ((), "unknown", None),
    }
    with (out / "knock" / "onsets.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["frame_time_s"]) for row in rows] == [("10", "0.400000"), ("30", "1.200000")]
    assert all(abs(float(row["onset_time_s"]) - float(row["frame_time_s"])) < 0.004 for row in rows)
    assert not (out / "mute").exists()


def test_the_benchmark_judges_what_the_command_finds(takes, tmp_path):
    (tmp_path / "truth.csv").write_text('video_id,sound_label,class\nknock,"10,31",x\nmute,5,x\n')
    done = CliRunner().invoke(benchmark, [str(tmp_path / "truth.csv"), str(takes)])
    assert done.exit_code == 0, done.output
    assert "1 videos with sound, 2 labelled frames" in done.output
    (line,) = (line for line in done.output.splitlines() if "--threshold 0.3" in line)
    # one on its label, one a frame (40 ms) early
    figures = ["0.500", "1.000", "1.000", "1.000", "1.000", "1.000", "-20.0"]
    assert [cell.strip() for cell in line.split("|")][2:-1] == figures


def test_two_videos_of_one_name_are_told_before_any_work(takes, tmp_path):
    twin = tmp_path / "b" / "knock.mp4"
    with pytest.raises(UserError, match=r"knock\.mkv and .*knock\.mp4 have the same name"):
        list(
            label_videos(
                [takes / "knock.mkv", twin], tmp_path, threshold=0.3, min_distance=2, class_name=None
            )
        )
    assert not (tmp_path / "labels.csv").exists()


def test_a_fault_of_the_program_stops_none_of_the_others(takes, tmp_path, monkeypatch):
    def faulty(path, **options):
        if Path(path).stem == "knock":
            raise ZeroDivisionError("oh")
        return hear(path, **options)

    monkeypatch.setattr("ta2net.label.labelling.hear", faulty)
    videos = [str(path) for path in sorted(takes.glob("*.mkv"))]
    done = CliRunner().invoke(main, ["label", *videos, "--out", str(tmp_path)])
    assert done.exit_code == 1
    log = tmp_path / "knock" / "error.log"
    assert f"knock.mkv: internal error (ZeroDivisionError: oh); please report it with {log}" in done.output
    assert "ZeroDivisionError" in log.read_text()
    assert done.output.count(" labels") >= len(videos) - 1


def test_a_real_clip(shared):
    """Real footage with sound: within a frame of the automatic onsets of another program."""
    clips = shared / "clips" / "audio"
    with (clips / "onsets.csv").open() as file:
        labels = {
            row["video_id"]: [int(t) for t in row["sound_label"].split(",")] for row in csv.DictReader(file)
        }
    heard = [one.frame for one in hear(clips / "gh_4_table.mp4", threshold=THRESHOLD, min_distance=2).onsets]
    assert np.abs(np.array(heard) - labels["gh_4_table"]).max() <= 1


def test_the_benchmark_judges_annotated_frames_alone(takes, tmp_path):
    """Knocks at frames 10 and 30, of which the first is labelled and the second lies in no span."""
    (tmp_path / "truth.csv").write_text('video_id,sound_label,class,annotated\nknock,"10,33",x,0-20\n')
    done = CliRunner().invoke(benchmark, [str(tmp_path / "truth.csv"), str(takes)])
    assert done.exit_code == 0, done.output
    assert "1 videos with sound, 1 labelled frames" in done.output
    (line,) = (line for line in done.output.splitlines() if "--threshold 0.3" in line)
    assert [cell.strip() for cell in line.split("|")][2:7] == ["1.000"] * 5
