"""Marks back from editors: what was exported comes back on the same frames, whatever the film's clock."""

from __future__ import annotations

import csv
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.errors import UserError
from pipeline.params import SourceParams
from pipeline.sources.audible623 import read_label_files
from ta2net.cli import main
from ta2net.deliver.exports import FORMATS as EXPORTS
from ta2net.deliver.exports import look_at, timeline_of
from ta2net.label.importing import read_marks
from ta2net.label.marks import FORMATS

NTSC = Fraction(30000, 1001)
READ_BACK = {"audacity": "audacity", "csv": "csv", "reaper": "reaper", "resolve": "edl"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def film(films, folder):
    """Films by name: constant rates, drop-frame past a minute, late starts, a variable rate."""
    made = {}
    steps = np.random.default_rng(5).integers(34, 90, size=60)  # ms

    def steady(suffix, rate, n_frames, **more):
        pts = list(range(n_frames))
        return {
            "suffix": suffix,
            "rate": rate,
            "n_frames": n_frames,
            "pts": pts,
            "time_base": 1 / rate,
            **more,
        }

    specs = {
        "pal": steady(".mp4", Fraction(25), 60),
        "drop": steady(".mp4", NTSC, 1850),
        "cinema": steady(".mov", Fraction(24000, 1001), 60),
        "fast": steady(".mp4", Fraction(60000, 1001), 80),
        "late": {"suffix": ".mkv", "n_frames": 50, "pts": [10 + t for t in range(50)]},
        "sound": {"suffix": ".ts", "pts": list(range(5, 45)), "time_base": Fraction(1, 25), "sound": True},
        "uneven": {
            "suffix": ".mkv",
            "n_frames": 60,
            "pts": np.cumsum(steps).tolist(),
            "time_base": Fraction(1, 1000),
        },
    }

    def get(name):
        if name not in made:
            spec = dict(specs[name])
            made[name] = films.write_video(folder / f"{name}{spec.pop('suffix')}", **spec)
        return made[name]

    return get


def hits_at(looked, frames):
    place = {"x_fraction": 0.5, "y_fraction": 0.5, "probability": 0.8}
    return [SimpleNamespace(frame=t, time_s=float(looked.times_s[t]), **place) for t in frames]


@pytest.mark.parametrize("name", ["pal", "drop", "cinema", "fast", "late", "sound", "uneven"])
@pytest.mark.parametrize("export", READ_BACK)
def test_exported_and_imported_is_the_same(film, tmp_path, name, export):
    looked = look_at(film(name))
    every = range(len(looked.times_s))
    if (
        export == "resolve" and name == "uneven"
    ):  # two frames on one frame of the timeline cannot be told apart
        rate = timeline_of(looked, []).rate
        slots = [int((time_s - looked.times_s[0]) * rate + Fraction(1, 2)) for time_s in looked.times_s]
        every = [t for t in every if slots.count(slots[t]) == 1]
        assert len(every) > 30
    path = tmp_path / f"{name}{EXPORTS[export].suffix}"
    path.write_bytes(EXPORTS[export].render(timeline_of(looked, hits_at(looked, every))))
    found = read_marks(path, film(name))
    assert found.format == READ_BACK[export]
    assert found.frames == tuple(every)


def test_every_format_that_is_read_has_an_export():
    assert set(READ_BACK.values()) == set(FORMATS)


def marks(tmp_path, text, name="marks.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_marks_moved_by_hand_go_to_the_nearest_frame(film, tmp_path):
    """The film starts at 0.4 s and shows 25 frames a second; Audacity counts from the first frame."""
    text = "0.019\t0.019\ta\n0.021\t0.021\tb\n\\\t100\t200\n1.9\t2.0\tregion\n1,0\t1,0\tcomma\n"
    assert read_marks(marks(tmp_path, text), film("late")).frames == (0, 1, 25, 48)
    text = "#,Name,Start,End,Length\nM1,,0:00.461,,\nR2,,1.0,1.5,0.5\nM3,,0:00:01.5,,\n"
    assert read_marks(marks(tmp_path, text, "m.csv"), film("late")).frames == (12, 25, 38)
    text = "time_s,frame,note\n0.4,,\n,3,x\n0.6,5,both\n0.61,5,nearly\n"
    found = read_marks(marks(tmp_path, text, "t.csv"), film("late"))
    assert (found.frames, found.marks) == ((0, 3, 5), 4)


def test_cut_lists_and_locators(film, tmp_path):
    """CMX 3600 by hand, at 25 frames a second; the timeline may start elsewhere, or count drop-frame."""
    events = [
        f"{n:03d}  AX       V     C        00:00:00:00 00:00:00:01 10:00:0{n}:00 10:00:0{n}:01"
        for n in (0, 1, 2)
    ]
    cuts = "TITLE: x\nFCM: NON-DROP FRAME\n\n" + "\n".join(events)
    assert read_marks(marks(tmp_path, cuts, "a.edl"), film("pal"), start_timecode="10:00:00:00").frames == (
        0,
        25,
        50,
    )
    located = f"{cuts}\n* LOC: 10:00:01:07 RED     bang\n"
    assert read_marks(
        marks(tmp_path, located, "b.edl"), film("pal"), start_timecode="10:00:00:00"
    ).frames == (32,)
    # frame 1800 of 29.97 carries ;02 of minute one: 00 and 01 are left out there
    drop = "FCM: DROP FRAME\n001  AX V C 00:00:00:00 00:00:00:01 01:01:00:02 01:01:00:03\n"
    assert read_marks(marks(tmp_path, drop, "c.edl"), film("drop")).frames == (1800,)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        (
            "m.txt",
            "0.5\t0.5\ta\n2.6\t2.6\tb\n",
            "1 of 2 marks lie outside .* from 0.000 to 2.360 s.*\n  line 2: 2.6",
        ),
        ("m.txt", "-0.03\t0\ta\n", "lie outside"),
        ("m.txt", "0.5 0.5 a\n", "neither an Audacity label track, nor CSV"),
        ("m.txt", "0.5\t0.5\ta\nhalf\t1\tb\n", r"line 2: 'half\\t1\\tb' is not a label"),
        ("m.csv", "#,Name,Start\nM1,a,1.1.00\n", "line 2: Start is '1.1.00', not a time .*Minutes:Seconds"),
        ("m.csv", "frame,time_s\n70,\n", "line 2: frame is '70'; the video's frames are 0 to 59"),
        ("m.csv", "frame,time_s\n30,1.25\n", r"frame 30 is shown at 1.200000 s, but time_s is 1.25"),
        ("m.csv", "frame,time_s\n,\n5,x\n", "line 3: time_s is 'x', not a number"),
        ("m.csv", "row_id,frame\na,1\nb,2\n", "marks of 2 rows; choose one with --row"),
        (
            "m.edl",
            "001 AX V C 00:00:00:00 00:00:00:01 00:00:01:00 00:00:01:01",
            "before the start of the timeline",
        ),
        ("m.edl", "001 AX V C 00:00:00:00 00:00:00:01 01:00:01:25 01:00:01:26", "line 1: .*from 00 to 24"),
        ("m.edl", "FCM: DROP FRAME\n", "drop-frame, which a video of 25 frames/s cannot have"),
        ("m.txt", b"\xff\xfe0\x00", "not UTF-8"),
        ("none.txt", None, "cannot be read"),
    ],
)
def test_what_a_user_can_mend(film, tmp_path, name, text, what):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"(?s){what}"):
        read_marks(path, film("pal"))


def test_the_command_corrects_one_row_and_leaves_the_others(film, tmp_path):
    out = tmp_path / "labels.csv"
    out.write_text(
        'video_id,sound_label,class,note,annotated\nother,"1,2",drum,keep,0-9\n'
        'pal,"3,4",clap,mine,0-6 20-30\npal,9,clap,twice\n'
    )
    path = marks(tmp_path, "1.0\t1.0\ta\n0.2\t0.2\tb\n1.01\t1.01\tc\n")
    arguments = ["import", str(path), "--video", str(film("pal")), "--out", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "2 labels from audacity (1 marks shared a frame with another)" in done.output
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [tuple(row.values()) for row in rows] == [
        ("other", "1,2", "drum", "keep", "0-9"),
        ("pal", "5,25", "clap", "mine", "0-6 20-30"),
    ]
    again = CliRunner().invoke(main, [*arguments[:3], str(film("late")), *arguments[4:], "--class", "knock"])
    assert again.exit_code == 0, again.output
    listing = read_label_files(SourceParams(name="csv", train_labels=str(out), eval_labels=None))
    found = {row.video_id: (row.labels, row.class_name, row.annotated) for row in listing.rows}
    assert found == {
        "other": ((1, 2), "drum", ((0, 10),)),
        "pal": ((5, 25), "clap", ((0, 7), (20, 31))),
        "late": ((5, 25), "knock", None),
    }


def test_a_file_that_is_no_label_file_is_left_alone(film, tmp_path):
    out = tmp_path / "notes.csv"
    out.write_text("a,b\n1,2\n")
    path = marks(tmp_path, "1.0\t1.0\ta\n")
    done = CliRunner().invoke(main, ["import", str(path), "--video", str(film("pal")), "--out", str(out)])
    assert done.exit_code == 2
    assert "the header lacks video_id, sound_label, class" in done.output
    assert out.read_text() == "a,b\n1,2\n"
