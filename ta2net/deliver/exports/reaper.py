"""REAPER's marker list: the CSV that its Region/Marker Manager exports and imports.

``#`` is M and the marker's number; a marker has a start only. Times are a player's, as
hours:minutes:seconds with milliseconds.
"""

from __future__ import annotations

import csv
import io

from ta2net.deliver.exports.text import one_line
from ta2net.media.timecode import clock
from ta2net.media.timeline import Timeline

COLUMNS = ("#", "Name", "Start", "End", "Length")


def render(timeline: Timeline) -> bytes:
    """The list as UTF-8; line breaks in a name, which REAPER reads as the next marker, become spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, marker in enumerate(timeline.markers, start=1):
        writer.writerow([f"M{number}", one_line(marker.title), clock(timeline.player_s(marker)), "", ""])
    return text.getvalue().encode()
