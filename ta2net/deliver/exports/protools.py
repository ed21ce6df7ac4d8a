"""The markers of a session in the form of Pro Tools' own text export (File > Export > Session Info as Text).

Pro Tools writes this text and does not read it back; tools that place markers do. Times are a player's:
exact to a sample of 48 kHz in TIME REFERENCE, as timecode from 00:00:00:00 in LOCATION.
"""

from __future__ import annotations

from fractions import Fraction

from ta2net.deliver.exports.text import one_line
from ta2net.media.timecode import NTSC, can_drop, frame_at, timecode_of
from ta2net.media.timeline import Timeline

SAMPLE_RATE_HZ = Fraction(48_000)
RATES = {
    "23.976": 24 * NTSC,
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": 30 * NTSC,
    "30": Fraction(30),
    "47.952": 48 * NTSC,
    "48": Fraction(48),
    "50": Fraction(50),
    "59.94": 60 * NTSC,
    "60": Fraction(60),
    "100": Fraction(100),
    "119.88": 120 * NTSC,
    "120": Fraction(120),
}
"""Timecode rates of a session, as Pro Tools writes them."""
OTHER = "30"
"""For a film at any other rate."""
HEADINGS = (
    "#   ",
    "LOCATION     ",
    "TIME REFERENCE    ",
    "UNITS    ",
    "NAME                             ",
    "COMMENTS",
)
"""Padded as Pro Tools pads them."""


def render(timeline: Timeline) -> bytes:
    """The text as UTF-8; tabs and line breaks in names become spaces."""
    name = next((name for name, rate in RATES.items() if rate == timeline.rate), OTHER)
    rate = RATES[name]
    drop = timeline.dropping and can_drop(rate)
    lines = [
        f"SESSION NAME:\t{one_line(timeline.name)}",
        f"SAMPLE RATE:\t{float(SAMPLE_RATE_HZ):.6f}",
        "BIT DEPTH:\t24-bit",
        f"SESSION START TIMECODE:\t{timecode_of(0, rate, drop)}",
        f"TIMECODE FORMAT:\t{name}{' Drop' if drop else ''} Frame",
        "# OF AUDIO TRACKS:\t0",
        "# OF AUDIO CLIPS:\t0",
        "# OF AUDIO FILES:\t0",
        "",
        "",
        "M A R K E R S  L I S T I N G",
        "\t".join(HEADINGS),
    ]
    for number, marker in enumerate(timeline.markers, start=1):
        at_s = timeline.player_s(marker)
        cells = (
            f"{number:<4}",
            f"{timecode_of(frame_at(at_s, rate), rate, drop):<13}",
            f"{frame_at(at_s, SAMPLE_RATE_HZ):<18}",
            f"{'Samples':<9}",
            f"{one_line(marker.label):<33}",
            one_line(marker.note),
        )
        lines.append("\t".join(cells))
    return ("\n".join(lines) + "\n").encode()
