"""DaVinci Resolve's marker list: a CMX 3600 edit decision list as Resolve exports its timeline markers.

An event of one frame per marker, then a comment line `` |C:colour |M:name |D:length in frames``. Resolve puts
a marker at the event's record timecode, which counts from the timeline's own start: 01:00:00:00 unless the
user changed it.
"""

from __future__ import annotations

from ta2net.deliver.exports.text import one_line
from ta2net.media.timecode import frame_of, timecode_of
from ta2net.media.timeline import Timeline

COLOUR = "ResolveColorBlue"
TITLE_CHARACTERS = 70
"""Of a title in CMX 3600."""


def render(timeline: Timeline) -> bytes:
    """The list as UTF-8. A bar would end a marker's name, so it becomes a slash; line breaks, spaces."""
    rate, drop = timeline.rate, timeline.dropping
    record_start = frame_of(f"01:00:00{';' if drop else ':'}00", rate)

    def span(first: int) -> str:
        return f"{timecode_of(first, rate, drop)} {timecode_of(first + 1, rate, drop)}"

    lines = [
        f"TITLE: {one_line(timeline.name)[:TITLE_CHARACTERS]}",
        f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}",
        "",
    ]
    for number, marker in enumerate(timeline.markers, start=1):
        at = timeline.grid_frame(marker)
        source, record = span(timeline.start_frame + at), span(record_start + at)
        lines += [
            f"{number:03d}  001      V     C        {source} {record}  ",
            f" |C:{COLOUR} |M:{one_line(marker.title).replace('|', '/')} |D:1",
            "",
        ]
    return ("\n".join(lines) + "\n").encode()
