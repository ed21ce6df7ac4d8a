"""Which contacts may stand together in one clip: labels need room between them and at both ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline.impacts.clock import Clock
from pipeline.impacts.physics import Contact

APART_FRAMES = 3
"""Two labels lie at least so far apart."""
EDGE_FRAMES = 2
"""Frames at both ends of a clip that carry no label: movement before or after could not be seen."""


@dataclass
class Accepted:
    """Contacts accepted so far, all with enough room."""

    clock: Clock
    _taken: list[Contact] = field(default_factory=list)

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """By time."""
        return tuple(sorted(self._taken, key=lambda contact: contact.time_s))

    def take(self, more: Iterable[Contact]) -> bool:
        """Accept all of ``more`` within the clip, or, if one has too little room, none of them."""
        inside = [
            contact for contact in more if 0 <= self.clock.frame_of(contact.time_s) < self.clock.n_frames
        ]
        frames = sorted(self.clock.frame_of(contact.time_s) for contact in [*self._taken, *inside])
        roomy = all(later - sooner >= APART_FRAMES for sooner, later in pairwise(frames))
        edged = all(EDGE_FRAMES <= frame < self.clock.n_frames - EDGE_FRAMES for frame in frames)
        if roomy and edged:
            self._taken.extend(inside)
            return True
        return False
