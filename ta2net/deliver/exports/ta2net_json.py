"""JSON: everything that is known, for programs.

Every hit has its time three times: ``time_s``, the container's presentation time; ``player_time_s``, what a
player shows; and ``timecode``. ``time_exact_s`` is ``time_s`` as a fraction.
"""

from __future__ import annotations

import json
from typing import Any

from ta2net.media.timeline import Marker, Timeline

VERSION = 1


def render(timeline: Timeline) -> bytes:
    """The document as UTF-8 JSON; unknown values are null."""
    document = {
        "format": "ta2net hits",
        "version": VERSION,
        "file": timeline.name,
        "fps": f"{timeline.fps.numerator}/{timeline.fps.denominator}",
        "n_frames": timeline.n_frames,
        "height_px": timeline.height_px,
        "width_px": timeline.width_px,
        "first_frame_s": float(timeline.first_frame_s),
        "player_zero_s": float(timeline.zero_s),
        "timecode": {
            "rate": f"{timeline.rate.numerator}/{timeline.rate.denominator}",
            "drop_frame": timeline.dropping,
            "start": timeline.start_timecode,
        },
        "model": timeline.model or None,
        "versions": dict(timeline.versions),
        "hits": [_hit(marker, timeline) for marker in timeline.markers],
    }
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _hit(marker: Marker, timeline: Timeline) -> dict[str, Any]:
    return {
        "frame": marker.frame,
        "time_s": float(marker.time_s),
        "time_exact_s": f"{marker.time_s.numerator}/{marker.time_s.denominator}",
        "player_time_s": float(timeline.player_s(marker)),
        "timecode": timeline.timecode(marker),
        "probability": marker.probability,
        "x_fraction": marker.x_fraction,
        "y_fraction": marker.y_fraction,
        "label": marker.label,
        "class": marker.class_name or None,
    }
