"""Video and hits -> a dubbed video, a sound track, or both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UserError
from pipeline.video.probe import VideoInfo, probe
from ta2net.deliver.dub.loudness import Loudness, by_inflection, by_probability
from ta2net.deliver.dub.mix import Placement, mixed, peak, safe_gain
from ta2net.deliver.dub.mux import check_format, write_dubbed
from ta2net.deliver.dub.original import UNDER_DB, original_sound, original_start
from ta2net.deliver.dub.schedule import place
from ta2net.deliver.dub.sounds import Sounds, default_sounds, read_sounds
from ta2net.deliver.dub.stem import write_stem
from ta2net.media.audio import SAMPLE_RATE, Samples, amplitude
from ta2net.media.belonging import check_hits

if TYPE_CHECKING:
    from ta2net.hits.hit import Hit


@dataclass(frozen=True)
class Dubbed:
    """What was written.

    Attributes:
        sounds: sounds that were placed: fewer than hits where several hits lay on one frame.
        notes: what the user should know, a line each.
    """

    sounds: int
    notes: tuple[str, ...]


def dub(
    video: str | Path,
    hits: Sequence[Hit],
    sounds: str | Path | Sounds | None,
    out: str | Path | None,
    *,
    stem: str | Path | None = None,
    keep_original: bool = True,
    seed: int = 0,
    gain_db: float = 0.0,
    loudness: Loudness = "probability",
    class_name: str | None = None,
) -> Dubbed:
    """Place a sound at each hit of a video; write it beside the video's pictures, alone, or both.

    The track begins with the first picture, or with the original sound where that is kept and begins earlier
    (not before time 0), and ends with the last picture, or with the original sound where that ends later. The
    stem begins and ends with the pictures.

    Args:
        video: any file that ``probe`` reads.
        hits: of this video, in any order; ``row_id`` is not looked at.
        sounds: a file, a folder (see ``read_sounds``), sounds already read, or None for the synthesised ones.
        out: the dubbed video to write, .mp4, .mov or .mkv; None for none.
        stem: a WAV file of the placed sounds alone to write; None for none.
        keep_original: mix the video's own sound under, 6 dB lower; otherwise it is left out.
        seed: of the changes of pitch.
        gain_db: makes the placed sounds louder or quieter.
        loudness: what makes one hit louder than another, see ``ta2net.deliver.dub.loudness``.
        class_name: which folder of ``sounds``.

    Raises:
        UserError: nothing to write, hits of another video, sounds that cannot be used, files that cannot be
            written.
        VideoError: the video cannot be read.
    """
    check_outputs(video, out, stem)
    if not math.isfinite(gain_db):
        raise UserError(f"a gain of {gain_db} dB is not a level; give a number such as -6")
    info = probe(video)
    check_hits(hits, info.path, info.times_s.tolist())
    bank = sounds if isinstance(sounds, Sounds) else _bank(sounds, class_name)
    notes = list(bank.notes)
    if not hits:
        notes.append("no hits: nothing was placed")
    first, end = _span(info)
    placed = place(
        hits,
        info,
        bank.sounds,
        first_sample=first,
        n_samples=end - first,
        seed=seed,
        gain_db=gain_db,
        level_db=by_inflection(info, hits) if loudness == "inflection" else by_probability,
    )
    if stem is not None:
        notes += _write_stem(placed, end - first, stem)
    if out is not None:
        notes += _write_video(info, out, placed, first, end, keep_original=keep_original)
    return Dubbed(len(placed), tuple(notes))


def check_outputs(video: str | Path, out: str | Path | None, stem: str | Path | None) -> None:
    """Refuse what ``dub`` could not write.

    Raises:
        UserError: nothing to write, a format that is none, or the video itself.
    """
    if out is None and stem is None:
        raise UserError("nothing to write: give --out VIDEO, --stem WAV, or both")
    if out is not None:
        check_format(out)
    if stem is not None and Path(stem).suffix.lower() != ".wav":
        raise UserError(f"{stem}: the stem is a WAV file; give it a name that ends in .wav")
    for path in (out, stem):
        if path is not None and Path(path).resolve() == Path(video).resolve():
            raise UserError(f"{path}: would replace the video itself; choose another name")


def _bank(sounds: str | Path | None, class_name: str | None) -> Sounds:
    if sounds is None:
        if class_name is not None:
            raise UserError("--class chooses a folder of sounds: give --sounds with it")
        return default_sounds()
    return read_sounds(sounds, class_name)


def _span(info: VideoInfo) -> tuple[int, int]:
    """First sample of the pictures, and the one after their end, from time 0 of the file.

    Containers do not say how long the last frame is shown: it counts like the average one.
    """
    end_s = float(info.times_s[-1]) + 1.0 / float(info.fps)
    return math.floor(float(info.times_s[0]) * SAMPLE_RATE), math.ceil(end_s * SAMPLE_RATE)


def _write_video(
    info: VideoInfo, out: str | Path, placed: list[Placement], first: int, end: int, *, keep_original: bool
) -> list[str]:
    """Write the dubbed video; ``placed`` counts from sample ``first``. Notes on what was done."""
    start = original_start(info.path) if keep_original else None
    begin = first if start is None else min(first, max(start, 0))
    shifted = [Placement(one.start + first - begin, one.samples, one.gain) for one in placed]

    def track() -> Iterator[Samples]:
        original = () if start is None else original_sound(info.path, begin)
        return mixed(shifted, end - begin, original, amplitude(UNDER_DB))

    gain = safe_gain(peak(track()))
    return _lowered(out, gain) + write_dubbed(info, out, _scaled(track(), gain), begin)


def _write_stem(placed: list[Placement], n_samples: int, stem: str | Path) -> list[str]:
    """Write the placed sounds alone; notes on what was done."""
    alone = partial(mixed, placed, n_samples)
    gain = safe_gain(peak(alone()))
    try:
        write_stem(_scaled(alone(), gain), stem)
    except OSError as error:
        raise UserError(f"{stem}: cannot be written ({error.strerror or error}); check the folder") from error
    return _lowered(stem, gain)


def _scaled(track: Iterable[Samples], gain: float) -> Iterator[Samples]:
    return (block * np.float32(gain) for block in track)


def _lowered(path: str | Path, gain: float) -> list[str]:
    if gain == 1.0:
        return []
    return [f"{path}: lowered by {-20 * math.log10(gain):.1f} dB so that nothing clips"]
