"""CSV as in RFC 4180, one line per hit; times as in the JSON export, to the microsecond."""

from __future__ import annotations

import csv
import io

from ta2net.media.timeline import Timeline

TIMES = ("frame", "time_s", "player_time_s", "timecode")
COLUMNS = (*TIMES, "probability", "x_fraction", "y_fraction", "label", "class")


def render(timeline: Timeline) -> bytes:
    """The file as UTF-8; an unknown place is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for marker in timeline.markers:
        place = ["" if at is None else round(at, 6) for at in (marker.x_fraction, marker.y_fraction)]
        times = [f"{float(time_s):.6f}" for time_s in (marker.time_s, timeline.player_s(marker))]
        named = [marker.label, marker.class_name]
        certain = round(marker.probability, 6)
        writer.writerow([marker.frame, *times, timeline.timecode(marker), certain, *place, *named])
    return text.getvalue().encode()
