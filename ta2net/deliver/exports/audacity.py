"""Audacity's label track: ``start<TAB>end<TAB>label``, seconds, a line per label (Audacity manual,
"Importing and Exporting Labels").

Times are a player's: a sound track that Audacity or FFmpeg takes out of the film starts there. A point label
has its start as its end. The format has no escapes: tabs and line breaks in a label become spaces.
"""

from __future__ import annotations

from ta2net.deliver.exports.text import one_line
from ta2net.media.timeline import Timeline


def render(timeline: Timeline) -> bytes:
    """The label track as UTF-8, times to the microsecond as Audacity writes them; without hits, empty."""
    lines = []
    for marker in timeline.markers:
        at_s = f"{float(timeline.player_s(marker)):.6f}"
        lines.append(f"{at_s}\t{at_s}\t{one_line(marker.title)}\n")
    return "".join(lines).encode()
