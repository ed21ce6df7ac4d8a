"""The formats by name, and writing them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files.atomic import written_beside
from ta2net.deliver.exports import (
    audacity,
    delimited,
    e2espot,
    fcpxml,
    midi,
    otio,
    premiere,
    protools,
    reaper,
    resolve,
    subtitles,
    ta2net_json,
)
from ta2net.media.timeline import Timeline

LONGEST_STEM_BYTES = 200
"""File systems take 255 bytes or so; the suffix and the name while it is written need the rest."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: of its file name; no two formats share one.
        opens_in: the programs it is for.
        render: the whole file as bytes.
    """

    suffix: str
    opens_in: str
    render: Callable[[Timeline], bytes]


FORMATS: Mapping[str, Format] = {
    "json": Format(".hits.json", "any program", ta2net_json.render),
    "csv": Format(".hits.csv", "a spreadsheet", delimited.render),
    "audacity": Format(".audacity.txt", "Audacity", audacity.render),
    "reaper": Format(".reaper.csv", "REAPER", reaper.render),
    "resolve": Format(".resolve.edl", "DaVinci Resolve", resolve.render),
    "premiere": Format(".premiere.xml", "Premiere Pro, and others that read FCP7 XML", premiere.render),
    "fcpxml": Format(".hits.fcpxml", "Final Cut Pro", fcpxml.render),
    "otio": Format(".hits.otio", "OpenTimelineIO", otio.render),
    "vtt": Format(".hits.vtt", "web browsers", subtitles.render_vtt),
    "srt": Format(".hits.srt", "video players", subtitles.render_srt),
    "midi": Format(".hits.mid", "any program for music, Pro Tools too", midi.render),
    "protools": Format(".protools.txt", "tools that place Pro Tools markers", protools.render),
    "e2espot": Format(".e2espot.json", "E2E-Spot's evaluation", e2espot.render),
}


def formats_named(names: Iterable[str]) -> list[str]:
    """Names of formats from what a user wrote: each one name, several with commas, or ``all``; no repeats.

    Raises:
        UserError: an unknown name, or none at all.
    """
    asked = [part.strip().lower() for name in names for part in name.split(",") if part.strip()]
    unknown = [name for name in asked if name != "all" and name not in FORMATS]
    if unknown or not asked:
        wrong = f"unknown format {', '.join(map(repr, unknown))}" if unknown else "no format named"
        raise UserError(f"{wrong}; choose from {', '.join(FORMATS)}, or all")
    return list(FORMATS) if "all" in asked else list(dict.fromkeys(asked))


def write_export(timeline: Timeline, name: str, path: str | os.PathLike[str]) -> None:
    """Write one file in the format called ``name``; missing folders are made, an old file is replaced.

    Raises:
        UserError: no such format, the film cannot be written in it, or ``path`` cannot be written.
    """
    if name not in FORMATS:
        raise UserError(f"unknown format {name!r}; choose one of {', '.join(FORMATS)}")
    content = FORMATS[name].render(timeline)
    try:
        with written_beside(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{os.fspath(path)}: cannot be written ({error.strerror}); choose another folder or fix this one"
        ) from error


def write_exports(timeline: Timeline, names: Iterable[str], folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``<stem of the film's name><suffix>`` into a folder for each format; the paths, in order.

    A stem of more than 200 bytes is cut, so that the file system takes the name.

    Raises:
        UserError: see ``formats_named`` and ``write_export``.
    """
    stem = Path(timeline.name).stem.replace("/", "_").replace("\0", "_") or "film"
    stem = stem.encode()[:LONGEST_STEM_BYTES].decode(errors="ignore")
    paths = []
    for name in formats_named(names):
        paths.append(Path(folder) / f"{stem}{FORMATS[name].suffix}")
        write_export(timeline, name, paths[-1])
    return paths
