"""``Timeline``: a film and the moments in it, as the exports take them; three ways to count its time.

A hit is one frame of one file. What number an editor gives to it depends on where it starts to count:

- ``time_s``, the **presentation time** as the file's container has it, start offset included. hits.csv,
  JSON and CSV carry it.
- ``player_s``, what a **player** shows: 0:00 is the earliest start of any track of the file. Subtitles and
  programs for sound go by it. Players, browsers and FFmpeg count like this.
- ``grid_frame``, the frame on an editor's **timeline**: it runs at a steady rate and its frame 0 is the
  first frame of the video. At a constant frame rate this is the frame number itself; at a variable rate,
  the frame of the steady grid nearest to the time the frame is shown, which is where editors put it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from pipeline.errors import UserError
from ta2net.media.timecode import can_drop, drops, editing_rate, frame_at, frame_of, timecode_of


@dataclass(frozen=True)
class Marker:
    """One hit.

    Attributes:
        frame: 0-based frame of the video file.
        time_s: presentation time of that frame in s, the container's own.
        probability: of a hit, in [0, 1].
        x_fraction, y_fraction: where in the picture, (0, 0) top left, (1, 1) bottom right; None: unknown.
        label: what an editor shows.
        class_name: kind of action or sound; empty: unknown.
    """

    frame: int
    time_s: Fraction
    probability: float
    x_fraction: float | None = None
    y_fraction: float | None = None
    label: str = "hit"
    class_name: str = ""

    @property
    def title(self) -> str:
        """Label and probability, for formats that have one text per marker."""
        return f"{self.label} {self.probability:.2f}"

    @property
    def note(self) -> str:
        """What is known beside the label, as one line."""
        known = [self.class_name] if self.class_name else []
        known.append(f"probability {self.probability:.3f}")
        if self.x_fraction is not None and self.y_fraction is not None:
            known.append(f"x {self.x_fraction:.3f}, y {self.y_fraction:.3f}")
        return ", ".join(known)


@dataclass(frozen=True)
class Timeline:
    """A film and its hits.

    Attributes:
        name: file name of the video, without folders.
        fps: frames per second, exact; the average where the rate varies.
        n_frames: frames of the video.
        height_px, width_px: of the picture as shown.
        first_frame_s, last_frame_s: presentation times in s, the container's own.
        markers: in the order of time.
        player_zero_s: the container's time that a player shows as 0:00; None: the first frame.
        path: the video's absolute path, by which editors find it; None: by its name.
        start_timecode: SMPTE timecode of the first frame, as a camera writes it into the file; None: none.
        drop_frame: drop-frame timecode; None: as ``start_timecode`` is written, else wherever it exists.
        model: which network said so; empty: not known.
        versions: of the programs that made the hits, by name.
    """

    name: str
    fps: Fraction
    n_frames: int
    height_px: int
    width_px: int
    first_frame_s: Fraction
    last_frame_s: Fraction
    markers: tuple[Marker, ...] = ()
    player_zero_s: Fraction | None = None
    path: str | None = None
    start_timecode: str | None = None
    drop_frame: bool | None = None
    model: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no editor could show.

        Raises:
            UserError: names what contradicts itself, or a timecode that does not exist at this rate.
        """
        if self.n_frames < 1 or self.last_frame_s < self.first_frame_s:
            raise UserError(
                f"{self.name}: {self.n_frames} frames from {float(self.first_frame_s):.3f} to "
                f"{float(self.last_frame_s):.3f} s are not a video; probe the file again"
            )
        if self.zero_s > self.first_frame_s:
            raise UserError(f"{self.name}: player_zero_s lies behind the first frame; leave it out")
        for text in (self.name, *(text for one in self.markers for text in (one.label, one.class_name))):
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise UserError(f"{text!r}: not valid text (half a character in it); rename it")
        for marker in self.markers:
            _check(marker, self)
        places = [(marker.frame, marker.time_s) for marker in self.markers]
        if places != sorted(places):
            raise UserError(f"{self.name}: its hits are not in the order of time; sort them by frame")
        if self.start_timecode and drops(self.start_timecode) != self.dropping:
            raise UserError(
                f"{self.name}: the start timecode is {self.start_timecode}, but "
                f"{'drop-frame' if self.dropping else 'non-drop'} timecode is asked for; write the start "
                "timecode in that way: ; before the frames for drop-frame, : for non-drop"
            )
        timecode_of(self.start_frame, self.rate, self.dropping)  # its errors say which of the three is wrong

    @property
    def rate(self) -> Fraction:
        """Frames per second of an editor's timeline for this video."""
        return editing_rate(self.fps)

    @property
    def zero_s(self) -> Fraction:
        """The container's time that a player shows as 0:00."""
        return self.first_frame_s if self.player_zero_s is None else self.player_zero_s

    @property
    def dropping(self) -> bool:
        """Whether timecode of this video is drop-frame."""
        if self.drop_frame is not None:
            return self.drop_frame
        return drops(self.start_timecode) if self.start_timecode else can_drop(self.rate)

    @property
    def start_frame(self) -> int:
        """The first frame's number, counted from timecode 00:00:00:00; 0 without a start timecode."""
        return frame_of(self.start_timecode, self.rate) if self.start_timecode else 0

    @property
    def n_grid_frames(self) -> int:
        """Length in frames of an editor's timeline; at a constant frame rate, the number of frames."""
        return frame_at(self.last_frame_s - self.first_frame_s, self.rate) + 1

    @property
    def duration_s(self) -> Fraction:
        """From a player's 0:00 to the end of the last frame in s."""
        return self.last_frame_s + 1 / self.fps - self.zero_s

    def grid_frame(self, marker: Marker) -> int:
        """The frame of an editor's timeline, 0 = first frame of the video."""
        return frame_at(marker.time_s - self.first_frame_s, self.rate)

    def player_s(self, marker: Marker) -> Fraction:
        """The time that a player shows, in s."""
        return marker.time_s - self.zero_s

    def timecode(self, marker: Marker) -> str:
        """SMPTE timecode, counted from the start timecode."""
        return timecode_of(self.start_frame + self.grid_frame(marker), self.rate, self.dropping)


def _check(marker: Marker, timeline: Timeline) -> None:
    """Raise a UserError where a marker is none of this film."""
    where = f"{timeline.name}: the hit at frame {marker.frame}"
    if not 0 <= marker.frame < timeline.n_frames:
        raise UserError(f"{where} is not one of its {timeline.n_frames} frames; is it another video's?")
    if not timeline.first_frame_s <= marker.time_s <= timeline.last_frame_s:
        raise UserError(
            f"{where} has the time {float(marker.time_s):.6f} s, but the frames are shown from "
            f"{float(timeline.first_frame_s):.6f} to {float(timeline.last_frame_s):.6f} s; "
            "is it another video's?"
        )
    if not 0 <= marker.probability <= 1:
        raise UserError(f"{where} has probability {marker.probability}; it must lie in 0 to 1")
    place = (marker.x_fraction, marker.y_fraction)
    if place != (None, None) and not all(value is not None and 0 <= value <= 1 for value in place):
        raise UserError(f"{where} is at x, y = {place}; both must lie in 0 to 1, or both be unknown")
