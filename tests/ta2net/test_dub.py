"""Dubbed files, decoded again by FFmpeg, their onsets found by a detector that knows nothing of the hits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from pipeline.errors import UserError, VideoError
from pipeline.video.probe import probe
from ta2net.deliver.dub import dub
from ta2net.deliver.dub.mix import CEILING

RATE = 48_000
NTSC = Fraction(1, 30000)
B_FRAMES = {"bf": "2"}


def heard(path: Path) -> tuple[float, np.ndarray]:
    """When the sound begins (s), and it, (n,), every decoded frame laid at its own presentation time."""
    with av.open(str(path)) as container:
        frames = [(float(frame.time or 0), frame.to_ndarray()) for frame in container.decode(audio=0)]
        assert container.streams.audio[0].rate == RATE
    begin = frames[0][0]
    last_s, last = frames[-1]
    sound = np.zeros(round((last_s - begin) * RATE) + last.shape[1])
    for time_s, samples in frames:
        at = round((time_s - begin) * RATE)
        sound[at : at + samples.shape[1]] = samples.mean(axis=0)
    return begin, sound


def onsets(sound: np.ndarray, begin_s: float) -> np.ndarray:
    """Times (s) at which energy rises steeply: the largest rises, in dB, of 2 ms over the 20 ms before."""
    energy = uniform_filter1d(sound**2, 96, origin=-48)  # of the next 2 ms
    before = uniform_filter1d(np.pad(sound**2, (961, 0)), 960)[480 : 480 + len(sound)]  # of the past 20 ms
    rise = 10 * np.log10((energy + 1e-6) / (before + 1e-6))
    rise[energy < 0.001 * energy.max()] = 0
    peaks = (rise > 8) & (rise == maximum_filter1d(rise, 2 * 2400))
    return np.flatnonzero(peaks) / RATE + begin_s


def hits_of(path: Path, frames: list[int], probability: float = 0.9) -> list[Any]:
    times_s = probe(path).times_s
    return [
        SimpleNamespace(row_id="r", frame=n, time_s=round(float(times_s[n]), 6), probability=probability)
        for n in frames
    ]


def packets(path: Path) -> list[tuple[bytes, bool, float, float]]:
    """Payload, key frame, presentation and decoding time (s; Matroska stores none: NaN)."""
    stored = path.suffix != ".mkv"
    with av.open(str(path)) as container:
        return [
            (
                bytes(p),
                p.is_keyframe,
                float(p.pts * p.time_base),
                float(p.dts * p.time_base) if stored else np.nan,
            )
            for p in container.demux(video=0)
            if p.size
        ]


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


def test_the_detector_finds_onsets() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(scale=1e-4, size=RATE)
    for at in (0.2, 0.32, 0.7):
        n = np.arange(RATE - round(at * RATE))
        sound[round(at * RATE) :] += 0.4 * np.cos(0.1 * n) * np.exp(-n / 1500)
    np.testing.assert_allclose(onsets(sound, 5.0), [5.2, 5.32, 5.7], atol=0.002)


VIDEOS: dict[str, dict[str, Any]] = {
    "25.mp4": {"options": B_FRAMES},
    "25.mkv": {"options": B_FRAMES},
    "ntsc.mp4": {"pts": [1001 * n for n in range(40)], "time_base": NTSC},
    "vfr.mp4": {"pts": [n * 40 + n % 3 * 7 for n in range(40)], "time_base": Fraction(1, 1000)},
    "late.mp4": {"pts": list(range(50, 90)), "options": B_FRAMES},
    "late.mkv": {"pts": list(range(50, 90))},
    "late_ntsc.mp4": {"pts": [1001 * n for n in range(50, 90)], "time_base": NTSC},
    "turned.mp4": {"rotation_deg": 90},
    "sound.mp4": {"sound": True},
}


@pytest.mark.parametrize("to", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("name", VIDEOS)
def test_sounds_lie_on_their_hits_and_the_pictures_are_untouched(
    tmp_path: Path, films: Any, name: str, to: str
) -> None:
    path = films.write_video(tmp_path / name, **VIDEOS[name])
    hits = hits_of(path, [5, 8, 14, 30])  # two of them three frames apart
    out = tmp_path / f"dubbed.{to}"
    assert dub(path, hits, None, out, stem=tmp_path / "stem.wav").sounds == 4
    begin_s, sound = heard(out)
    shown = probe(path)
    found = onsets(sound, begin_s)
    assert len(found) == 4
    np.testing.assert_allclose(found, shown.times_s[[5, 8, 14, 30]], atol=0.01)
    np.testing.assert_allclose(
        found, shown.times_s[[5, 8, 14, 30]], atol=0.004
    )  # what AAC smears, and no more
    assert begin_s + len(sound) / RATE == pytest.approx(
        shown.times_s[-1] + 1 / float(shown.fps), abs=2049 / RATE
    )
    copied = probe(out)
    assert (copied.rotation_deg, copied.codec, copied.n_frames) == (shown.rotation_deg, "h264", 40)
    assert float(copied.fps) == pytest.approx(float(shown.fps), rel=0.02)
    tolerance = 0.0006 if to == "mkv" else 1e-9
    for old, new in zip(packets(path), packets(out), strict=True):
        assert old[:2] == new[:2]
        assert old[2] == pytest.approx(new[2], abs=tolerance)
        assert np.isnan([old[3], new[3]]).any() or old[3] == pytest.approx(new[3], abs=tolerance)
    np.testing.assert_array_equal(pictures(path), pictures(out))
    rate, stem = wavfile.read(tmp_path / "stem.wav")
    first = round(float(shown.times_s[5]) * RATE) - int(shown.times_s[0] * RATE + 1e-9)
    assert rate == RATE
    assert not stem[:first].any()
    assert stem[first].any() or stem[first + 1].any()
    np.testing.assert_allclose(onsets(stem[:, 0] / 2**31, shown.times_s[0]), found, atol=0.004)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=1, max_size=6))
def test_any_hits_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, films: Any, gaps: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = films.write_video(folder / "x.mp4", n_frames=100)
    frames = [n for n in np.cumsum([4 + gap for gap in gaps]).tolist() if n < 99]
    dub(path, hits_of(path, frames), None, folder / "o.mp4", seed=gaps[0])
    begin_s, sound = heard(folder / "o.mp4")
    np.testing.assert_allclose(onsets(sound, begin_s), np.array(frames) / 25, atol=0.01)


def test_a_hidden_head_stays_hidden(tmp_path: Path, films: Any) -> None:
    """An edit list that starts the film 5 frames in: they are in the file, but no player shows them."""
    whole = films.write_video(tmp_path / "whole.mp4", options=B_FRAMES)
    path = films.copy_stream(whole, tmp_path / "cut.mp4", shift=-5 * 512)
    assert probe(path).n_frames == 35
    dub(path, hits_of(path, [4, 20]), None, tmp_path / "o.mp4")
    begin_s, sound = heard(tmp_path / "o.mp4")
    np.testing.assert_allclose(onsets(sound, begin_s), probe(path).times_s[[4, 20]], atol=0.004)
    np.testing.assert_array_equal(pictures(tmp_path / "o.mp4"), pictures(path))
    with pytest.raises(UserError, match=r"would show 40 frames instead of 35; write --out as \.mp4"):
        dub(path, [], None, tmp_path / "o.mkv")
    assert not (tmp_path / "o.mkv").exists()


@pytest.mark.parametrize("frame", [0, 39])
def test_the_first_and_the_last_frame(tmp_path: Path, films: Any, frame: int) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    dub(path, hits_of(path, [frame]), None, tmp_path / "o.mp4")
    begin_s, sound = heard(tmp_path / "o.mp4")
    loud = np.flatnonzero(np.abs(sound) > 0.2 * np.abs(sound).max())
    assert begin_s + loud[0] / RATE == pytest.approx(frame / 25, abs=0.002)


def with_tone(path: Path, source: Path, delay_s: float, seconds: float = 2.0) -> Path:
    """The pictures of ``source`` and a 440 Hz tone of amplitude 0.5, PCM at 44.1 kHz, from ``delay_s`` on."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        audio = new.add_stream("pcm_s16le", rate=44100, layout="mono")
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(44100 * seconds)) / 44100)
        frame = av.AudioFrame.from_ndarray((tone * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, round(delay_s * 44100), Fraction(1, 44100)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = video
                new.mux(packet)
        new.mux(audio.encode(frame))
        new.mux(audio.encode(None))
    return path


@pytest.mark.parametrize("delay_s", [0.0, 0.4])
@pytest.mark.parametrize("late", [False, True])
def test_the_original_sound_lies_under_where_it_was(
    tmp_path: Path, films: Any, delay_s: float, late: bool
) -> None:
    silent = films.write_video(tmp_path / "x.mp4", pts=list(range(50, 90)) if late else None)
    path = with_tone(tmp_path / "tone.mkv", silent, delay_s)
    done = dub(path, [], None, tmp_path / "o.mp4")
    assert done.notes == ("no hits: nothing was placed",)
    begin_s, sound = heard(tmp_path / "o.mp4")
    time_s = begin_s + np.arange(len(sound)) / RATE
    inside = (time_s > delay_s + 0.1) & (time_s < delay_s + 1.9)
    expected = 0.5 * 10 ** (-6 / 20) * np.sin(2 * np.pi * 440 * (time_s - delay_s))
    np.testing.assert_allclose(sound[inside], expected[inside], atol=0.02)
    assert np.abs(sound[time_s < delay_s - 0.05]).max(initial=0) < 0.002
    assert begin_s + len(sound) / RATE >= delay_s + 2.0  # it outlasts the pictures by 0.4 s or more


def test_the_original_sound_is_replaced_when_told(tmp_path: Path, films: Any) -> None:
    path = with_tone(tmp_path / "tone.mkv", films.write_video(tmp_path / "x.mp4"), 0.0)
    dub(path, hits_of(path, [20]), None, tmp_path / "o.mp4", keep_original=False)
    begin_s, sound = heard(tmp_path / "o.mp4")
    np.testing.assert_allclose(onsets(sound, begin_s), [0.8], atol=0.004)
    assert np.abs(sound[: round(0.75 * RATE)]).max() < 0.001


def test_nothing_clips_and_the_user_is_told(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    done = dub(
        path, hits_of(path, [5, 6, 7, 8, 20]), None, tmp_path / "o.mp4", stem=tmp_path / "s.wav", gain_db=24
    )
    assert [note.split(": ")[1][:11] for note in done.notes] == ["lowered by "] * 2
    stem = wavfile.read(tmp_path / "s.wav")[1] / 2**31
    assert np.abs(stem).max() == pytest.approx(CEILING, abs=1e-5)
    assert np.abs(heard(tmp_path / "o.mp4")[1]).max() < 1


def test_subtitles_chapters_and_metadata_are_kept_or_told(tmp_path: Path, films: Any) -> None:
    (tmp_path / "x.srt").write_text("1\n00:00:00,200 --> 00:00:01,000\nBang\n")
    silent = films.write_video(tmp_path / "x.mp4")
    path = tmp_path / "full.mkv"
    with (
        av.open(str(silent)) as old,
        av.open(str(tmp_path / "x.srt")) as words,
        av.open(str(path), "w") as new,
    ):
        new.metadata["title"] = "A film"
        new.set_chapters(
            [{"id": 1, "start": 0, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        streams = [new.add_stream_from_template(one) for one in (old.streams.video[0], words.streams[0])]
        for source, stream in zip((old, words), streams, strict=True):
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
    assert dub(path, [], None, tmp_path / "o.mkv").notes[1:] == ()
    with av.open(str(tmp_path / "o.mkv")) as container:
        (kept,) = [packet for packet in container.demux(subtitles=0) if packet.size]
        assert bytes(kept) == b"Bang"
        assert kept.pts * kept.time_base == Fraction(1, 5)
        assert container.metadata["title"] == "A film"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One"]
    told = dub(path, [], None, tmp_path / "o.mp4").notes[1:]
    assert told == ("subtitles (stream 1) left out: mp4 files cannot hold their kind",)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.metadata["title"] == "A film"
        assert len(container.chapters()) == 1


def test_a_coding_the_container_cannot_hold(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.webm", "libvpx-vp9")
    with pytest.raises(
        UserError, match=r"x\.webm: .* coded as vp9, .* mov files cannot hold; write --out as \.mkv"
    ):
        dub(path, [], None, tmp_path / "o.mov")
    assert [file.name for file in tmp_path.iterdir()] == ["x.webm"]
    wmv = films.write_video(tmp_path / "x.wmv", "wmv2")
    with pytest.raises(UserError, match=r"wmv2, .* matroska files cannot hold; re-encode it"):
        dub(wmv, [], None, tmp_path / "o.mkv")
    dub(path, hits_of(path, [9]), None, tmp_path / "o.mkv")
    begin_s, sound = heard(tmp_path / "o.mkv")
    np.testing.assert_allclose(onsets(sound, begin_s), probe(path).times_s[[9]], atol=0.004)


@pytest.mark.parametrize("name", ["x.ts", "x.avi", "x.webm"])
def test_other_containers_as_source(tmp_path: Path, films: Any, name: str) -> None:
    codec = {"x.ts": "libx264", "x.avi": "mpeg4", "x.webm": "libvpx-vp9"}[name]
    path = films.write_video(tmp_path / name, codec)
    dub(path, hits_of(path, [9, 20]), None, tmp_path / "o.mp4")
    begin_s, sound = heard(tmp_path / "o.mp4")
    np.testing.assert_allclose(onsets(sound, begin_s), probe(path).times_s[[9, 20]], atol=0.004)
    np.testing.assert_array_equal(pictures(tmp_path / "o.mp4"), pictures(path))


def test_times_that_cannot_be_carried_over_are_refused(tmp_path: Path, films: Any) -> None:
    """An AVI file stores no presentation times, so where its B-frames belong is lost when they are copied."""
    path = films.write_video(tmp_path / "x.avi", "mpeg4", options=B_FRAMES)
    with pytest.raises(
        UserError, match=r"would show frame \d+ at .*; re-encode it .* predict its hits again"
    ):
        dub(path, [], None, tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()
    dub(path, hits_of(path, [9]), None, None, stem=tmp_path / "s.wav")
    np.testing.assert_allclose(
        onsets(wavfile.read(tmp_path / "s.wav")[1][:, 0] / 2**31, 0.0), [0.36], atol=0.004
    )


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    hits = hits_of(path, [5, 9, 20])
    written = []
    for number, seed in enumerate((0, 0, 1)):
        dub(path, hits[:: 1 - 2 * (number % 2)], None, tmp_path / f"{number}.mp4", seed=seed)
        written.append((tmp_path / f"{number}.mp4").read_bytes())
    assert written[0] == written[1] != written[2]


def test_an_old_file_survives_a_failure(tmp_path: Path, films: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    (tmp_path / "o.mp4").write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ta2net.deliver.dub.mux._copy", full)
    with pytest.raises(UserError, match=r"o\.mp4: cannot be written \(No space left on device\)"):
        dub(path, [], None, tmp_path / "o.mp4")
    assert (tmp_path / "o.mp4").read_bytes() == b"old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["o.mp4", "x.mp4"]


def test_mistakes_are_told(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    hits = hits_of(path, [5])
    (tmp_path / "file").touch()
    for out, options, message in (
        (None, {}, "nothing to write"),
        ("o.webm", {}, r"written as \.mp4, \.mov, \.mkv, not \.webm"),
        ("o.mp4", {"stem": "s.mp3"}, r"a name that ends in \.wav"),
        ("x.mp4", {}, "would replace the video itself"),
        ("file/o.mp4", {}, "cannot be written"),
        ("o.mp4", {"gain_db": float("nan")}, "is not a level"),
        ("o.mp4", {"class_name": "drum"}, "give --sounds with it"),
    ):
        with pytest.raises(UserError, match=message):
            dub(path, hits, None, out and tmp_path / out, **options)
    with pytest.raises(VideoError, match="no such file"):
        dub(tmp_path / "missing.mp4", hits, None, tmp_path / "o.mp4")
