"""Names and labels that a format could trip over come back whole, or as near as the format can hold them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from fractions import Fraction

import av
import mido
import opentimelineio as otio
import pysubs2
import pytest
import webvtt
from lxml import etree
from ptulsconv.docparser import parse_document

from ta2net.deliver.exports import FORMATS, write_exports
from ta2net.media.timeline import Marker, Timeline

NASTY = [
    "<script>alert(1)</script>",
    "Tom & Jerry &amp; &lt;",
    "\"double\" 'single' `back`",
    "a, b; c\tand tab",
    "line\nfeed\r\nboth\rreturn\n\nblank",
    "00:00:01.000 --> 00:00:02.000",
    "bar | M: |D:9",
    "{\\an8}style <i>italic</i>",
    "drum 🥁 ähм 中文 \u2028 separator",
    "=1+1",
    "",
    "x" * 4000,  # FFmpeg cuts lines of subtitles at 4096
    "]]> <!-- -- > <?php ?>",
    "1\t2\t3\n4\t5\t6",
]
ALIKE = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")"})


def film(labels, name="film.mp4"):
    markers = tuple(
        Marker(at, Fraction(at, 25), 0.5, label=label, class_name=label) for at, label in enumerate(labels)
    )
    return Timeline(
        name,
        Fraction(25),
        max(1, len(labels)),
        48,
        64,
        Fraction(0),
        Fraction(max(1, len(labels)) - 1, 25),
        markers,
    )


def spaced(text):
    """One line: each break, tab or control is one space."""
    return re.sub("\r\n|[\x00-\x1f\x7f\u0085\u2028\u2029]", " ", text)


def labels_in(name, timeline):
    """The labels as an independent reader of each format finds them."""
    content = FORMATS[name].render(timeline)
    text = "" if name == "midi" else content.decode()
    if name in ("json", "e2espot"):
        document = json.loads(text)
        return [hit["label"] for hit in (document["hits"] if name == "json" else document[0]["events"])]
    if name == "csv":
        return [row["label"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    if name == "reaper":
        return [row["Name"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    if name == "audacity":
        lines = re.findall(r"([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\n", text)
        assert text == "".join("\t".join(line) + "\n" for line in lines)
        return [label for _, _, label in lines]
    if name == "resolve":
        clips = list(otio.adapters.read_from_string(text, "cmx_3600", rate=25).find_clips())
        comments = [clip.metadata["cmx_3600"]["comments"] for clip in clips]
        assert {len(one) for one in comments} <= {1}
        return [re.fullmatch(r"\|C:\w+ \|M:([^|]*) \|D:1", one[0])[1] for one in comments]
    if name == "premiere":
        read = otio.adapters.read_from_string(text, "fcp_xml")
        return [marker.name for marker in read.tracks.markers]
    if name == "fcpxml":
        return [marker.get("value") for marker in etree.fromstring(content).iter("marker")]
    if name == "otio":
        (clip,) = otio.adapters.read_from_string(text, "otio_json").find_clips()
        return [marker.name for marker in clip.markers]
    if name == "vtt":
        return [html.unescape(cue.raw_text) for cue in webvtt.from_string(text).captions]
    if name == "srt":  # FFmpeg's reader; pysubs2 takes any line with two times in it for the start of a cue
        if not timeline.markers:
            return list(pysubs2.SSAFile.from_string(text, format_="srt"))
        with av.open(io.BytesIO(content), format="srt") as container:
            return [bytes(packet).decode() for packet in container.demux() if packet.size]
    if name == "midi":
        read = mido.MidiFile(file=io.BytesIO(content), charset="utf-8")
        return [message.text for message in read.tracks[0] if message.type == "marker"]
    assert name == "protools"
    return [marker.name for marker in parse_document(text).markers]


def expected(name, label):
    if name in ("json", "e2espot", "csv", "otio"):
        return label
    if name in ("premiere", "fcpxml"):
        return label.replace("\r\n", "\n").replace("\r", "\n")
    one = spaced(label)
    if name == "protools":
        return one.strip()
    titled = f"{one} 0.50"
    return {"resolve": titled.replace("|", "/"), "srt": titled.translate(ALIKE)}.get(name, titled)


@pytest.mark.parametrize("name", FORMATS)
def test_nasty_labels(name):
    found = labels_in(name, film(NASTY))
    wanted = [expected(name, label) for label in NASTY]
    if name in ("protools", "resolve", "vtt", "srt"):  # whose readers drop spaces at the ends
        found, wanted = [one.strip() for one in found], [one.strip() for one in wanted]
    assert found == wanted


@pytest.mark.parametrize("name", FORMATS)
def test_no_hits_at_all(name):
    if name == "resolve":  # OpenTimelineIO makes no timeline of a list without events
        assert FORMATS[name].render(film([])) == b"TITLE: film.mp4\nFCM: NON-DROP FRAME\n\n"
    else:
        assert labels_in(name, film([])) == []


@pytest.mark.parametrize("name", FORMATS)
def test_one_hit_on_the_only_frame(name):
    assert len(labels_in(name, film(["hit"]))) == 1


@pytest.mark.parametrize(
    "film_name", ["<script>&\"' film\n\t🥁.mp4", "é" * 125 + ".mp4", ".mp4", "--help", "a.b.c.mp4"]
)
def test_nasty_film_names(film_name, tmp_path):
    timeline = film(["hit"], film_name)
    paths = write_exports(timeline, ["all"], tmp_path)
    assert len(set(paths)) == len(FORMATS)
    assert all(path.parent == tmp_path and path.stat().st_size for path in paths)
    for name in FORMATS:
        assert len(labels_in(name, timeline)) == 1
    document = json.loads(FORMATS["json"].render(timeline))
    assert document["file"] == film_name
    (clip,) = otio.adapters.read_from_string(
        FORMATS["premiere"].render(timeline).decode(), "fcp_xml"
    ).find_clips()
    assert clip.name == film_name
    assert etree.fromstring(FORMATS["fcpxml"].render(timeline)).find(".//asset").get("name") == film_name
    track = mido.MidiFile(file=io.BytesIO(FORMATS["midi"].render(timeline)), charset="utf-8").tracks[0]
    assert track[0].name == spaced(film_name)
    assert parse_document(FORMATS["protools"].render(timeline).decode()).header.session_name == spaced(
        film_name
    )


def test_ffmpeg_reads_the_subtitles(tmp_path):
    """Another reader of subtitles: FFmpeg's, through PyAV, as players use it."""
    for path in write_exports(film(["<script>", "Tom & Jerry"]), ["vtt", "srt"], tmp_path):
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux() if packet.size]
            times_s = [float(packet.pts * packet.time_base) for packet in packets]
        assert times_s == pytest.approx([0, 0.04], abs=1e-3)
