"""Frames are told apart by the number drawn into each, so a wrong, lost or repeated frame shows."""

from __future__ import annotations

import csv
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError, VideoError
from pipeline.video import decode
from pipeline.video.decode import Reader, open_video, probe, read_all
from pipeline.video.probe import is_hidden_vp8

decord = pytest.importorskip("decord")

B_FRAMES = {"bf": "3"}
OPEN_GOP = {"bf": "3", "x264-params": "open-gop=1:keyint=12:b-adapt=0:log-level=none"}
FIXED_GOP = {"bf": "3", "x264-params": "keyint=12:scenecut=0:log-level=none"}
X265 = {"x265-params": "log-level=none:keyint=12"}

PLAIN = {
    "h264.mp4": {"options": B_FRAMES},
    "open_gop.mp4": {"options": OPEN_GOP},
    "open_gop.mkv": {"options": OPEN_GOP},
    "fixed_gop.mov": {"options": FIXED_GOP},
    "yuv444.mp4": {"pixels": "yuv444p"},
    "hevc.mp4": {"codec": "libx265", "options": X265},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "prores.mov": {"codec": "prores", "pixels": "yuv422p10le"},
    "late.mkv": {"pts": list(range(50, 90))},
    "late.mp4": {"pts": list(range(50, 90))},
    "sound.mp4": {"sound": True},
}
"""What both back ends read."""

PYAV_ONLY = {
    "h264.ts": {"options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "flv1.flv": {"codec": "flv"},
    "wmv2.wmv": {"codec": "wmv2"},
    "gif.gif": {"codec": "gif", "pixels": "rgb8", "rate": 10},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}, "n_frames": 12},
}
"""What decord cannot open, or reads wrong."""


def numbers(films: Any, path: Path, reader: Reader = "auto", chunk_frames: int = 7) -> list[int]:
    return [films.number_in(frame) for chunk in open_video(path, reader, chunk_frames) for frame in chunk]


@pytest.mark.parametrize("name", PLAIN)
def test_both_back_ends_give_the_same_pictures(tmp_path: Path, films: Any, name: str) -> None:
    path = films.write_video(tmp_path / name, **PLAIN[name])
    by_decord, by_pyav = read_all(path, "decord", 7), read_all(path, "pyav", 16)
    np.testing.assert_array_equal(by_decord, by_pyav)
    assert [films.number_in(frame) for frame in by_decord] == list(range(40))
    assert isinstance(open_video(path), decode.DecordReader)
    info = probe(path)
    assert open_video(info).info is info  # what is known already is not read again


@pytest.mark.parametrize("name", PYAV_ONLY)
def test_auto_falls_back_where_decord_would_be_wrong(tmp_path: Path, films: Any, name: str) -> None:
    path = films.write_video(tmp_path / name, **PYAV_ONLY[name])
    reader = open_video(path)
    assert isinstance(reader, decode.PyavReader)
    assert any("decord" in note for note in reader.notes)
    assert numbers(films, path) == list(range(reader.info.n_frames))
    assert reader.info.n_frames == PYAV_ONLY[name].get("n_frames", 40)
    with pytest.raises(VideoError, match=r"set decode\.reader to auto or pyav"):
        open_video(path, "decord")


def test_decord_loses_the_head_of_a_transport_stream_and_we_do_not(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.ts", "mpeg2video", options={"bf": "2"})
    video = decord.VideoReader(str(path))
    raw = [films.number_in(video.next().asnumpy()) for _ in range(len(video))]
    assert raw != list(range(40))
    assert numbers(films, path) == list(range(40))


def test_ten_bit_hevc_agrees_nearly(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.mp4", "libx265", options=X265, pixels="yuv420p10le")
    difference = read_all(path, "decord").astype(int) - read_all(path, "pyav")
    assert np.abs(difference).max() <= 4
    assert numbers(films, path) == list(range(40))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_of_a_variable_frame_rate(tmp_path: Path, films: Any, suffix: str) -> None:
    pts = [number * 40 + number % 3 * 7 for number in range(40)]
    path = films.write_video(
        tmp_path / f"x.{suffix}", options={"bf": "2"}, pts=pts, time_base=Fraction(1, 1000)
    )
    info = probe(path)
    np.testing.assert_allclose(info.times_s, np.array(pts) / 1000, atol=1e-9)
    assert info.time_source == "pts"
    assert abs(float(info.fps) - 39 / info.times_s[-1]) < 1
    for reader in ("decord", "pyav"):
        assert numbers(films, path, reader) == list(range(40))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_start_offset_is_kept(tmp_path: Path, films: Any, suffix: str) -> None:
    path = films.write_video(tmp_path / f"x.{suffix}", pts=list(range(50, 90)))
    np.testing.assert_allclose(probe(path).times_s, np.arange(50, 90) / 25, atol=1e-9)


def test_avi_times_start_at_zero_whatever_the_b_frames(tmp_path: Path, films: Any) -> None:
    info = probe(films.write_video(tmp_path / "x.avi", "mpeg4", options={"bf": "2"}))
    np.testing.assert_allclose(info.times_s, np.arange(40) / 25)
    assert (info.time_source, info.fps, info.codec) == ("dts", 25, "mpeg4")


def test_gaps_in_an_avi_are_seen_in_its_times(tmp_path: Path, films: Any) -> None:
    slots = [number + (number > 5) * 3 + (number > 20) * 2 for number in range(30)]
    path = films.write_video(tmp_path / "x.avi", "mpeg4", 30, pts=slots)
    info = probe(path)
    np.testing.assert_allclose(info.times_s, np.array(slots) / 25)
    assert any("header announces 35 frames, the file holds 30" in note for note in info.notes)
    assert numbers(films, path) == list(range(30))


@pytest.mark.parametrize(("first_byte", "hidden"), [(0x10, False), (0x11, False), (0x00, True), (0x01, True)])
def test_hidden_vp8_frames_are_known_by_their_header(first_byte: int, hidden: bool) -> None:
    assert is_hidden_vp8(bytes([first_byte, 0, 0])) == hidden


def test_unusual_file_names(tmp_path: Path, films: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    monkeypatch.chdir(tmp_path)
    for name in ("concat:x.mp4", 'ü %03d "q" [1].mp4', "-i.mp4"):
        named = path.rename(tmp_path / name)
        for reader in ("decord", "pyav"):
            assert len(read_all(named.name, reader)) == 40
        path = named


def test_what_probe_tells(tmp_path: Path, films: Any) -> None:
    info = probe(films.write_video(tmp_path / "x.mp4", rate=30, sound=True))
    assert (info.n_frames, info.fps, info.width, info.height) == (40, 30, 64, 48)
    assert (info.codec, info.has_audio, info.rotation_deg, info.notes) == ("h264", True, 0, ())
    assert info.times_s.dtype == np.float64
    assert not probe(films.write_video(tmp_path / "y.mp4")).has_audio


@pytest.mark.parametrize("cut", [5, 17, 30])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_hidden_by_an_edit_list_are_cut(tmp_path: Path, films: Any, cut: int, codec: str) -> None:
    """decord's length counts the hidden frames, and it repeats the last frame to fill up."""
    options = FIXED_GOP if codec == "libx264" else X265
    whole = films.write_video(tmp_path / "whole.mp4", codec, options=options)
    path = films.copy_stream(whole, tmp_path / "cut.mp4", shift=-cut * 512)
    raw = decord.VideoReader(str(path))
    told = [films.number_in(raw.next().asnumpy()) for _ in range(len(raw))]
    assert len(told) > 40 - cut
    assert told[-1] == told[-2] == 39
    for reader in ("auto", "pyav"):
        assert numbers(films, path, reader) == list(range(cut, 40))
    opened = open_video(path)
    if cut < 12:  # inside the first group of pictures: decord gets everything right but the number
        assert numbers(films, path, "decord") == list(range(cut, 40))
        assert any("decord announces" in note for note in opened.notes)
    assert any("edit list" in note for note in opened.notes)
    np.testing.assert_allclose(opened.info.times_s, np.arange(40 - cut) / 25, atol=1e-9)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("options", [FIXED_GOP, OPEN_GOP])
@pytest.mark.parametrize("first_packet", [5, 13, 20])
def test_a_copy_that_starts_between_key_frames(
    tmp_path: Path, films: Any, suffix: str, options: dict[str, str], first_packet: int
) -> None:
    whole = films.write_video(tmp_path / "whole.mp4", options=options)
    path = films.copy_stream(whole, tmp_path / f"part.{suffix}", first_packet=first_packet)
    info = probe(path)
    assert any("key frame is not in the file" in note for note in info.notes)
    expected = list(range(40 - info.n_frames, 40))
    assert numbers(films, path) == numbers(films, path, "pyav") == expected
    np.testing.assert_allclose(info.times_s, np.array(expected) / 25, atol=1e-9)
    with pytest.raises(VideoError, match="key frame"):
        open_video(path, "decord")


def test_random_access_of_decord_lies_and_we_read_in_order(tmp_path: Path, films: Any) -> None:
    """https://github.com/dmlc/decord/issues/54, /195: UCF101's kind of file."""
    path = films.write_video(tmp_path / "x.avi", "mpeg4", 200, options={"bf": "2"})
    jumped = decord.VideoReader(str(path)).get_batch(range(40, 48)).asnumpy()
    assert [films.number_in(frame) for frame in jumped] != list(range(40, 48))
    for reader in ("auto", "decord", "pyav"):
        assert numbers(films, path, reader) == list(range(200))


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_pictures_are_given_the_right_way_up(tmp_path: Path, films: Any, rotation_deg: int) -> None:
    upright = read_all(films.write_video(tmp_path / "up.mp4"), "pyav")
    path = films.write_video(tmp_path / "turned.mp4", rotation_deg=rotation_deg)
    info, frames = probe(path), read_all(path)
    assert info.rotation_deg == rotation_deg
    assert frames.shape == (40, info.height, info.width, 3)
    np.testing.assert_array_equal(frames, np.rot90(upright, rotation_deg // 90, axes=(1, 2)))


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_rotation_agrees_with_opencv(tmp_path: Path, films: Any, rotation_deg: int) -> None:
    cv2 = pytest.importorskip("cv2")
    path = films.write_video(tmp_path / "turned.mp4", rotation_deg=rotation_deg)
    capture = cv2.VideoCapture(str(path))
    for _ in range(6):
        _, last = capture.read()
    capture.release()
    ours = read_all(path)[5].astype(int)
    assert last.shape == ours.shape
    assert np.abs(last[..., ::-1] - ours).mean() < 8


def test_one_frame(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.mp4", n_frames=1)
    for reader in ("decord", "pyav"):
        assert read_all(path, reader).shape == (1, 48, 64, 3)
    assert probe(path).n_frames == 1


@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize(("chunk", "sizes"), [(1, [1] * 40), (16, [16, 16, 8]), (40, [40]), (99, [40])])
def test_chunks(tmp_path: Path, films: Any, reader: Reader, chunk: int, sizes: list[int]) -> None:
    video = open_video(films.write_video(tmp_path / "x.mp4"), reader, chunk)
    for _ in range(2):  # every pass starts again
        assert [len(frames) for frames in video] == sizes


def test_chunk_belongs_to_the_caller(tmp_path: Path, films: Any) -> None:
    chunks = list(open_video(films.write_video(tmp_path / "x.mp4"), chunk_frames=8))
    chunks[0][:] = 0
    assert chunks[1].any()


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_chunks_of_large_pictures_have_fewer_frames(
    tmp_path: Path, films: Any, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    path = films.write_video(tmp_path / "x.mp4", n_frames=7)
    for limit, sizes in ((3 * 64 * 48 * 3 + 5, [3, 3, 1]), (10, [1] * 7), (10**9, [5, 2])):
        monkeypatch.setattr(decode, "CHUNK_BYTES", limit)
        assert [len(chunk) for chunk in open_video(path, reader, chunk_frames=5)] == sizes


def test_decord_reads_short_videos_only(tmp_path: Path, films: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It decodes ahead without end: 3000 frames of 1280x720 took 6.6 GB behind a flow that was slower."""
    path = films.write_video(tmp_path / "x.mp4", n_frames=10)
    assert isinstance(open_video(path), decode.DecordReader)
    pictures = read_all(path)
    monkeypatch.setattr(decode, "DECORD_BYTES", 10 * 3 * 64 * 48 - 1)
    assert isinstance(open_video(path), decode.PyavReader)
    np.testing.assert_array_equal(read_all(path), pictures)


def test_chunk_of_nothing_is_a_programming_error(tmp_path: Path, films: Any) -> None:
    with pytest.raises(ValueError, match="chunk_frames"):
        open_video(films.write_video(tmp_path / "x.mp4"), chunk_frames=0)


def test_without_decord(tmp_path: Path, films: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films.write_video(tmp_path / "x.mp4")
    monkeypatch.setitem(sys.modules, "decord", None)
    reader = open_video(path)
    assert isinstance(reader, decode.PyavReader)
    assert any("not installed" in note for note in reader.notes)
    with pytest.raises(UserError, match=r"set decode\.reader to pyav"):
        open_video(path, "decord")


def hostile(tmp_path: Path, films: Any, kind: str) -> Path:
    path = tmp_path / "bad.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a film\n" * 100)
    elif kind == "playlist":
        path.write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'whole.mp4'}'\n")
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio only":
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    elif kind == "no moov":
        data = films.write_video(tmp_path / "whole.mp4").read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif kind == "NUL in the name":
        return Path(f"{path}\0")
    return path


@pytest.mark.parametrize("reader", ["auto", "decord", "pyav"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"empty \(0 bytes\); fetch it again"),
        ("text", "FFmpeg cannot read it"),
        ("playlist", "FFmpeg cannot read it|playlist"),
        ("folder", "a folder, not a video file"),
        ("audio only", r"no video stream inside \(found: audio\)"),
        ("no moov", "FFmpeg cannot read it"),
        ("missing", "no such file"),
        ("NUL in the name", "cannot be read"),
    ],
)
def test_what_is_no_video_is_refused_with_a_reason(
    tmp_path: Path, films: Any, kind: str, message: str, reader: Reader
) -> None:
    path = hostile(tmp_path, films, kind)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path, reader)
    assert "bad.mp4" in caught.value.message


def test_no_permission(tmp_path: Path, films: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films.write_video(tmp_path / "x.mp4")

    def denied(*_: Any, **__: Any) -> None:  # a test run as root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(VideoError, match="no permission"):
        probe(path)


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(VideoError, match="a pipe or device"):
        probe(tmp_path / "x.mp4")


@pytest.mark.parametrize("name", ["x.avi", "x.mkv", "x.mp4"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_cut_off_file_is_refused(tmp_path: Path, films: Any, name: str, share: float) -> None:
    import av

    codec = "mpeg4" if name == "x.avi" else "libx264"
    whole = films.write_video(tmp_path / name, codec)
    if name == "x.mp4":  # index first, as the web wants it: opens well, ends early
        with (
            av.open(str(whole)) as old,
            av.open(str(tmp_path / "web.mp4"), "w", options={"movflags": "faststart"}) as new,
        ):
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
        whole = tmp_path / "web.mp4"
    data = whole.read_bytes()
    path = tmp_path / f"cut_{name}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError, match=r"cut off|FFmpeg cannot read it"):
        probe(path)


def test_damaged_bytes_never_crash(tmp_path: Path, films: Any) -> None:
    """In a process of its own, because a crash of a decoder would end the tests."""
    whole = films.write_video(tmp_path / "whole.avi", "mpeg4")
    program = """
import random, sys
from pathlib import Path
from pipeline.video.decode import read_all
from pipeline.errors import VideoError
data = Path(sys.argv[1]).read_bytes()
for seed in range(25):
    draw, damaged = random.Random(seed), bytearray(data)
    for _ in range(draw.choice((1, 30, 300))):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    path = Path(sys.argv[1]).with_name("damaged.avi")
    path.write_bytes(damaged)
    for reader in ("auto", "pyav"):
        try:
            read_all(path, reader)
        except VideoError as error:
            print("refused", error.message.splitlines()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(whole)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") > 5


def test_a_damaged_frame_is_named(tmp_path: Path, films: Any) -> None:
    path = films.write_video(tmp_path / "x.webm", "libvpx-vp9")
    offsets = packet_offsets(path)
    data = bytearray(path.read_bytes())
    data[offsets[23] : offsets[23] + 40] = bytes(40)
    path.write_bytes(data)
    for reader in ("auto", "decord", "pyav"):
        with pytest.raises(VideoError, match=r"x\.webm: frame \d+ of \d+ cannot be decoded") as caught:
            read_all(path, reader)
        assert "fetch the file again" in caught.value.message
        assert "\n" not in caught.value.message


def packet_offsets(path: Path) -> list[int]:
    """Where in the file the data of each packet lie."""
    import av

    data = path.read_bytes()
    with av.open(str(path)) as container:
        return [data.index(bytes(packet)) for packet in container.demux(video=0) if packet.size]


@pytest.mark.slow
def test_real_clips(shared: Path) -> None:
    with (shared / "clips" / "provenance.csv").open(newline="", encoding="utf-8") as handle:
        told = {row["file"]: row for row in csv.DictReader(handle)}
    clips = sorted((shared / "clips").glob("*/*.mp4")) + sorted((shared / "clips").glob("*/*.avi"))
    assert len(clips) == len(told)
    for clip in clips:
        info, row = probe(clip), told[clip.name]
        assert info.n_frames == int(row["frames"]), clip
        assert abs(float(info.fps) - float(row["fps"])) < 0.01, clip
        assert (info.width, info.height) == (int(row["width"]), int(row["height"])), clip
        assert info.has_audio == (row["audio"] == "True"), clip
        assert (np.diff(info.times_s) > 0).all(), clip
        for by_decord, by_pyav in zip(open_video(clip, "decord"), open_video(clip, "pyav"), strict=True):
            difference = by_decord.astype(np.int16) - by_pyav
            assert np.abs(difference).max() <= (2 if info.codec == "mpeg4" else 0), clip
