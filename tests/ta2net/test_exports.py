"""Every format, read back by something else than this program, on values."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import mido
import opentimelineio as otio
import pysubs2
import pytest
import webvtt
from ptulsconv.docparser import parse_document
from timecode import Timecode

from pipeline.errors import UserError
from ta2net.deliver.exports import FORMATS, formats_named, write_export, write_exports
from ta2net.media.timeline import Marker, Timeline

NTSC_24, NTSC_30, NTSC_60 = (Fraction(rate * 1000, 1001) for rate in (24, 30, 60))
RATES = (NTSC_24, Fraction(25), NTSC_30, Fraction(30), NTSC_60, Fraction(12))
FRAMES = (0, 1, 2, 29, 1799, 1800, 17981, 17982, 19999)
N_FRAMES = 20_000
AUDACITY_LINE = re.compile(r"(\d+\.\d+)\t(\d+\.\d+)\t([^\t\n]*)")


def film(times_s, frames, fps, **more):
    markers = tuple(
        Marker(frame, times_s[frame], (index + 1) / 10, 0.25, 0.75, f"hit {index}", "tapping")
        for index, frame in enumerate(frames)
    )
    ends = {"first_frame_s": times_s[0], "last_frame_s": times_s[-1]}
    return Timeline("film.mp4", fps, len(times_s), 48, 64, markers=markers, **(ends | more))


def steady(fps, **more):
    return film([frame / fps for frame in range(N_FRAMES)], FRAMES, fps, **more)


def uneven():
    """Variable frame rate on a clock of 90 kHz, near 29.97 on average; starts at 1.4 s, sound at 1.3 s."""
    ticks = [126_000]
    while len(ticks) < 900:
        ticks.append(ticks[-1] + (3013 if len(ticks) % 7 else 2900) + 40 * (len(ticks) % 3))
    times_s = [Fraction(tick, 90_000) for tick in ticks]
    fps = 899 / (times_s[-1] - times_s[0])
    return film(times_s, (0, 1, 2, 500, 899), fps, player_zero_s=Fraction(13, 10)), times_s


ALL = [pytest.param(steady(fps), id=f"{float(fps):.5g}") for fps in RATES] + [
    pytest.param(uneven()[0], id="uneven")
]


def written(timeline, name):
    return FORMATS[name].render(timeline).decode("utf-8")


def player_s(timeline):
    """What a player shows at each marker: the container's time less the earliest start of a track."""
    zero_s = Fraction(13, 10) if timeline.n_frames == 900 else 0
    return [marker.time_s - zero_s for marker in timeline.markers]


def grid(timeline):
    """Frames of an editor's timeline: the frame numbers, or where the times fall on a steady 29.97."""
    if timeline.n_frames == N_FRAMES:
        return list(FRAMES)
    return [round(float(marker.time_s - Fraction(14, 10)) * 30000 / 1001) for marker in timeline.markers]


@pytest.mark.parametrize("timeline", ALL)
def test_json(timeline):
    document = json.loads(written(timeline, "json"))
    assert Fraction(document["fps"]) == timeline.fps
    assert (document["n_frames"], document["height_px"], document["width_px"]) == (timeline.n_frames, 48, 64)
    hits = document["hits"]
    assert [hit["frame"] for hit in hits] == [marker.frame for marker in timeline.markers]
    assert [Fraction(hit["time_exact_s"]) for hit in hits] == [marker.time_s for marker in timeline.markers]
    assert [hit["player_time_s"] for hit in hits] == [float(time_s) for time_s in player_s(timeline)]
    assert [hit["probability"] for hit in hits] == [marker.probability for marker in timeline.markers]
    assert {(hit["x_fraction"], hit["y_fraction"], hit["class"]) for hit in hits} == {(0.25, 0.75, "tapping")}
    if document["timecode"]["rate"] != "12/1":  # which the judge does not know
        drop = document["timecode"]["drop_frame"]
        judge = [
            Timecode(document["timecode"]["rate"], frames=at + 1, force_non_drop_frame=not drop)
            for at in grid(timeline)
        ]
        assert [hit["timecode"] for hit in hits] == [str(one) for one in judge]


def test_which_rates_drop():
    drops = {fps: json.loads(written(steady(fps), "json"))["timecode"]["drop_frame"] for fps in RATES}
    assert [fps for fps, drop in drops.items() if drop] == [NTSC_30, NTSC_60]


@pytest.mark.parametrize("timeline", ALL)
def test_csv(timeline):
    rows = list(csv.DictReader(io.StringIO(written(timeline, "csv"), newline="")))
    assert [int(row["frame"]) for row in rows] == [marker.frame for marker in timeline.markers]
    for row, marker, at_s in zip(rows, timeline.markers, player_s(timeline), strict=True):
        assert abs(Fraction(row["time_s"]) - marker.time_s) <= Fraction(1, 10**6)
        assert abs(Fraction(row["player_time_s"]) - at_s) <= Fraction(1, 10**6)
        assert row["timecode"] == timeline.timecode(marker)
        assert (float(row["probability"]), row["label"], row["class"]) == (
            marker.probability,
            marker.label,
            "tapping",
        )
        assert (row["x_fraction"], row["y_fraction"]) == ("0.25", "0.75")


@pytest.mark.parametrize("timeline", ALL)
def test_audacity(timeline):
    """The grammar of the Audacity manual: two numbers of seconds and a text, divided by tabs."""
    lines = written(timeline, "audacity").splitlines()
    found = [AUDACITY_LINE.fullmatch(line) for line in lines]
    assert all(found)
    for one, marker, at_s in zip(found, timeline.markers, player_s(timeline), strict=True):
        assert one[1] == one[2]
        assert abs(Fraction(one[1]) - at_s) <= Fraction(1, 10**6)
        assert one[3] == f"{marker.label} {marker.probability:.2f}"


@pytest.mark.parametrize("timeline", ALL)
def test_reaper(timeline):
    rows = list(csv.reader(io.StringIO(written(timeline, "reaper"), newline="")))
    assert rows[0] == ["#", "Name", "Start", "End", "Length"]
    for number, (row, marker, at_s) in enumerate(
        zip(rows[1:], timeline.markers, player_s(timeline), strict=True), start=1
    ):
        hours, minutes, seconds = row[2].split(":")
        read_s = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        assert abs(read_s - at_s) <= Fraction(1, 2000)
        assert (row[0], row[1], row[3:]) == (
            f"M{number}",
            f"{marker.label} {marker.probability:.2f}",
            ["", ""],
        )


@pytest.mark.parametrize("timeline", ALL[:5] + ALL[6:])  # OpenTimelineIO has no timecode at 12 frames/s
def test_resolve(timeline):
    """OpenTimelineIO's reader of CMX 3600 gives source times; the record times are the same an hour later."""
    text = written(timeline, "resolve")
    rate = float(timeline.rate)
    hour = 107892 * round(rate / 30) if timeline.rate in (NTSC_30, NTSC_60) else 3600 * round(rate)
    read = otio.adapters.read_from_string(text, "cmx_3600", rate=rate)
    clips = list(read.find_clips())
    assert [round(clip.source_range.start_time.value) for clip in clips] == grid(timeline)
    assert {clip.source_range.duration.value for clip in clips} == {1}
    comments = [clip.metadata["cmx_3600"]["comments"][0] for clip in clips]
    assert comments == [
        f"|C:ResolveColorBlue |M:{marker.label} {marker.probability:.2f} |D:1" for marker in timeline.markers
    ]
    records = re.findall(r"^\d{3}  001 .* (\S+) (\S+)  $", text, re.MULTILINE)
    for (first, last), at in zip(records, grid(timeline), strict=True):
        assert otio.opentime.from_timecode(first, rate).value == hour + at
        assert otio.opentime.from_timecode(last, rate).value == hour + at + 1
    drop = timeline.rate in (NTSC_30, NTSC_60)
    assert text.splitlines()[1] == ("FCM: DROP FRAME" if drop else "FCM: NON-DROP FRAME")


@pytest.mark.parametrize("timeline", ALL)
def test_otio(timeline):
    read = otio.adapters.read_from_string(written(timeline, "otio"), "otio_json")
    (clip,) = read.find_clips()
    markers = list(clip.markers)
    assert [marker.marked_range.start_time.value for marker in markers] == grid(timeline)
    assert {marker.marked_range.start_time.rate for marker in markers} == {float(timeline.rate)}
    assert [marker.name for marker in markers] == [marker.label for marker in timeline.markers]
    assert clip.source_range.duration.value == timeline.n_grid_frames
    known = [marker.metadata["ta2net"] for marker in markers]
    assert [one["frame"] for one in known] == [marker.frame for marker in timeline.markers]
    assert [one["probability"] for one in known] == [marker.probability for marker in timeline.markers]


@pytest.mark.parametrize("timeline", ALL)
@pytest.mark.parametrize("name", ["vtt", "srt"])
def test_subtitles(timeline, name):
    cues = list(pysubs2.SSAFile.from_string(written(timeline, name), format_=name))
    for cue, marker, at_s in zip(cues, timeline.markers, player_s(timeline), strict=True):
        assert abs(Fraction(cue.start, 1000) - at_s) <= Fraction(1, 2000)
        assert cue.start < cue.end <= cue.start + 500
        assert cue.plaintext == f"{marker.label} {marker.probability:.2f}"
    assert all(one.end <= following.start for one, following in pairwise(cues))


def test_webvtt_reads_the_cues():
    timeline = steady(NTSC_30)
    cues = webvtt.from_string(written(timeline, "vtt")).captions
    assert [cue.text for cue in cues] == [f"{one.label} {one.probability:.2f}" for one in timeline.markers]
    assert [cue.start for cue in cues][3:6] == ["00:00:00.968", "00:01:00.027", "00:01:00.060"]


@pytest.mark.parametrize("timeline", ALL)
def test_midi(timeline):
    read = mido.MidiFile(file=io.BytesIO(FORMATS["midi"].render(timeline)), charset="utf-8")
    tempo = next(message.tempo for message in read.tracks[0] if message.type == "set_tempo")
    tick_s = Fraction(tempo, 1_000_000 * read.ticks_per_beat)
    assert tempo == (1_001_000 if timeline.rate.denominator == 1001 else 1_000_000)
    now, notes, marks = 0, [], []
    for track in read.tracks:
        now = 0
        for message in track:
            now += message.time
            if message.type == "note_on":
                notes.append((now, message.velocity))
            if message.type == "marker":
                marks.append((now, message.text))
    assert now * tick_s >= timeline.markers[-1].time_s - timeline.zero_s
    steps = [abs(tick * tick_s - at_s) for (tick, _), at_s in zip(notes, player_s(timeline), strict=True)]
    assert max(steps) <= (tick_s / 2 if timeline.n_frames == 900 else 0)
    assert [velocity for _, velocity in notes] == [round(127 * one.probability) for one in timeline.markers]
    texts = [f"{one.label} {one.probability:.2f}" for one in timeline.markers]
    assert marks == list(zip([tick for tick, _ in notes], texts, strict=True))
    at_s, starts_s = 0.0, []  # mido's own arithmetic of the tempo map
    for message in read:
        at_s += message.time
        if message.type == "note_on":
            starts_s.append(at_s)
    assert starts_s == pytest.approx([float(time_s) for time_s in player_s(timeline)], abs=6e-4)


def test_midi_notes_do_not_overlap():
    read = mido.MidiFile(file=io.BytesIO(FORMATS["midi"].render(steady(NTSC_60))))
    sounding = [message.type for message in read.tracks[1] if not message.is_meta]
    assert sounding == ["note_on", "note_off"] * len(FRAMES)


@pytest.mark.parametrize("timeline", ALL)
def test_protools(timeline):
    session = parse_document(written(timeline, "protools"))
    assert session.header.sample_rate == 48000
    for number, (read, marker, at_s) in enumerate(
        zip(session.markers, timeline.markers, player_s(timeline), strict=True), start=1
    ):
        assert (read.number, read.units.strip(), read.name.strip()) == (number, "Samples", marker.label)
        assert abs(Fraction(read.time_reference, 48000) - at_s) <= Fraction(1, 96000)
        assert f"probability {marker.probability:.3f}" in read.comments
        rate = {"60": 60, "59.94": NTSC_60, "29.97": NTSC_30, "23.976": NTSC_24}.get(
            session.header.timecode_fps, Fraction(session.header.timecode_fps)
        )
        location = otio.opentime.from_timecode(read.location.strip(), float(rate)).value
        assert abs(Fraction(location) / rate - at_s) <= 1 / rate / 2
    assert session.header.timecode_drop_frame == (timeline.rate in (NTSC_30, NTSC_60))


@pytest.mark.parametrize("timeline", ALL)
def test_e2espot(timeline):
    """What ``compute_mAPs`` of E2E-Spot reads: video, events with label, frame and score."""
    (video,) = json.loads(written(timeline, "e2espot"))
    assert video["video"] == "film"
    assert video["fps"] == float(timeline.fps)
    assert video["events"] == [
        {"label": "tapping", "frame": one.frame, "score": one.probability} for one in timeline.markers
    ]


def test_a_start_timecode_counts_on():
    timeline = steady(NTSC_30, start_timecode="09:59:59;28")
    codes = [hit["timecode"] for hit in json.loads(written(timeline, "json"))["hits"]]
    assert codes[:4] == ["09:59:59;28", "09:59:59;29", "10:00:00;00", "10:00:00;27"]
    (clip,) = otio.adapters.read_from_string(written(timeline, "otio"), "otio_json").find_clips()
    start = clip.media_reference.available_range.start_time
    assert start.to_timecode(float(NTSC_30), True) == "09:59:59;28"
    assert list(clip.markers)[1].marked_range.start_time.value == start.value + 1
    read = otio.adapters.read_from_string(written(timeline, "resolve"), "cmx_3600", rate=float(NTSC_30))
    first = next(iter(read.find_clips())).source_range.start_time
    assert first.to_timecode(float(NTSC_30), True) == "09:59:59;28"


def test_non_drop_on_request():
    timeline = steady(NTSC_30, drop_frame=False)
    assert written(timeline, "resolve").splitlines()[1] == "FCM: NON-DROP FRAME"
    hits = json.loads(written(timeline, "json"))["hits"]
    assert [hit["timecode"] for hit in hits][5:8] == ["00:01:00:00", "00:09:59:11", "00:09:59:12"]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"start_timecode": "01:00:00:00", "drop_frame": True}, "but drop-frame timecode is asked for"),
        ({"start_timecode": "00:01:00;00"}, "no such number"),
        ({"n_frames": 100}, "frame 1799 is not one of its 100 frames"),
        ({"last_frame_s": Fraction(1)}, r"from 0.000000 to 1.000000 s; is it another video's"),
        ({"n_frames": 0}, "are not a video"),
        ({"player_zero_s": Fraction(1)}, "player_zero_s"),
        ({"markers": (Marker(2, Fraction(1), 0.5), Marker(1, Fraction(1, 2), 0.5))}, "not in the order"),
        ({"markers": (Marker(2, Fraction(1), 1.5),)}, "probability 1.5"),
        ({"markers": (Marker(2, Fraction(1), 0.5, 0.5),)}, "both must lie in 0 to 1"),
        ({"markers": (Marker(2, Fraction(1), 0.5, label="\ud83d"),)}, "not valid text"),
    ],
)
def test_what_no_editor_could_show_is_refused(more, what):
    with pytest.raises(UserError, match=what):
        replace(steady(NTSC_30), **more)


def test_no_drop_frames_at_23_976():
    with pytest.raises(UserError, match="no drop-frame timecode"):
        steady(NTSC_24, drop_frame=True)


def test_names_of_formats():
    assert formats_named(["premiere, audacity", "JSON", "audacity"]) == ["premiere", "audacity", "json"]
    assert formats_named(["json,all"]) == list(FORMATS)
    for wrong in (["avid"], ["json", "x,y"], [], [","]):
        with pytest.raises(UserError, match="choose from json, csv"):
            formats_named(wrong)


def test_every_format_has_its_own_file(tmp_path):
    paths = write_exports(steady(Fraction(25)), ["all"], tmp_path / "new" / "folder")
    assert len({path.name.casefold() for path in paths}) == len(FORMATS) == 13
    assert sorted(path.name for path in paths) == sorted(path.name for path in paths[0].parent.iterdir())
    assert all(path.name.startswith("film.") for path in paths)
    write_export(steady(Fraction(25)), "srt", tmp_path / "other.srt")
    with pytest.raises(UserError, match="unknown format 'all'; choose one of json"):
        write_export(steady(Fraction(25)), "all", tmp_path / "other")
    assert (tmp_path / "other.srt").read_bytes() == (tmp_path / "new/folder/film.hits.srt").read_bytes()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_exports(steady(Fraction(25)), ["json"], tmp_path / "file")
