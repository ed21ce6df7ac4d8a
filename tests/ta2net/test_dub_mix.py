"""Sounds, their places and their sum, as arrays: nothing here opens a video."""

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

from pipeline.errors import UserError
from pipeline.video.probe import VideoInfo
from ta2net.deliver.dub.mix import CEILING, Placement, mixed, peak, safe_gain
from ta2net.deliver.dub.schedule import at_pitch, place
from ta2net.deliver.dub.sounds import PEAK, default_sounds, faded, prepared, read_sounds
from ta2net.deliver.dub.stem import write_stem
from ta2net.deliver.dub.synth import knocks
from ta2net.media.audio import BLOCK, continuous, in_blocks
from ta2net.media.belonging import check_hits

RATE = 48_000
FPS = Fraction(30000, 1001)
N_FRAMES = 120
N_SAMPLES = int(N_FRAMES / FPS * RATE)


def video(times_s: np.ndarray | None = None) -> VideoInfo:
    times_s = np.arange(N_FRAMES) / float(FPS) if times_s is None else times_s
    return VideoInfo(
        "film.mp4", len(times_s), times_s, FPS, 64, 48, "h264", "mov", False, 0, True, "pts", 1 / FPS
    )


def hit(frame: int, probability: float = 1.0, info: VideoInfo | None = None) -> Any:
    time_s = float((info or video()).times_s[frame])
    return SimpleNamespace(row_id="r", frame=frame, time_s=time_s, probability=probability)


def placed(hits: list[Any], **options: Any) -> list[Placement]:
    options = {"first_sample": 0, "n_samples": N_SAMPLES, **options}
    return place(hits, video(), default_sounds().sounds, **options)


def track(placements: list[Placement], n_samples: int = N_SAMPLES, **options: Any) -> np.ndarray:
    return np.concatenate(list(mixed(placements, n_samples, **options)))


hits_of_any_kind = st.lists(
    st.builds(hit, st.integers(0, N_FRAMES - 1), st.floats(0, 1)), min_size=1, max_size=12
)


@settings(max_examples=25, deadline=None)
@given(hits_of_any_kind, st.randoms())
def test_the_order_of_hits_does_not_matter(hits: list[Any], random: Any) -> None:
    shuffled = sorted({one.frame: one for one in hits}.values(), key=lambda one: one.frame)
    expected = track(placed(shuffled))
    random.shuffle(shuffled)
    np.testing.assert_array_equal(track(placed(shuffled)), expected)


@settings(max_examples=25, deadline=None)
@given(hits_of_any_kind, st.integers(0, 12))
def test_mixing_is_linear(hits: list[Any], split: int) -> None:
    placements = placed(hits)
    parts = track(placements[:split]) + track(placements[split:])
    np.testing.assert_allclose(track(placements), parts, atol=1e-6)
    louder = [Placement(one.start, one.samples, 2 * one.gain) for one in placements]
    np.testing.assert_allclose(track(louder), 2 * track(placements), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(hits_of_any_kind, st.floats(-60, 60))
def test_nothing_clips_and_nothing_sounds_before_the_first_hit(hits: list[Any], gain_db: float) -> None:
    placements = placed(hits, gain_db=gain_db)
    gain = safe_gain(peak(mixed(placements, N_SAMPLES)))
    sound = np.float32(gain) * track(placements)
    assert np.abs(sound).max() <= CEILING * (1 + 1e-6) < 1
    first = round(min(one.time_s for one in hits) * RATE)
    assert not sound[:first].any()
    assert sound[first].any()


def test_mixing_is_the_sum_whatever_the_blocks() -> None:
    rng = np.random.default_rng(1)
    n = 2 * BLOCK + 777
    placements = [
        Placement(int(start), rng.normal(size=(int(length), 2)).astype(np.float32), float(rng.uniform()))
        for start, length in zip(
            [0, BLOCK - 1, BLOCK, 5, BLOCK - 9], [9, 2, BLOCK, 2 * BLOCK, 30], strict=True
        )
    ]
    under = rng.normal(size=(n + 500, 2)).astype(np.float32)
    expected = np.zeros((n + 500, 2))
    for one in placements:
        expected[one.start : one.end] += one.gain * one.samples
    mix = track(placements, n, under=in_blocks([under[:100], under[100:]]), under_gain=0.25)
    np.testing.assert_allclose(mix, expected + 0.25 * under, atol=1e-5)
    np.testing.assert_allclose(track(placements, n), expected[:n], atol=1e-5)


def test_sounds_set_in_on_the_sample_of_the_frame() -> None:
    times_s = np.cumsum(np.random.default_rng(2).uniform(0.02, 0.09, 40)) + 3.7
    info = video(times_s)
    first = int(times_s[0] * RATE)
    placements = place(
        [hit(n, info=info) for n in (0, 7, 39)],
        info,
        default_sounds().sounds,
        first_sample=first,
        n_samples=10**6,
    )
    assert [one.start for one in placements] == [round(float(times_s[n]) * RATE) - first for n in (0, 7, 39)]


def test_several_hits_on_one_frame_sound_once_as_the_surest() -> None:
    placements = placed([hit(9, 0.2), hit(9, 0.8), hit(9, 0.5)])
    assert len(placements) == 1
    assert placements[0].gain == placed([hit(9, 0.8)])[0].gain


def test_louder_the_surer_and_by_12_db_in_all() -> None:
    gains = [placed([hit(9, p)])[0].gain for p in (0.0, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose(20 * np.log10(gains), [-12, -9, -6, 0], atol=1e-6)
    assert placed([hit(9)], gain_db=-20.0)[0].gain == pytest.approx(0.1)


def test_sounds_take_turns() -> None:
    sounds = [prepared(str(n), np.full((50, 2), 0.3, np.float32)) for n in range(3)]
    places = place([hit(n) for n in range(0, 70, 10)], video(), sounds, first_sample=0, n_samples=N_SAMPLES)
    own = {id(at_pitch(s, p)): number for number, s in enumerate(sounds) for p in range(96, 105)}
    assert [own[id(one.samples)] for one in places] == [0, 1, 2, 0, 1, 2, 0]


def test_pitch_is_seeded_and_one_more_hit_changes_no_others() -> None:
    lengths = [len(one.samples) for one in placed([hit(n) for n in range(0, 100, 5)])]
    assert lengths == [len(one.samples) for one in placed([hit(n) for n in range(0, 100, 5)])]
    assert lengths != [len(one.samples) for one in placed([hit(n) for n in range(0, 100, 5)], seed=1)]
    assert len(set(lengths)) > 4
    assert lengths[3] == len(placed([hit(15)])[0].samples)


@pytest.mark.parametrize("percent", [96, 100, 103])
def test_pitch_is_what_it_says(percent: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    played = at_pitch(prepared("tone", np.repeat(tone[:, None], 2, axis=1)), percent)
    strongest = np.abs(np.fft.rfft(played[:, 0] * np.hanning(len(played)))).argmax() * RATE / len(played)
    assert strongest == pytest.approx(10 * percent, abs=2)


def test_a_sound_is_faded_out_at_the_end_of_the_track() -> None:
    (one,) = placed([hit(N_FRAMES - 1)])
    assert one.end == N_SAMPLES
    assert np.abs(one.samples[:400]).max() > 0.3
    assert np.abs(one.samples[-3:]).max() < 1e-3


def test_hits_of_another_video_are_refused() -> None:
    times_s = video().times_s.tolist()
    check_hits([hit(0), hit(N_FRAMES - 1)], "film.mp4", times_s)
    near = SimpleNamespace(frame=30, time_s=1.0)  # shown at 1.001 s: another program rounded it
    check_hits([near], "film.mp4", times_s)
    with pytest.raises(UserError, match=r"film\.mp4: .* hit at frame 120, but the video has 120 frames"):
        check_hits([SimpleNamespace(frame=120, time_s=4.0)], "film.mp4", times_s)
    for wrong_s in (0.5, 0.998, float("nan")):
        with pytest.raises(
            UserError, match=r"frame 30 has the time \S+ s, but that frame is shown at 1\.001"
        ):
            check_hits([SimpleNamespace(frame=30, time_s=wrong_s)], "film.mp4", times_s)


def test_knocks_are_struck_sounds() -> None:
    assert len(knocks()) == 4
    for first, again in zip(knocks(), knocks(), strict=True):
        np.testing.assert_array_equal(first, again)
        assert np.abs(first).max() == 1
        assert np.abs(first).max(axis=1).argmax() < RATE / 1000
        assert np.abs(first[-RATE // 50 :]).max() < 0.01


def test_ends_are_faded_so_that_nothing_clicks() -> None:
    flat = faded(np.ones((4000, 2), np.float32))
    assert np.abs(np.diff(flat[:, 0], prepend=0, append=0)).max() < 0.08
    assert (flat[24:-480] == 1).all()
    for n in (1, 2, 3):
        assert len(faded(np.ones((n, 2), np.float32))) == n


def test_runs_and_gaps() -> None:
    ones = np.ones((10, 2), np.float32)
    run = np.concatenate(list(continuous([(-4, ones), (8, ones), (9 + 3 * BLOCK, 2 * ones)])))
    assert len(run) == 19 + 3 * BLOCK
    assert run[:6].all()
    assert not run[6:8].any()
    assert (run[8:18] == 1).all()
    assert not run[18 : 9 + 3 * BLOCK].any()
    assert (run[9 + 3 * BLOCK :] == 2).all()
    assert [len(block) for block in in_blocks([run], 1000)][-2:] == [1000, len(run) % 1000]


# sound files


def click(n: int, onset: int) -> np.ndarray:
    """Faint noise, then a decaying tone from ``onset`` on, (n,)."""
    time = np.arange(n)
    tone = 0.6 * np.cos(0.3 * (time - onset)) * np.exp(-(time - onset) / (n / 12)) * (time >= onset)
    return tone + np.random.default_rng(0).normal(scale=0.001, size=n)


def write_sound(path: Path, samples: np.ndarray, rate: int, codec: str, form: str) -> Path:
    """(channels, n) in -1..1 by PyAV's encoders."""
    layout = "mono" if len(samples) == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(form, layout, rate, stream.codec_context.frame_size or 4096)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels", "codec", "form", "tolerance_ms"),
    [
        ("x.wav", 48000, 2, "pcm_s16le", "s16", 0.05),
        ("x.wav", 8000, 1, "pcm_f32le", "flt", 0.3),
        ("x.aiff", 44100, 1, "pcm_s16be", "s16", 0.05),
        ("x.flac", 96000, 2, "flac", "s16", 0.05),
        ("x.mp3", 44100, 2, "libmp3lame", "fltp", 2),
        ("x.ogg", 48000, 1, "libopus", "flt", 2),
        ("x.m4a", 44100, 1, "aac", "fltp", 2),
    ],
)
def test_any_sound_file_is_trimmed_to_its_onset(
    tmp_path: Path, name: str, rate: int, channels: int, codec: str, form: str, tolerance_ms: float
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    samples = np.tile(click(rate, rate // 4), (channels, 1))
    (sound,) = read_sounds(write_sound(tmp_path / name, samples, rate, codec, form)).sounds
    level = np.abs(sound.samples).max(axis=1)
    assert sound.samples.dtype == np.float32
    assert sound.samples.shape[1] == 2
    assert level.max() == pytest.approx(PEAK, rel=0.2)
    assert (level > 0.2).argmax() < RATE * (tolerance_ms + 0.6) / 1000
    assert len(level) == pytest.approx(0.75 * RATE, abs=RATE * 0.1)
    if channels == 1:
        np.testing.assert_array_equal(sound.samples[:, 0], sound.samples[:, 1])


def test_sides_stay_apart_and_mono_keeps_its_level(tmp_path: Path) -> None:
    left = np.stack([click(9000, 100), np.zeros(9000)])
    (sound,) = read_sounds(write_sound(tmp_path / "l.wav", left, 48000, "pcm_f32le", "flt")).sounds
    assert np.abs(sound.samples).max(axis=0)[0] > 0.4
    assert not sound.samples[:, 1].any()


def test_a_folder_of_sounds(tmp_path: Path) -> None:
    for name in ("b.wav", "a.WAV", ".hidden.wav"):
        write_sound(tmp_path / name, click(4000, 0)[None], 48000, "pcm_s16le", "s16")
    (tmp_path / "licence.txt").write_text("free")
    found = read_sounds(tmp_path)
    assert [Path(sound.name).name for sound in found.sounds] == ["a.WAV", "b.wav"]
    assert found.notes == (f"{tmp_path}: left out, not sounds: licence.txt",)


def test_folders_of_classes(tmp_path: Path) -> None:
    for name in ("Drum", "hammer"):
        (tmp_path / name).mkdir()
        write_sound(tmp_path / name / f"{name}.wav", click(4000, 0)[None], 48000, "pcm_s16le", "s16")
    (sound,) = read_sounds(tmp_path, "drum").sounds
    assert sound.name.endswith("Drum.wav")
    with pytest.raises(UserError, match=r"choose one with --class: Drum, hammer"):
        read_sounds(tmp_path)
    with pytest.raises(UserError, match=r"no folder for the class 'bell'; there are: Drum, hammer"):
        read_sounds(tmp_path, "bell")


def test_long_sounds_are_cut_and_said_to_be(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 8000 * 13))
    found = read_sounds(write_sound(tmp_path / "x.wav", noise, 8000, "pcm_s16le", "s16"))
    assert len(found.sounds[0].samples) == 10 * RATE
    assert "longer than 10 s; cut there" in found.notes[0]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file or folder"),
        ("text", "FFmpeg cannot read it as a sound"),
        ("cut", "FFmpeg cannot read it as a sound|no samples|no sound"),
        ("silent", "silent in its first 60 s"),
        ("nan", "not finite numbers"),
        ("playlist", "playlist|FFmpeg cannot read it"),
        ("empty folder", "no sound file in it"),
    ],
)
def test_what_is_no_sound_is_refused_with_a_reason(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "bad.wav"
    if kind == "text":
        path.write_text("la la la\n" * 50)
    elif kind == "cut":
        write_sound(path, click(4000, 0)[None], 48000, "pcm_s16le", "s16")
        path.write_bytes(path.read_bytes()[:30])
    elif kind in ("silent", "nan"):
        value = 0.0 if kind == "silent" else np.nan
        write_sound(path, np.full((1, 4000), value), 48000, "pcm_f32le", "flt")
    elif kind == "playlist":
        path.write_text("ffconcat version 1.0\nfile '/etc/hostname'\n")
    elif kind == "empty folder":
        path.mkdir()
    with pytest.raises(UserError, match=message) as caught:
        read_sounds(path)
    assert "bad.wav" in caught.value.message


def test_a_stem_holds_24_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sound = rng.uniform(-1, 1, (70_000, 2)).astype(np.float32)
    sound[:3] = [[1, -1], [0, 0], [2**-23, -(2**-23)]]
    write_stem([sound[:50_000], sound[50_000:]], tmp_path / "x.wav")
    rate, data = wavfile.read(tmp_path / "x.wav")
    assert (rate, data.shape, data.dtype) == (RATE, sound.shape, np.int32)
    values = data >> 8  # SciPy gives 24 bits as the upper ones of 32
    np.testing.assert_array_equal(values << 8, data)
    np.testing.assert_array_equal(values[:3], [[2**23 - 1, -(2**23)], [0, 0], [1, -1]])
    np.testing.assert_allclose(values[3:] / 2**23, sound[3:], atol=0.51 / 2**23)
