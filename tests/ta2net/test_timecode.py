"""SMPTE timecode, judged by the ``timecode`` package, by OpenTimelineIO, and by numbers known by hand."""

from __future__ import annotations

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timecode import Timecode

from pipeline.errors import UserError
from ta2net.media.timecode import (
    can_drop,
    clock,
    drops,
    editing_rate,
    frame_at,
    frame_of,
    is_ntsc,
    nominal,
    timecode_of,
)

NTSC_24, NTSC_30, NTSC_60 = (Fraction(rate * 1000, 1001) for rate in (24, 30, 60))
JUDGED = {
    "23.976": NTSC_24,
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": NTSC_30,
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": NTSC_60,
    "60": Fraction(60),
}
DROPPING = [NTSC_30, NTSC_60]
DAY = 24 * 3600 * 59
quick = settings(max_examples=60, deadline=None)


@quick
@given(st.sampled_from(sorted(JUDGED)), st.integers(0, DAY), st.booleans())
def test_the_timecode_package_agrees(name, frame, drop):
    rate = JUDGED[name]
    drop &= can_drop(rate)
    frame %= 24 * 3600 * 23
    judge = Timecode(name, frames=frame + 1, force_non_drop_frame=not drop)  # it counts from 1
    written = timecode_of(frame, rate, drop)
    assert written == str(judge)
    assert Timecode(name, written, force_non_drop_frame=not drop).frames == frame + 1


@quick
@given(st.sampled_from(DROPPING), st.integers(0, 24 * 3600 * 29))
def test_opentimelineio_agrees_on_drop_frames(rate, frame):
    time = otio.opentime.RationalTime(frame, float(rate))
    written = timecode_of(frame, rate, True)
    assert written == time.to_timecode(float(rate), True)
    assert otio.opentime.from_timecode(written, float(rate)).value == frame


@quick
@given(st.sampled_from(DROPPING), st.integers(0, 107892 * 24 - 1))
def test_drop_frame_goes_round_and_leaves_no_dropped_number(rate, frame):
    written = timecode_of(frame, rate, True)
    assert frame_of(written, rate) == frame
    assert drops(written)
    _, minutes, seconds, frames = (int(part) for part in written.replace(";", ":").split(":"))
    assert not (minutes % 10 and seconds == 0 and frames < nominal(rate) // 15)
    later = timecode_of(frame + 1, rate, True)
    assert later > written or later == "00:00:00;00"


@pytest.mark.parametrize("rate", DROPPING)
def test_every_number_of_eleven_minutes(rate):
    """All numbers in order, but those that are dropped: counted off by hand."""
    base = nominal(rate)
    numbers = [
        f"00:{minute:02d}:{second:02d};{frame:02d}"
        for minute in range(11)
        for second in range(60)
        for frame in range(base)
        if second or frame >= base // 15 or minute % 10 == 0
    ]
    assert [timecode_of(frame, rate, True) for frame in range(len(numbers))] == numbers
    assert [frame_of(number, rate) for number in numbers] == list(range(len(numbers)))


def test_an_hour_and_a_day():
    assert timecode_of(107892, NTSC_30, True) == "01:00:00;00"
    assert timecode_of(108000, NTSC_30, False) == "01:00:00:00"
    assert timecode_of(215784, NTSC_60, True) == "01:00:00;00"
    assert timecode_of(86400, NTSC_24, False) == "01:00:00:00"
    assert timecode_of(24 * 107892 + 5, NTSC_30, True) == "00:00:00;05"
    assert timecode_of(24 * 90000, Fraction(25), False) == "00:00:00:00"
    assert timecode_of(119, Fraction(120), False) == "00:00:00:119"
    assert timecode_of(7193, Fraction(120000, 1001), True) == str(Timecode("119.88", frames=7194)).replace(
        ";0", ";00"
    )


@pytest.mark.parametrize(
    ("written", "rate", "what"),
    [
        ("00:01:00;00", NTSC_30, "no such number; the next is 02"),
        ("00:01:00;03", NTSC_60, "no such number; the next is 04"),
        ("00:01:00;02", NTSC_24, "no drop-frame timecode at 23.976"),
        ("00:01:00;02", Fraction(30), "no drop-frame timecode at 30"),
        ("00:00:00:25", Fraction(25), "from 00 to 24"),
        ("24:00:00:00", Fraction(25), "not a timecode"),
        ("00:60:00:00", Fraction(25), "not a timecode"),
        ("1:00:00:00", Fraction(25), "not a timecode"),
        ("\u0660\u0661:00:00:00", Fraction(25), "not a timecode"),
        ("<script>", Fraction(25), "not a timecode"),
    ],
)
def test_wrong_timecodes_are_refused(written, rate, what):
    with pytest.raises(UserError, match=what):
        frame_of(written, rate)


def test_what_has_no_timecode():
    with pytest.raises(UserError, match="no drop-frame"):
        timecode_of(1, NTSC_24, True)
    with pytest.raises(UserError, match="count frames from 0"):
        timecode_of(-1, NTSC_30, True)
    with pytest.raises(UserError, match="not a frame rate"):
        editing_rate(Fraction(0))


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (NTSC_24, NTSC_24),
        (NTSC_30, NTSC_30),
        (NTSC_60, NTSC_60),
        (Fraction(30), Fraction(30)),
        (Fraction(24), Fraction(24)),
        (Fraction(12), Fraction(12)),
        (Fraction(2997, 100), NTSC_30),
        (Fraction(23976, 1000), NTSC_24),
        (Fraction(5994, 100), NTSC_60),
        (Fraction(2998, 100), NTSC_30),
        (Fraction(2999, 100), Fraction(30)),
        (Fraction(15000, 1001), Fraction(15000, 1001)),
        (Fraction(2987, 100), NTSC_30),
        (Fraction(25, 2), Fraction(13)),
        (Fraction(1, 2), Fraction(1)),
        (Fraction(240), Fraction(240)),
    ],
)
def test_the_rate_of_an_editors_timeline(fps, rate):
    assert editing_rate(fps) == rate
    assert is_ntsc(rate) == (rate.denominator != 1)
    assert nominal(rate) == round(rate)


@quick
@given(st.integers(0, 10**7), st.sampled_from([*JUDGED.values()]), st.floats(-0.49, 0.49))
def test_the_nearest_frame(frame, rate, beside):
    assert frame_at((frame + Fraction(beside)) / rate, rate) == max(frame, 0)


def test_clock():
    assert clock(Fraction(0)) == "00:00:00.000"
    assert clock(Fraction(3599999_6, 10_000)) == "01:00:00.000"
    assert clock(Fraction(1001, 30000)) == "00:00:00.033"
    assert clock(Fraction(360000), point=",") == "100:00:00,000"
    assert clock(Fraction(1001, 30000), decimals=6) == "00:00:00.033367"
