"""Sound -> the moments at which something begins to sound, by librosa's spectral flux.

The novelty of a moment is how far the level rises there in the mean over 40 mel bands (spectral flux in dB:
Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013, without the maximum
filter, as ``librosa.onset.onset_strength`` computes it). A moment is an onset where the novelty is the
highest around and stands out of its neighbourhood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from pipeline.errors import UserError
from ta2net.label.sound import Mono
from ta2net.media.audio import SAMPLE_RATE

HOP = 120
"""Samples between two moments: 2.5 ms, a fraction of any frame."""
WINDOW = 1024
"""Samples looked at for one moment: 21 ms."""
BANDS = 40
LOWEST_HZ, HIGHEST_HZ = 30.0, 16_000.0
LAG = 4
"""A rise is measured over so many hops, 10 ms: an attack may take that long."""
RANGE_DB = 60.0
"""What lies further below the loudest moment of the track counts as silence."""
ALONE_S = 0.03
"""An onset is the highest moment within so far on both sides; librosa's default."""
AROUND_S = 0.1
"""The neighbourhood that it must stand out of, on each side; librosa's default."""
HALF_SURE_DB = 6.0
"""An onset that stands out by this has a confidence of one half: amplitude doubles in every band."""

MOMENTS_PER_S = SAMPLE_RATE / HOP


@dataclass(frozen=True)
class Novelty:
    """A whole sound track, moment by moment.

    Attributes:
        start_s: container's time of the first moment; the others follow every 2.5 ms.
        rise_db: (n,) mean rise over the bands.
        loudness: (n,) largest sample from one moment to the next, 0..1.
    """

    start_s: float
    rise_db: NDArray[np.float32]
    loudness: NDArray[np.float32]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(n,) container's time of each moment."""
        return self.start_s + np.arange(len(self.rise_db)) / MOMENTS_PER_S

    @property
    def end_s(self) -> float:
        """Container's time behind the last moment."""
        return self.start_s + len(self.rise_db) / MOMENTS_PER_S


@dataclass(frozen=True)
class Onsets:
    """Moments at which something begins to sound, each array (n,), in order of time.

    Attributes:
        times_s: container's times.
        above_db: how far the novelty stands out of its neighbourhood.
        confidence: ``1 - 2^(-above_db / 6)``, in 0..1.
    """

    times_s: NDArray[np.float64]
    above_db: NDArray[np.float64]
    confidence: NDArray[np.float64]


def novelty(blocks: Iterable[tuple[float, Mono]], name: str = "sound") -> Novelty:
    """How much begins at each moment.

    Args:
        blocks: sound of any lengths, each with the time of its first sample in s.
        name: what an error calls it.

    Raises:
        UserError: the sound is shorter than one window.
    """
    import librosa  # numba, which takes seconds

    starts: list[float] = []
    powers: list[NDArray[np.float32]] = []
    peaks: list[NDArray[np.float32]] = []
    for samples in _windows(blocks, starts, name):
        power = librosa.feature.melspectrogram(
            y=samples,
            sr=SAMPLE_RATE,
            n_fft=WINDOW,
            hop_length=HOP,
            center=False,
            n_mels=BANDS,
            fmin=LOWEST_HZ,
            fmax=HIGHEST_HZ,
        )
        powers.append(power)
        middle = samples[WINDOW // 2 : WINDOW // 2 + power.shape[1] * HOP]
        peaks.append(np.abs(middle).reshape(-1, HOP).max(axis=1))
    level_db = librosa.power_to_db(np.concatenate(powers, axis=1), ref=np.max, top_db=RANGE_DB)
    rise_db = librosa.onset.onset_strength(S=level_db, sr=SAMPLE_RATE, hop_length=HOP, lag=LAG, center=False)
    return Novelty(starts[0], rise_db, np.concatenate(peaks))


def _windows(blocks: Iterable[tuple[float, Mono]], starts: list[float], name: str) -> Iterator[Mono]:
    """Runs of samples whose windows, one every hop, join without gap; the first time goes into ``starts``.

    The start is mirrored, so that a sound that is simply there from the beginning does not begin there. The
    last 10 ms have no window around them.
    """
    half = WINDOW // 2
    held = np.empty(0, np.float32)
    mirrored = False
    for start_s, block in blocks:
        starts.append(start_s)
        held = np.concatenate([held, block])
        if not mirrored and len(held) > half:
            held, mirrored = np.concatenate([held[half:0:-1], held]), True
        count = (len(held) - WINDOW) // HOP + 1
        if mirrored and count > 0:
            yield held[: (count - 1) * HOP + WINDOW]
            held = held[count * HOP :]
    if not mirrored:
        raise UserError(f"{name}: its sound lasts {len(held)} samples; at least {half + 1} are needed")


def onsets(sound: Novelty, threshold: float) -> Onsets:
    """The onsets whose confidence reaches ``threshold``, in 0..1."""
    import librosa

    alone, around = round(ALONE_S * MOMENTS_PER_S), round(AROUND_S * MOMENTS_PER_S)
    mean = uniform_filter1d(sound.rise_db.astype(np.float64), 2 * around + 1, mode="nearest")
    above = sound.rise_db - mean
    found = librosa.util.peak_pick(
        above,
        pre_max=alone,
        post_max=alone + 1,
        pre_avg=0,
        post_avg=1,
        delta=0,
        wait=alone,
    )
    sure = 1 - np.exp2(-np.maximum(above[found], 0) / HALF_SURE_DB)
    kept = sure >= max(threshold, np.finfo(float).eps)
    return Onsets(sound.times_s[found[kept]], above[found[kept]], sure[kept])
