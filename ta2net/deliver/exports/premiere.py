"""Final Cut Pro 7's XML Interchange Format (xmeml, version 4), which Premiere Pro, Resolve and others import:
a sequence with the film on one track and a marker at each hit.

Element by element as in Apple's "Final Cut Pro XML Interchange Format", Elements Catalog. A rate is a whole
``timebase`` and whether it runs at 1000/1001 of it (``ntsc``); all positions are whole frames at that rate.
``out`` of -1 means a marker without length.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ta2net.deliver.exports.text import xml_text
from ta2net.media.timecode import is_ntsc, nominal, timecode_of
from ta2net.media.timeline import Timeline


def render(timeline: Timeline) -> bytes:
    """The document as UTF-8; characters that XML cannot hold become U+FFFD."""
    root = Element("xmeml", version="4")
    sequence = SubElement(root, "sequence", id="sequence-1")
    _text(sequence, "name", f"{timeline.name} hits")
    _text(sequence, "duration", timeline.n_grid_frames)
    _rate(sequence, timeline)
    _timecode(sequence, timeline)
    video = SubElement(SubElement(sequence, "media"), "video")
    _picture(SubElement(video, "format"), timeline)
    _clip(SubElement(video, "track"), timeline)
    for marker in timeline.markers:
        element = SubElement(sequence, "marker")
        _text(element, "name", marker.label)
        _text(element, "comment", marker.note)
        _text(element, "in", timeline.grid_frame(marker))
        _text(element, "out", -1)
    indent(root)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n'
    return (head + tostring(root, encoding="unicode") + "\n").encode()


def _clip(track: Element, timeline: Timeline) -> None:
    """The film from its first frame to its last, at the start of the sequence."""
    clip = SubElement(track, "clipitem", id="clipitem-1")
    _text(clip, "name", timeline.name)
    _text(clip, "duration", timeline.n_grid_frames)
    _rate(clip, timeline)
    for edge, frame in (("start", 0), ("end", timeline.n_grid_frames), ("in", 0)):
        _text(clip, edge, frame)
    _text(clip, "out", timeline.n_grid_frames)
    file = SubElement(clip, "file", id="file-1")
    _text(file, "name", timeline.name)
    # Final Cut Pro 7 wrote file://localhost/..., and Premiere Pro looks for that
    path = (
        Path(timeline.path).as_uri().removeprefix("file://") if timeline.path else f"/{quote(timeline.name)}"
    )
    _text(file, "pathurl", f"file://localhost{path}")
    _rate(file, timeline)
    _text(file, "duration", timeline.n_grid_frames)
    _timecode(file, timeline)
    _picture(SubElement(SubElement(file, "media"), "video"), timeline)


def _rate(parent: Element, timeline: Timeline) -> None:
    rate = SubElement(parent, "rate")
    _text(rate, "timebase", nominal(timeline.rate))
    _text(rate, "ntsc", "TRUE" if is_ntsc(timeline.rate) else "FALSE")


def _timecode(parent: Element, timeline: Timeline) -> None:
    timecode = SubElement(parent, "timecode")
    _rate(timecode, timeline)
    _text(timecode, "string", timecode_of(timeline.start_frame, timeline.rate, timeline.dropping))
    _text(timecode, "frame", timeline.start_frame)
    _text(timecode, "displayformat", "DF" if timeline.dropping else "NDF")


def _picture(parent: Element, timeline: Timeline) -> None:
    characteristics = SubElement(parent, "samplecharacteristics")
    _rate(characteristics, timeline)
    _text(characteristics, "width", timeline.width_px)
    _text(characteristics, "height", timeline.height_px)


def _text(parent: Element, tag: str, content: str | int) -> None:
    SubElement(parent, tag).text = xml_text(str(content))
