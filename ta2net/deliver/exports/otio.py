"""OpenTimelineIO (https://opentimeline.io), written by its own library: one clip with a marker at each hit.

A marker lies in the clip's own time, which starts at the film's timecode, as OpenTimelineIO has it. The
video is found by its URL.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from ta2net.media.timeline import Timeline


def render(timeline: Timeline) -> bytes:
    """The timeline as ``.otio`` JSON; what is known of a hit is in its marker's metadata."""
    import opentimelineio as otio

    rate = float(timeline.rate)

    def span(first: int, length: int) -> otio.opentime.TimeRange:
        times = (otio.opentime.RationalTime(value, rate) for value in (first, length))
        return otio.opentime.TimeRange(*times)

    whole = span(timeline.start_frame, timeline.n_grid_frames)
    url = Path(timeline.path).as_uri() if timeline.path else quote(timeline.name)
    clip = otio.schema.Clip(
        name=timeline.name,
        media_reference=otio.schema.ExternalReference(target_url=url, available_range=whole),
        source_range=whole,
    )
    for marker in timeline.markers:
        known = {
            "frame": marker.frame,
            "time_s": float(marker.time_s),
            "probability": marker.probability,
            "x_fraction": marker.x_fraction,
            "y_fraction": marker.y_fraction,
            "class": marker.class_name,
        }
        clip.markers.append(
            otio.schema.Marker(
                name=marker.label,
                marked_range=span(timeline.start_frame + timeline.grid_frame(marker), 1),
                color=otio.schema.MarkerColor.BLUE,
                metadata={"ta2net": known},
                comment=marker.note,
            )
        )
    film = otio.schema.Timeline(name=timeline.name)
    film.tracks.append(otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video, children=[clip]))
    return otio.adapters.write_to_string(film, "otio_json").encode() + b"\n"
