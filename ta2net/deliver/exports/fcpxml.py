"""Final Cut Pro's XML, FCPXML 1.10 (Apple, "FCPXML Reference" and its document type definition): a project
with the film as its one clip and a marker at each hit.

Times are rational seconds and whole frames, or Final Cut Pro moves them. A marker lies in the clip's own
time, which starts at the film's timecode.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ta2net.deliver.exports.text import xml_text
from ta2net.media.timecode import NTSC
from ta2net.media.timeline import Timeline

PROJECT_RATES = tuple(sorted([*map(Fraction, (24, 25, 30, 50, 60)), *(rate * NTSC for rate in (24, 30, 60))]))
"""Frame rates a Final Cut Pro project can have."""


def render(timeline: Timeline) -> bytes:
    """The document as UTF-8; characters that XML cannot hold become U+FFFD."""
    root = Element("fcpxml", version="1.10")
    _resources(SubElement(root, "resources"), timeline)
    name = xml_text(timeline.name)
    event = SubElement(SubElement(root, "library"), "event", name="ta2net")
    project = SubElement(event, "project", name=f"{name} hits")
    rate, start_s = timeline.rate, timeline.start_frame / timeline.rate
    length_s = _whole_frames_s(timeline)
    counting = {"tcFormat": "DF" if timeline.dropping else "NDF"}
    start, length = _time(start_s), _time(length_s)
    sequence = SubElement(
        project, "sequence", {"format": "r2", "tcStart": start, "duration": length} | counting
    )
    whole = {"ref": "r3", "name": name, "format": "r1", "offset": start, "start": start, "duration": length}
    clip = SubElement(SubElement(sequence, "spine"), "asset-clip", whole | counting)
    for marker in timeline.markers:
        SubElement(
            clip,
            "marker",
            start=_time(start_s + timeline.grid_frame(marker) / rate),
            duration=_time(1 / rate),
            value=xml_text(marker.label),
            note=xml_text(marker.note),
        )
    indent(root)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
    return (head + tostring(root, encoding="unicode") + "\n").encode()


def _resources(resources: Element, timeline: Timeline) -> None:
    """Formats of the film (r1) and of the project (r2), and the film itself (r3)."""
    size = {"width": str(timeline.width_px), "height": str(timeline.height_px)}
    for name, rate in (("r1", timeline.rate), ("r2", project_rate(timeline.rate))):
        SubElement(resources, "format", {"id": name, "frameDuration": _time(1 / rate)} | size)
    asset = SubElement(
        resources,
        "asset",
        id="r3",
        name=xml_text(timeline.name),
        start=_time(timeline.start_frame / timeline.rate),
        duration=_time(timeline.n_grid_frames / timeline.rate),
        hasVideo="1",
        format="r1",
        videoSources="1",
    )
    source = Path(timeline.path).as_uri() if timeline.path else f"./{quote(timeline.name)}"
    SubElement(asset, "media-rep", kind="original-media", src=source)


def project_rate(rate: Fraction) -> Fraction:
    """The project's rate for a film: its own, else the lowest that has it as a whole part, else 30."""
    multiples = [known for known in PROJECT_RATES if (known / rate).denominator == 1]
    return min(multiples, default=Fraction(30))


def _whole_frames_s(timeline: Timeline) -> Fraction:
    """Length of the clip in s: what of the film fills whole frames of the project, at least one."""
    project = project_rate(timeline.rate)
    return max(1, int(timeline.n_grid_frames / timeline.rate * project)) / project


def _time(seconds: Fraction) -> str:
    """``0s``, ``5s``, ``1001/30000s``."""
    whole = seconds.denominator == 1
    return f"{seconds.numerator}s" if whole else f"{seconds.numerator}/{seconds.denominator}s"
