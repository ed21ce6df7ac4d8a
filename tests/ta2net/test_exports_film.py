"""From a video file and hits.csv to exports: exact times of real containers, the command, its errors."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import opentimelineio as otio
import pytest
from click.testing import CliRunner

from pipeline.errors import UserError
from ta2net.cli import main
from ta2net.deliver.exports import FORMATS, look_at, timeline_of

NTSC_30 = Fraction(30000, 1001)
HEADER = "row_id,frame,time_s,probability,x_fraction,y_fraction\n"


def decoded_s(path):
    """Presentation times as FFmpeg's decoder gives them, exact."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def hit(frame, time_s):
    return SimpleNamespace(
        frame=frame, time_s=float(time_s), probability=0.5, x_fraction=0.25, y_fraction=0.75
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def ntsc(films, folder):
    """29.97 frames/s, timecode 00:59:59;28."""
    path = films.write_video(
        folder / "ntsc.mp4", n_frames=70, rate=NTSC_30, pts=list(range(70)), time_base=1 / NTSC_30
    )
    target = folder / "coded.mov"
    with av.open(str(path)) as old, av.open(str(target), "w") as new:
        new.metadata["timecode"] = "00:59:59;28"
        copied = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = copied
                new.mux(packet)
    return target


def test_ntsc_with_timecode(ntsc):
    film = look_at(ntsc)
    assert film.times_s == tuple(decoded_s(ntsc)) == tuple(frame / NTSC_30 for frame in range(70))
    assert (film.fps, film.start_timecode, film.player_zero_s) == (NTSC_30, "00:59:59;28", 0)
    timeline = timeline_of(film, [hit(69, 69 / NTSC_30), hit(1, 1 / NTSC_30), hit(2, 2 / NTSC_30)])
    document = json.loads(FORMATS["json"].render(timeline))
    assert [one["timecode"] for one in document["hits"]] == ["00:59:59;29", "01:00:00;00", "01:00:02;07"]


@pytest.mark.parametrize(
    ("suffix", "time_base"), [(".mp4", Fraction(1, 90_000)), (".mkv", Fraction(1, 1000))]
)
def test_variable_rate(films, folder, suffix, time_base):
    rng = np.random.default_rng(3)
    steps = rng.integers(Fraction(2, 100) / time_base, Fraction(6, 100) / time_base, size=40)
    pts = np.cumsum(steps).tolist()
    path = films.write_video(folder / f"uneven{suffix}", pts=pts, time_base=time_base)
    film = look_at(path)
    assert film.times_s == tuple(decoded_s(path))
    steps_s = np.diff([float(time_s) for time_s in film.times_s])
    np.testing.assert_allclose(steps_s, np.diff(pts) * float(time_base), rtol=1e-12)
    frames = (0, 1, 20, 38, 39)
    timeline = timeline_of(film, [hit(frame, film.times_s[frame]) for frame in frames])
    document = json.loads(FORMATS["json"].render(timeline))
    assert [Fraction(one["time_exact_s"]) for one in document["hits"]] == [
        film.times_s[frame] for frame in frames
    ]
    (clip,) = otio.adapters.read_from_string(
        FORMATS["otio"].render(timeline).decode(), "otio_json"
    ).find_clips()
    for marker, frame in zip(clip.markers, frames, strict=True):
        read_s = marker.marked_range.start_time.to_seconds()
        assert abs(read_s - float(film.times_s[frame] - film.times_s[0])) <= 0.5 / float(timeline.rate) + 1e-9


def test_a_start_after_zero_and_sound_before_it(films, folder):
    """MPEG-TS starts where it likes; a player's 0:00 is the first of picture and sound."""
    path = films.write_video(
        folder / "late.ts", pts=list(range(5, 45)), time_base=Fraction(1, 25), sound=True
    )
    film = look_at(path)
    assert film.times_s == tuple(decoded_s(path))
    with av.open(str(path)) as container:
        sound_s = min(frame.pts * frame.time_base for frame in container.decode(audio=0))
    assert film.player_zero_s == min(sound_s, film.times_s[0])
    assert film.times_s[0] - film.player_zero_s > Fraction(1, 10)
    timeline = timeline_of(film, [hit(10, film.times_s[10])])
    start_s = float(FORMATS["audacity"].render(timeline).split(b"\t")[0])
    assert start_s == pytest.approx(float(film.times_s[10] - film.player_zero_s), abs=1e-6)
    assert timeline.grid_frame(timeline.markers[0]) == 10


def test_avi_and_rotation(films, folder):
    path = films.write_video(folder / "old.avi", "mpeg4", rate=12, n_frames=30)
    film = look_at(path)
    assert film.times_s == tuple(Fraction(frame, 12) for frame in range(30))
    turned = look_at(films.write_video(folder / "turned.mp4", rotation_deg=90))
    assert (turned.height_px, turned.width_px) == (64, 48)


def test_hits_of_another_film(ntsc):
    film = look_at(ntsc)
    with pytest.raises(UserError, match="hit at frame 70, but the video has 70 frames"):
        timeline_of(film, [hit(70, 70 / NTSC_30)])
    with pytest.raises(
        UserError, match=r"frame 30 has the time 0.998000 s, but that frame is shown at 1.001000"
    ):
        timeline_of(film, [hit(30, 0.998)])


@pytest.fixture
def hits(tmp_path, ntsc):
    times_s = decoded_s(ntsc)
    lines = [f"a,{at},{float(times_s[at]):.6f},0.9,0.5,0.25" for at in (0, 1, 69)]
    lines += [f"{row},3,{float(times_s[3]):.6f},0.8,0.1,0.2" for row in "bcdefghijklmn"]
    path = tmp_path / "hits.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_the_command_writes_all_formats(hits, ntsc, tmp_path):
    result = run("--hits", hits, "--video", ntsc, "--row", "a", "--format", "all", "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    names = [line.removeprefix("written: ").rpartition("/")[2] for line in result.output.splitlines()]
    assert names == [f"coded{known.suffix}" for known in FORMATS.values()]
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(names)
    document = json.loads((tmp_path / "new" / "coded.hits.json").read_text(encoding="utf-8"))
    assert [one["frame"] for one in document["hits"]] == [0, 1, 69]
    assert document["versions"]["ta2net"]
    with (tmp_path / "new" / "coded.hits.csv").open(encoding="utf-8", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["hit"] * 3
    read = otio.adapters.read_from_file(str(tmp_path / "new" / "coded.premiere.xml"), "fcp_xml")
    assert [marker.marked_range.start_time.value for marker in read.tracks.markers] == [0, 1, 69]


def test_class_and_timecode_of_the_command(hits, ntsc, tmp_path):
    more = ["--format", "audacity,json", "--class", "<drum>", "--start-timecode", "01:00:00:00", "--non-drop"]
    result = run("--hits", hits, "--video", ntsc, "--row", "a", "--out", tmp_path, *more)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "coded.audacity.txt").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "0.033367\t0.033367\t<drum> 0.90"
    document = json.loads((tmp_path / "coded.hits.json").read_text(encoding="utf-8"))
    assert document["hits"][2]["timecode"] == "01:00:02:09"


def test_a_file_without_hits(ntsc, tmp_path):
    (tmp_path / "none.csv").write_text(HEADER, encoding="utf-8")
    result = run("--hits", tmp_path / "none.csv", "--video", ntsc, "--format", "vtt", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "coded.hits.vtt").read_text(encoding="utf-8") == "WEBVTT\n"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"--row": None}, "14 rows; choose one with --row: a, b, c"),
        ({"--row": "zz"}, "no hits of row 'zz'"),
        ({"--format": "avid"}, "unknown format 'avid'; choose from json, csv"),
        ({"--hits": "/nowhere/hits.csv"}, "no such file"),
        ({"--video": "/nowhere/film.mp4"}, "no such file"),
        ({"--start-timecode": "1:2:3"}, "is not a timecode; write HH:MM:SS:FF"),
        ({"--start-timecode": "00:01:00;01"}, "no such number; the next is 02"),
    ],
)
def test_what_a_user_can_mend(hits, ntsc, tmp_path, change, what):
    asked = {
        "--hits": hits,
        "--video": ntsc,
        "--row": "a",
        "--format": "json",
        "--out": tmp_path / "o",
    } | change
    result = run(*(part for name, value in asked.items() if value is not None for part in (name, value)))
    assert result.exit_code == 2
    assert what in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "o").exists()
