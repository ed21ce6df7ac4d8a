"""Pages that show what was found in videos: self-contained, safe, small."""

from ta2net.deliver.report.index import ENTRY, INDEX, PAGE, Entry, read_entry, write_entry, write_index
from ta2net.deliver.report.page import write_report
from ta2net.deliver.report.subject import Facts, Subject

__all__ = [
    "ENTRY",
    "INDEX",
    "PAGE",
    "Entry",
    "Facts",
    "Subject",
    "read_entry",
    "write_entry",
    "write_index",
    "write_report",
]
