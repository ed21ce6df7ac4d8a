"""Predictions as E2E-Spot writes and scores them (https://github.com/jhong93/spot): a list of videos, each
with its events; an event has a label, a frame and a score. ``fps`` is the only sense of time in it.
"""

from __future__ import annotations

import json
from pathlib import PurePath

from ta2net.media.timeline import Timeline


def render(timeline: Timeline) -> bytes:
    """A list with this one video, named like its file without the extension."""
    video = {
        "video": PurePath(timeline.name).stem,
        "events": [
            {"label": one.class_name or one.label, "frame": one.frame, "score": one.probability}
            for one in timeline.markers
        ],
        "fps": float(timeline.fps),
    }
    return (json.dumps([video], ensure_ascii=False, allow_nan=False) + "\n").encode()
