"""The page of many videos: a row for each, with the way to its own page."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.errors import UserError
from pipeline.files.atomic import write_json
from ta2net.media.html import as_data, page, write_page

PAGE, ENTRY, INDEX = "report.html", "report.json", "index.html"


@dataclass(frozen=True)
class Entry:
    """What the index says of one video.

    Attributes:
        name: of the video file.
        duration_s: of what was looked at; None: not known.
        hits: how many; None: the video failed.
        labels: what its labels say of them; empty: it has none.
        small: a picture of it as WebP; empty: none.
        failure: why there is no page.
    """

    name: str
    duration_s: float | None = None
    hits: int | None = None
    labels: str = ""
    small: bytes = b""
    failure: str = ""


def write_entry(entry: Entry, folder: Path) -> None:
    """Leave what the index needs beside the video's page, for later runs that skip the video."""
    write_json(
        folder / ENTRY,
        {
            "name": entry.name,
            "duration_s": entry.duration_s,
            "hits": entry.hits,
            "labels": entry.labels,
            "small": base64.b64encode(entry.small).decode(),
        },
    )


def read_entry(folder: Path) -> Entry:
    """What ``write_entry`` left.

    Raises:
        UserError: it is missing or not what it should be.
    """
    path = folder / ENTRY
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Entry(
            name=str(document["name"]),
            duration_s=float(document["duration_s"]),
            hits=int(document["hits"]),
            labels=str(document["labels"]),
            small=base64.b64decode(document["small"], validate=True),
        )
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise UserError(
            f"{path}: not readable ({error}); predict the video again, without --skip-existing"
        ) from error


def write_index(entries: Sequence[tuple[Entry, Path]], out: Path, facts: Sequence[tuple[str, str]]) -> Path:
    """Write ``index.html`` in a folder.

    Args:
        entries: what is known of each video, and its folder, somewhere in ``out``.
        facts: about the network and the settings, shown below.

    Raises:
        UserError: it cannot be written.
    """
    rows = [_row(entry, folder.relative_to(out)) for entry, folder in entries]
    found = [entry for entry, _ in entries]
    shown = {
        "rows": rows,
        "hits": sum(entry.hits or 0 for entry in found),
        "failed": sum(entry.hits is None for entry in found),
        "duration_s": sum(entry.duration_s or 0.0 for entry in found),
        "labelled": any(entry.labels for entry in found),
        "facts": facts,
    }
    write_page(out / INDEX, page("index.html", ("shell.css", "index.css"), (), **shown))
    return out / INDEX


def _row(entry: Entry, folder: Path) -> dict[str, Any]:
    return {
        "entry": entry,
        "address": quote(f"{folder.as_posix()}/{PAGE}"),
        "small": as_data("image/webp", entry.small) if entry.small else "",
    }
