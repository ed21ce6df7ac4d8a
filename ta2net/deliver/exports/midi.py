"""A standard MIDI file (format 1): a drum note and a marker at each hit, on a tempo map that is exact.

The tempo is one beat per second of timecode: 60 per minute, or 59.94 at 29.97 frames/s. A beat has a whole
number of frames and a frame a whole number of ticks, so a frame of a steady video starts exactly on a tick;
at a variable rate a tick is about half a millisecond. Times are a player's.
"""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

from ta2net.deliver.exports.text import one_line
from ta2net.media.timecode import frame_at, nominal
from ta2net.media.timeline import Timeline

if TYPE_CHECKING:
    from mido import MetaMessage, MidiTrack

TICKS_PER_BEAT = 1920
"""At most, unless there are more frames in a beat; programs for music read this many."""
DRUMS, SIDE_STICK = 9, 37
"""General MIDI: channel 10, counted from 0, and the shortest of its sounds."""
NOTE_S = Fraction(1, 20)


def render(timeline: Timeline) -> bytes:
    """The file; a note is as loud (velocity 1 to 127) as its hit is probable. Texts are UTF-8."""
    import mido

    frames_per_beat = nominal(timeline.rate)
    beat_us = frames_per_beat * 1_000_000 / timeline.rate  # 1000000 or 1001000
    ticks_per_beat = frames_per_beat * max(1, TICKS_PER_BEAT // frames_per_beat)
    ticks_per_s = ticks_per_beat * Fraction(1_000_000) / beat_us

    tempo = mido.MidiTrack(
        [
            mido.MetaMessage("track_name", name=one_line(timeline.name)),
            mido.MetaMessage("set_tempo", tempo=int(beat_us)),
            mido.MetaMessage("time_signature", numerator=4, denominator=4),
        ]
    )
    notes = mido.MidiTrack([mido.MetaMessage("track_name", name="hits")])
    marked, played = [], []
    starts = [frame_at(timeline.player_s(marker), ticks_per_s) for marker in timeline.markers]
    for marker, start, following in zip(timeline.markers, starts, chain(starts[1:], [None]), strict=False):
        long = max(1, int(NOTE_S * ticks_per_s))
        end = start + long if following is None else min(start + long, max(following, start + 1))
        note = {"channel": DRUMS, "note": SIDE_STICK}
        loud = max(1, round(127 * marker.probability))
        marked.append((start, mido.MetaMessage("marker", text=one_line(marker.title))))
        played.append((start, mido.Message("note_on", velocity=loud, **note)))
        played.append((end, mido.Message("note_off", **note)))
    end = frame_at(timeline.duration_s, ticks_per_s)
    _append(tempo, marked, end)
    _append(notes, played, end)
    file = mido.MidiFile(type=1, ticks_per_beat=ticks_per_beat, charset="utf-8", tracks=[tempo, notes])
    content = io.BytesIO()
    file.save(file=content)
    return content.getvalue()


def _append(track: MidiTrack, events: list[tuple[int, MetaMessage]], end: int) -> None:
    """Messages at ticks, with the differences between ticks that MIDI wants, and the end of the track."""
    from mido import MetaMessage

    before = 0
    last = max([end, *(tick for tick, _ in events)])
    # two hits nearer than the shortest note overlap: its end comes after the start of the next
    for tick, message in [*sorted(events, key=lambda event: event[0]), (last, MetaMessage("end_of_track"))]:
        track.append(message.copy(time=tick - before))
        before = tick
