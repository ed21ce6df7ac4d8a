"""SMPTE timecode and clock times, in whole frames and exact fractions of a second.

Timecode follows SMPTE ST 12-1: frames are counted at the whole number next to the frame rate. At 30000/1001
frames per second that count runs late by 3.6 s an hour; drop-frame timecode makes up for it by leaving out
the *numbers* 00 and 01 (no frames) at the start of every minute but each tenth. 60000/1001 leaves out
four numbers, as ST 12-3 has it. 24000/1001 has no drop-frame timecode.
"""

from __future__ import annotations

import re
from fractions import Fraction

from pipeline.errors import UserError

NTSC = Fraction(1000, 1001)
TIMECODE = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.,])(\d{2,4})", re.ASCII)
HALF = Fraction(1, 2)


def editing_rate(fps: Fraction) -> Fraction:
    """The rate at which an editor's timeline runs for a video of ``fps`` frames per second.

    Editors know whole rates, and multiples of 12 and 15 at 1000/1001 of them; the nearest is taken. An
    average such as 2997/100 or 29.87 (a telephone's) becomes 30000/1001; a rate they know stays as it is.

    Raises:
        UserError: not above 0.
    """
    if fps <= 0:
        raise UserError(f"{fps} is not a frame rate; give a number above 0 like 25 or 30000/1001")
    whole = max(1, int(fps))
    rates = [Fraction(whole), Fraction(whole + 1)]
    slowed = [rate * NTSC for rate in rates if rate % 12 == 0 or rate % 15 == 0]
    return min(rates + slowed, key=lambda rate: (abs(rate - fps), -rate))


def nominal(rate: Fraction) -> int:
    """Frames that timecode counts per second: 30 for 30000/1001 (``timebase`` in FCP7 XML)."""
    return int(rate + HALF)


def is_ntsc(rate: Fraction) -> bool:
    """Whether a rate is a whole number * 1000/1001."""
    return rate == nominal(rate) * NTSC


def can_drop(rate: Fraction) -> bool:
    """Whether drop-frame timecode exists at a rate: 30000/1001 and its multiples."""
    return is_ntsc(rate) and nominal(rate) % 30 == 0


def frame_at(time_s: Fraction, rate: Fraction) -> int:
    """The frame of a steady timeline nearest to a time; halves go up, as in FFmpeg's ``fps`` filter."""
    return int((time_s * rate + HALF) // 1)


def timecode_of(frame: int, rate: Fraction, drop: bool) -> str:
    """SMPTE timecode of a frame counted from 00:00:00:00: ``HH:MM:SS:FF``, with ``;`` before FF if dropping.

    Args:
        frame: 0 or more; timecode starts again after 24 hours.
        rate: an editing rate.
        drop: drop-frame counting.

    Raises:
        UserError: ``drop`` at a rate without drop-frame timecode, or a frame below 0.
    """
    if frame < 0:
        raise UserError(f"frame {frame} has no timecode: count frames from 0")
    base = nominal(rate)
    dropped = _dropped(rate, drop)
    per_minute, per_ten = 60 * base - dropped, 600 * base - 9 * dropped
    tens, rest = divmod(frame % (144 * per_ten), per_ten)
    number = frame % (144 * per_ten) + 9 * dropped * tens + dropped * max(0, (rest - dropped) // per_minute)
    seconds, frames = divmod(number, base)
    width = max(2, len(str(base - 1)))
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}{';' if drop else ':'}{frames:0{width}d}"


def frame_of(timecode: str, rate: Fraction) -> int:
    """The frame, counted from 00:00:00:00, that carries a timecode; see ``drops`` for its counting.

    Raises:
        UserError: no timecode, no such frame at this rate, a number that drop-frame counting leaves out, or
            drop-frame counting at a rate that has none.
    """
    found = TIMECODE.fullmatch(timecode)
    base = nominal(rate)
    if not found or int(found[1]) > 23:
        raise UserError(f"{timecode!r} is not a timecode; write HH:MM:SS:FF, or HH:MM:SS;FF for drop-frame")
    hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
    if frames >= base:
        raise UserError(f"{timecode}: frames count from 00 to {base - 1} at {float(rate):.5g} frames/s")
    dropped = _dropped(rate, drops(timecode))
    if seconds == 0 and frames < dropped and minutes % 10:
        raise UserError(f"{timecode}: drop-frame timecode has no such number; the next is {dropped:02d}")
    all_minutes = 60 * hours + minutes
    return (60 * all_minutes + seconds) * base + frames - dropped * (all_minutes - all_minutes // 10)


def drops(timecode: str) -> bool:
    """Whether a timecode is written as drop-frame: with anything but a colon before the frames."""
    return re.search(r"[;.,]\d+$", timecode) is not None


def _dropped(rate: Fraction, drop: bool) -> int:
    """Numbers left out at the start of a minute: 2 per 30 frames/s."""
    if not drop:
        return 0
    if not can_drop(rate):
        raise UserError(
            f"there is no drop-frame timecode at {float(rate):.5g} frames/s, only at 29.97 and its "
            "multiples; ask for non-drop timecode, written with a colon before the frames"
        )
    return nominal(rate) // 15


def clock(time_s: Fraction, decimals: int = 3, point: str = ".") -> str:
    """A time of 0 or more as ``HH:MM:SS.mmm``, rounded half up.

    Args:
        decimals: of the seconds, at least 1.
        point: what stands before them (SubRip writes a comma).
    """
    units = int((time_s * 10**decimals + HALF) // 1)
    seconds, rest = divmod(units, 10**decimals)
    whole = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{whole}{point}{rest:0{decimals}d}"
