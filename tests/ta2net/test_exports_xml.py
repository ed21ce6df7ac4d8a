"""FCP7 XML and FCPXML: valid by their document type definitions, and read back by OpenTimelineIO's adapters.

The definitions hold the elements these exports use, with the content that Apple's documents give them: "Final
Cut Pro XML Interchange Format" (Elements Catalog) and the FCPXML 1.10 DTD. What is not in them is not valid.
"""

from __future__ import annotations

import io
from fractions import Fraction
from urllib.parse import unquote, urlsplit

import opentimelineio as otio
import pytest
from lxml import etree

from ta2net.deliver.exports import FORMATS
from ta2net.deliver.exports.fcpxml import project_rate
from ta2net.media.timeline import Marker, Timeline

NTSC_24, NTSC_30, NTSC_60 = (Fraction(rate * 1000, 1001) for rate in (24, 30, 60))
FRAMES = (0, 1, 1799, 1800, 17982, 19999)
N_FRAMES = 20_000
PATH = "/films/a & b/<film> 100%.mp4"

FCPXML_DTD = """
<!ELEMENT fcpxml (resources?, library)>
<!ATTLIST fcpxml version CDATA #FIXED "1.10">
<!ELEMENT resources (asset | format)*>
<!ELEMENT format EMPTY>
<!ATTLIST format id ID #REQUIRED name CDATA #IMPLIED frameDuration CDATA #IMPLIED
  width CDATA #IMPLIED height CDATA #IMPLIED>
<!ELEMENT asset (media-rep+)>
<!ATTLIST asset id ID #REQUIRED name CDATA #IMPLIED start CDATA #IMPLIED duration CDATA #IMPLIED
  hasVideo CDATA #IMPLIED format IDREF #IMPLIED videoSources CDATA #IMPLIED>
<!ELEMENT media-rep EMPTY>
<!ATTLIST media-rep kind (original-media | proxy-media) "original-media" src CDATA #REQUIRED>
<!ELEMENT library (event)*>
<!ELEMENT event (project)*>
<!ATTLIST event name CDATA #IMPLIED>
<!ELEMENT project (sequence)>
<!ATTLIST project name CDATA #IMPLIED>
<!ELEMENT sequence (spine)>
<!ATTLIST sequence format IDREF #REQUIRED duration CDATA #IMPLIED tcStart CDATA #IMPLIED
  tcFormat (DF | NDF) #IMPLIED>
<!ELEMENT spine (asset-clip)*>
<!ELEMENT asset-clip (marker)*>
<!ATTLIST asset-clip ref IDREF #REQUIRED name CDATA #IMPLIED offset CDATA #IMPLIED start CDATA #IMPLIED
  duration CDATA #IMPLIED format IDREF #IMPLIED tcStart CDATA #IMPLIED tcFormat (DF | NDF) #IMPLIED>
<!ELEMENT marker EMPTY>
<!ATTLIST marker start CDATA #REQUIRED duration CDATA #IMPLIED value CDATA #REQUIRED
  note CDATA #IMPLIED completed CDATA #IMPLIED>
"""

XMEML_DTD = """
<!ELEMENT xmeml (sequence)>
<!ATTLIST xmeml version (1 | 2 | 3 | 4 | 5) #REQUIRED>
<!ELEMENT sequence (name, duration, rate, timecode, media, marker*)>
<!ATTLIST sequence id ID #REQUIRED>
<!ELEMENT rate (timebase, ntsc)>
<!ELEMENT timecode (rate, string, frame, displayformat)>
<!ELEMENT media (video)>
<!ELEMENT video (format?, track*, samplecharacteristics?)>
<!ELEMENT format (samplecharacteristics)>
<!ELEMENT samplecharacteristics (rate, width, height)>
<!ELEMENT track (clipitem)*>
<!ELEMENT clipitem (name, duration, rate, start, end, in, out, file)>
<!ATTLIST clipitem id ID #REQUIRED>
<!ELEMENT file (name, pathurl, rate, duration, timecode, media)>
<!ATTLIST file id ID #REQUIRED>
<!ELEMENT marker (name, comment, in, out)>
<!ELEMENT name (#PCDATA)> <!ELEMENT duration (#PCDATA)> <!ELEMENT timebase (#PCDATA)>
<!ELEMENT ntsc (#PCDATA)> <!ELEMENT string (#PCDATA)> <!ELEMENT frame (#PCDATA)>
<!ELEMENT displayformat (#PCDATA)> <!ELEMENT width (#PCDATA)> <!ELEMENT height (#PCDATA)>
<!ELEMENT start (#PCDATA)> <!ELEMENT end (#PCDATA)> <!ELEMENT in (#PCDATA)> <!ELEMENT out (#PCDATA)>
<!ELEMENT pathurl (#PCDATA)> <!ELEMENT comment (#PCDATA)>
"""


def steady(fps, frames=FRAMES, n_frames=N_FRAMES, **more):
    markers = tuple(Marker(at, at / fps, 0.5, 0.25, 0.75, f"hit {at}", "tapping") for at in frames)
    known = {"name": "<film> 100%.mp4", "path": PATH, "markers": markers} | more
    return Timeline(
        fps=fps,
        n_frames=n_frames,
        height_px=48,
        width_px=64,
        first_frame_s=Fraction(0),
        last_frame_s=(n_frames - 1) / fps,
        **known,
    )


def parsed(timeline, name, definition):
    """The document as lxml reads it, found valid."""
    content = FORMATS[name].render(timeline)
    document = etree.fromstring(content)
    dtd = etree.DTD(io.StringIO(definition))
    assert dtd.validate(document), dtd.error_log
    return document, content.decode()


def seconds(text):
    assert text.endswith("s")
    return Fraction(text[:-1])


@pytest.mark.parametrize("fps", [NTSC_24, Fraction(25), NTSC_30, Fraction(30), NTSC_60, Fraction(12)])
@pytest.mark.parametrize("start_frame", [0, 107_892])
def test_fcpxml_on_values(fps, start_frame):
    start = {NTSC_30: "01:00:00;00"}.get(fps) if start_frame else None
    timeline = steady(fps, start_timecode=start)
    begin_s = 107_892 / fps if start else 0
    document, _ = parsed(timeline, "fcpxml", FCPXML_DTD)
    film = document.find("resources/format[@id='r1']")
    assert (seconds(film.get("frameDuration")), film.get("width"), film.get("height")) == (
        1 / fps,
        "64",
        "48",
    )
    asset = document.find("resources/asset")
    assert (seconds(asset.get("start")), seconds(asset.get("duration"))) == (begin_s, N_FRAMES / fps)
    assert unquote(urlsplit(asset.find("media-rep").get("src")).path) == PATH
    (clip,) = document.iter("asset-clip")
    assert [seconds(clip.get(name)) for name in ("offset", "start", "duration")] == [
        begin_s,
        begin_s,
        N_FRAMES / fps,
    ]
    starts_s = [seconds(marker.get("start")) for marker in clip]
    assert [(start_s - begin_s) * fps for start_s in starts_s] == list(FRAMES)
    assert {seconds(marker.get("duration")) for marker in clip} == {1 / fps}
    assert [marker.get("value") for marker in clip] == [f"hit {at}" for at in FRAMES]
    drop = "DF" if fps in (NTSC_30, NTSC_60) else "NDF"
    assert {clip.get("tcFormat"), document.find(".//sequence").get("tcFormat")} == {drop}


@pytest.mark.parametrize("fps", [24, 25, 30, 50])
def test_the_fcpx_adapter_reads_the_markers(fps):
    """It counts in whole frames/s and cuts fractions off, so a marker may come out one frame early."""
    _, text = parsed(steady(Fraction(fps)), "fcpxml", FCPXML_DTD)
    read = otio.adapters.read_from_string(text, "fcpx_xml")
    (clip,) = read.find_clips() if isinstance(read, otio.schema.Timeline) else read[0].find_clips()
    starts = [marker.marked_range.start_time for marker in clip.markers]
    assert {start.rate for start in starts} == {fps}
    assert all(at - 1 <= start.value <= at for start, at in zip(starts, FRAMES, strict=True))
    assert [marker.name for marker in clip.markers] == [f"hit {at}" for at in FRAMES]


@pytest.mark.parametrize(
    ("fps", "project"),
    [
        (NTSC_24, NTSC_24),
        (NTSC_60, NTSC_60),
        (Fraction(50), Fraction(50)),
        (Fraction(12), Fraction(24)),
        (Fraction(10), Fraction(30)),
        (Fraction(15000, 1001), NTSC_30),
        (Fraction(20), Fraction(60)),
        (Fraction(120), Fraction(30)),
    ],
)
def test_the_project_has_a_rate_of_final_cut(fps, project):
    assert project_rate(fps) == project
    document, _ = parsed(steady(fps), "fcpxml", FCPXML_DTD)
    chosen = document.find(f"resources/format[@id='{document.find('.//sequence').get('format')}']")
    assert seconds(chosen.get("frameDuration")) == 1 / project
    length_s = seconds(document.find(".//sequence").get("duration"))
    assert (length_s * project).denominator == 1
    assert N_FRAMES / fps - 1 / project < length_s <= N_FRAMES / fps


@pytest.mark.parametrize(
    ("fps", "timebase", "ntsc"),
    [
        (NTSC_24, 24, "TRUE"),
        (Fraction(24), 24, "FALSE"),
        (Fraction(25), 25, "FALSE"),
        (NTSC_30, 30, "TRUE"),
        (Fraction(30), 30, "FALSE"),
        (NTSC_60, 60, "TRUE"),
        (Fraction(12), 12, "FALSE"),
    ],
)
def test_fcp7_xml_on_values(fps, timebase, ntsc):
    document, text = parsed(steady(fps), "premiere", XMEML_DTD)
    assert {rate.findtext("timebase") for rate in document.iter("rate")} == {str(timebase)}
    assert {rate.findtext("ntsc") for rate in document.iter("rate")} == {ntsc}
    sequence = document.find("sequence")
    assert [int(marker.findtext("in")) for marker in sequence.iter("marker")] == list(FRAMES)
    assert {marker.findtext("out") for marker in sequence.iter("marker")} == {"-1"}
    formats = {code.findtext("displayformat") for code in document.iter("timecode")}
    assert formats == {"DF" if fps in (NTSC_30, NTSC_60) else "NDF"}
    url = urlsplit(document.findtext(".//pathurl"))
    assert (url.scheme, url.netloc, unquote(url.path)) == ("file", "localhost", PATH)

    read = otio.adapters.read_from_string(text, "fcp_xml")
    starts = [marker.marked_range.start_time for marker in read.tracks.markers]
    assert [start.value for start in starts] == list(FRAMES)
    assert [start.rate for start in starts] == pytest.approx([float(fps)] * len(FRAMES))
    assert [marker.name for marker in read.tracks.markers] == [f"hit {at}" for at in FRAMES]
    (clip,) = read.find_clips()
    assert (clip.source_range.start_time.value, clip.source_range.duration.value) == (0, N_FRAMES)
    assert clip.name == "<film> 100%.mp4"


def test_fcp7_xml_counts_timecode_from_the_start():
    document, text = parsed(steady(NTSC_30, start_timecode="01:00:00;00"), "premiere", XMEML_DTD)
    codes = {(code.findtext("string"), code.findtext("frame")) for code in document.iter("timecode")}
    assert codes == {("01:00:00;00", "107892")}
    assert otio.adapters.read_from_string(text, "fcp_xml").global_start_time.value == 107_892


@pytest.mark.parametrize(("name", "definition"), [("premiere", XMEML_DTD), ("fcpxml", FCPXML_DTD)])
def test_edges(name, definition):
    """No hits; one frame; no path; characters XML knows no way to write."""
    parsed(steady(NTSC_30, frames=()), name, definition)
    parsed(steady(Fraction(240), frames=(0,), n_frames=1), name, definition)
    document, _ = parsed(steady(NTSC_30, path=None), name, definition)
    url = document.findtext(".//pathurl") or document.find(".//media-rep").get("src")
    assert unquote(urlsplit(url).path).endswith("/<film> 100%.mp4")
    strange = (Marker(0, Fraction(0), 0.5, label="a\x00b\x1b\ufffe\r\nc"),)
    document, _ = parsed(steady(NTSC_30, markers=strange), name, definition)
    marker = next(document.iter("marker"))
    assert (marker.get("value") or marker.findtext("name")) == "a\ufffdb\ufffd\ufffd\nc"
