"""Pages that need nothing but themselves: templates, escaped throughout, under a strict content policy.

Style and script stand in the page, and its policy names their hashes: a browser runs nothing else, whatever a
file name or a class holds, and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.errors import UserError
from pipeline.files.atomic import written_beside
from pipeline.sources.findings import printable

BASE64_CHUNK = 3 * 65536
"""A multiple of three bytes: chunks then join without padding in between."""


def page(template: str, styles: Sequence[str], scripts: Sequence[str], **shown: Any) -> Iterator[str]:
    """A page piece by piece.

    Args:
        template: file in ``templates/`` that extends ``shell.html``.
        styles, scripts: files there, in the order in which they count.
        shown: what the template names; text in it is escaped, iterators may be long.
    """
    style, script = (Markup("\n".join(map(_text, names))) for names in (styles, scripts))  # noqa: S704 - ours
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            "media-src blob: data:",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}" if script else "script-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return _environment().get_template(template).generate(policy=policy, style=style, script=script, **shown)


def write_page(path: Path, pieces: Iterable[str]) -> None:
    """Write a page beside ``path``, then rename it.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with written_beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); check the folder and the disk"
        ) from error


def as_data(media_type: str, content: bytes) -> str:
    """A small file as a ``data:`` address."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def in_base64(path: Path) -> Iterator[str]:
    """A file in base64, a piece at a time."""
    with path.open("rb") as file:
        while chunk := file.read(BASE64_CHUNK):
            yield base64.b64encode(chunk).decode()


def as_json(document: Any) -> Markup:
    """JSON to stand inside a script element: nothing in it can end the element."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what HTML could read as markup was replaced


def clock(seconds: float) -> str:
    """A time as a player shows it: ``0:01.100``, ``1:02:03.004``."""
    sign, thousandths = "-" if seconds < 0 else "", round(abs(seconds) * 1000)
    whole, thousandth = divmod(thousandths, 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    start = f"{hour}:{minute:02}" if hour else str(minute)
    return f"{sign}{start}:{second:02}.{thousandth:03}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clock=clock, printable=printable)
    return environment


def _text(name: str) -> str:
    assert __package__ is not None
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
