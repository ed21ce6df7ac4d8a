"""Hits as files that editors, players and programs for sound open: a module per format, found by name."""

from ta2net.deliver.exports.registry import FORMATS, Format, formats_named, write_export, write_exports
from ta2net.media.film import Film, look_at, timeline_of

__all__ = [
    "FORMATS",
    "Film",
    "Format",
    "formats_named",
    "look_at",
    "timeline_of",
    "write_export",
    "write_exports",
]
