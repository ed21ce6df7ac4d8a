"""Subtitles: WebVTT (W3C, https://www.w3.org/TR/webvtt1/) and SubRip, a cue at each hit.

Times are a player's, to the millisecond. A cue stays for half a second, or until the next hit.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain

from ta2net.deliver.exports.text import one_line
from ta2net.media.timecode import clock
from ta2net.media.timeline import Timeline

SHOWN_S = Fraction(1, 2)
SHORTEST_S = Fraction(1, 500)
LOOKALIKES = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "{": "(",
        "}": ")",
    }
)
"""SubRip has no escapes; players read ``<i>`` and ``{\\an8}`` as styles and drop what they do not know."""


def render_vtt(timeline: Timeline) -> bytes:
    """WebVTT as UTF-8; ``&``, ``<`` and ``>`` are escaped, line breaks, which end a cue, become spaces."""
    cues = [
        f"{number}\n{clock(start_s)} --> {clock(end_s)}\n{html.escape(text, quote=False)}\n"
        for number, (start_s, end_s, text) in enumerate(_cues(timeline), start=1)
    ]
    return "\n".join(["WEBVTT\n", *cues]).encode()


def render_srt(timeline: Timeline) -> bytes:
    """SubRip as UTF-8; angle brackets and braces become signs that look alike, line breaks become spaces."""
    cues = [
        f"{number}\n{clock(start_s, point=',')} --> {clock(end_s, point=',')}\n{text.translate(LOOKALIKES)}\n"
        for number, (start_s, end_s, text) in enumerate(_cues(timeline), start=1)
    ]
    return "\n".join(cues).encode()


def _cues(timeline: Timeline) -> Iterator[tuple[Fraction, Fraction, str]]:
    """Start and end in s, and text, of each cue."""
    starts_s = [timeline.player_s(marker) for marker in timeline.markers]
    for marker, start_s, next_s in zip(timeline.markers, starts_s, chain(starts_s[1:], [None]), strict=False):
        end_s = start_s + SHOWN_S if next_s is None else min(start_s + SHOWN_S, next_s)
        yield start_s, max(end_s, start_s + SHORTEST_S), one_line(marker.title)
