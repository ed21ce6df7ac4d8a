"""Names and labels made fit for formats that cannot hold every character."""

from __future__ import annotations

import unicodedata

NO_LINE = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories that end a line or a cell: controls, line and paragraph separators."""


def one_line(text: str) -> str:
    """Line breaks, tabs and other controls as spaces: for formats with one line per marker and no escapes."""
    joined = text.replace("\r\n", "\n")
    return "".join(" " if unicodedata.category(one) in NO_LINE else one for one in joined)


def xml_text(text: str) -> str:
    """What XML 1.0 (section 2.2) cannot hold becomes U+FFFD; line breaks become a line feed (2.11)."""
    joined = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(one if _in_xml(ord(one)) else "�" for one in joined)


def _in_xml(code: int) -> bool:
    return code in (0x9, 0xA) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
