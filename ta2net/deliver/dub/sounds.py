"""Sound files of any kind -> sounds to be placed: trimmed to their onset, equally loud, without clicks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from pipeline.errors import UserError
from pipeline.video.container import PLAYLISTS
from ta2net.deliver.dub.synth import knocks
from ta2net.media.audio import SAMPLE_RATE, Samples, continuous, decoded

PEAK = 0.5
"""Loudest sample of every sound as it is held: 6 dB of room for sounds that overlap."""
ONSET = 0.1
"""Share of the loudest sample at which a sound begins: where the rise time of a pulse is counted from
(IEEE Std 181, 10 % to 90 %)."""
SILENT = 1e-4
"""A file that never gets louder than this (-80 dB) holds no sound."""
SEARCHED_S = 60.0
"""What is read of a file: its onset must lie in there."""
LONGEST_S = 10.0
"""Sounds are cut at this length after their onset."""
FADE_IN_S, FADE_OUT_S = 0.0005, 0.01
"""Long enough that neither end clicks, short enough that an attack keeps its edge."""
SUFFIXES = frozenset(
    (
        *(".wav", ".w64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd", ".flac", ".wv", ".ape"),
        *(".mp3", ".aac", ".m4a", ".ogg", ".oga", ".opus", ".wma", ".ac3", ".amr"),
        *(".mka", ".mkv", ".mp4", ".mov", ".webm"),
    )
)
"""Which files of a folder are taken; a file given by its own name may have any."""


@dataclass(frozen=True, eq=False)
class Sound:
    """One sound, ready to be placed.

    Attributes:
        name: for messages.
        samples: (n, 2) float32 at 48 kHz; the first sample is the onset, the loudest is ``PEAK``.
    """

    name: str
    samples: Samples


@dataclass(frozen=True)
class Sounds:
    """The sounds that take turns, and what a reader must know of how they were found."""

    sounds: tuple[Sound, ...]
    notes: tuple[str, ...] = ()


def default_sounds() -> Sounds:
    """Four synthesised knocks."""
    return Sounds(tuple(prepared(f"knock {n}", knock) for n, knock in enumerate(knocks(), 1)))


def read_sounds(path: str | Path, class_name: str | None = None) -> Sounds:
    """The sounds of one file, or of a folder in the order of their names.

    Args:
        path: a file of any format FFmpeg reads, or a folder of such files; or a folder of folders named like
            classes of action.
        class_name: which of these folders, in any case of letters. Needed where ``path`` holds no sounds
            itself and more than one folder.

    Raises:
        UserError: nothing is there, there is no such class, or a file is broken, silent or no sound.
    """
    place = Path(path)
    if not place.exists():
        raise UserError(f"{place}: no such file or folder of sounds; check the path, or leave --sounds out")
    if not place.is_dir():
        if class_name is not None:
            raise UserError(f"{place}: a file, not a folder of classes; leave --class out or give the folder")
        return _read([place], ())
    folder = _class_folder(place, class_name)
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    taken = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not taken:
        raise UserError(f"{folder}: no sound file in it (such as .wav, .flac, .mp3); put some there")
    others = [file.name for file in files if file not in taken]
    return _read(taken, (f"{folder}: left out, not sounds: {', '.join(others)}",) if others else ())


def _class_folder(place: Path, class_name: str | None) -> Path:
    inner = sorted(each for each in place.iterdir() if each.is_dir() and not each.name.startswith("."))
    names = ", ".join(each.name for each in inner) or "none"
    if class_name is not None:
        for each in inner:
            if each.name.casefold() == class_name.casefold():
                return each
        raise UserError(f"{place}: no folder for the class {class_name!r}; there are: {names}")
    loose = any(each.is_file() and each.suffix.lower() in SUFFIXES for each in place.iterdir())
    if loose or not inner:
        return place
    if len(inner) > 1:
        raise UserError(f"{place}: sounds of several classes; choose one with --class: {names}")
    return inner[0]


def _read(files: Sequence[Path], notes: tuple[str, ...]) -> Sounds:
    sounds = []
    for file in files:
        samples = _decoded_file(file)
        if len(samples) > LONGEST_S * SAMPLE_RATE:
            notes += (f"{file}: longer than {LONGEST_S:g} s; cut there",)
        sounds.append(prepared(str(file), samples))
    return Sounds(tuple(sounds), notes)


def prepared(name: str, samples: Samples) -> Sound:
    """Trim to the onset, bring to the common level, and fade both ends.

    The onset is the first sample that reaches a tenth of the loudest one; what lies before it (silence,
    noise, the hand's way to the drum) is cut off, so that the attack lies on the hit and nothing sounds
    before it.

    Raises:
        UserError: it is silent or holds values that are no numbers.
    """
    if not np.isfinite(samples).all():
        raise UserError(
            f"{name}: holds samples that are not finite numbers (NaN or infinite); export it again"
        )
    level = np.abs(samples).max(axis=1, initial=0.0)
    loudest = float(level.max(initial=0.0))
    if loudest < SILENT:
        raise UserError(f"{name}: silent in its first {SEARCHED_S:g} s; give a file with a sound in it")
    onset = int(np.argmax(level >= ONSET * loudest))
    cut = faded(samples[onset : onset + round(LONGEST_S * SAMPLE_RATE)])
    return Sound(name, cut * np.float32(PEAK / np.abs(cut).max()))


def faded(samples: Samples, fade_in_s: float = FADE_IN_S, fade_out_s: float = FADE_OUT_S) -> Samples:
    """A copy whose ends rise from and fall to 0 along raised cosines, each over at most half of it."""
    result = samples.copy()
    for end, length_s in ((result, fade_in_s), (result[::-1], fade_out_s)):
        n = min(round(length_s * SAMPLE_RATE), len(samples) // 2)
        end[:n] *= (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))).astype(np.float32)[:, None]
    return result


def _decoded_file(file: Path) -> Samples:
    """The first minute of a file.

    Raises:
        UserError: not readable, no sound in it, or damaged.
    """
    runs: list[Samples] = []
    try:
        # only plain files: a crafted "sound" may otherwise name other files or addresses
        options = {"protocol_whitelist": "file"}
        source = "file:" + str(file.absolute())
        with av.open(source, options=options, metadata_errors="replace") as container:
            if container.format.name in PLAYLISTS:
                raise UserError(f"{file}: a playlist ({container.format.name}), not a sound file")
            stream = container.streams.best("audio")
            if stream is None or stream.codec_context is None:
                raise UserError(f"{file}: no sound that FFmpeg can decode inside; give a sound file")
            left = round(SEARCHED_S * SAMPLE_RATE)
            for run in continuous(_from_zero(decoded(container, stream))):
                runs.append(run[:left])
                left -= len(run)
                if left <= 0:
                    break
    except av.error.FFmpegError as error:
        raise UserError(
            f"{file}: FFmpeg cannot read it as a sound ({error.strerror}); it is damaged or no sound file: "
            "export it again, for instance as WAV, or leave it out"
        ) from error
    if not runs:
        raise UserError(f"{file}: holds no samples; export it again or leave it out")
    return np.concatenate(runs)


def _from_zero(pieces: Iterable[tuple[int, Samples]]) -> Iterator[tuple[int, Samples]]:
    """Counted from the first sample: when a sound file starts on its own clock does not matter."""
    first: int | None = None
    for start, samples in pieces:
        first = start if first is None else first
        yield start - first, samples
