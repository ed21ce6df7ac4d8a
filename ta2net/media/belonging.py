"""Whether hits belong to a video: everything made of both asks this first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Protocol

from pipeline.errors import UserError

TIME_TOLERANCE_S = 0.002
"""Between a hit's time and its frame's: hits.csv has microseconds, other programs round to milliseconds."""


class HitLike(Protocol):
    """A ``ta2net.hits.hit.Hit``, or anything with its fields."""

    @property
    def frame(self) -> int: ...
    @property
    def time_s(self) -> float: ...
    @property
    def probability(self) -> float: ...
    @property
    def x_fraction(self) -> float | None: ...
    @property
    def y_fraction(self) -> float | None: ...


def check_hits(hits: Iterable[HitLike], name: str, times_s: Sequence[Fraction] | Sequence[float]) -> None:
    """Refuse hits that cannot be this video's: at a frame it has not, or shows at another time.

    Args:
        name: of the video, for the message.
        times_s: presentation time of each of its frames in s.

    Raises:
        UserError: names the first such hit.
    """
    for hit in hits:
        if not 0 <= hit.frame < len(times_s):
            raise UserError(
                f"{name}: there is a hit at frame {hit.frame}, but the video has {len(times_s)} frames; "
                "give the video the hits were found in (was it cut since?)"
            )
        shown_s = float(times_s[hit.frame])
        if not abs(hit.time_s - shown_s) <= TIME_TOLERANCE_S:  # a time that is no number is refused, too
            raise UserError(
                f"{name}: the hit at frame {hit.frame} has the time {hit.time_s:.6f} s, but that frame is "
                f"shown at {shown_s:.6f} s; give the video the hits were found in (was its frame rate "
                "changed since?)"
            )
