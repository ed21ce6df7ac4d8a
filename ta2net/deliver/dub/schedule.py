"""Hits -> which sound lies where, how loud and how high: everything about a dub but the samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pipeline.video.probe import VideoInfo
from ta2net.deliver.dub.loudness import Level, by_probability
from ta2net.deliver.dub.mix import Placement
from ta2net.deliver.dub.sounds import FADE_OUT_S, Sound, faded
from ta2net.media.audio import SAMPLE_RATE, Samples, amplitude

if TYPE_CHECKING:  # its module loads torch, which takes seconds
    from ta2net.hits.hit import Hit

PITCH_RANGE_PERCENT = 4
"""A sound is played up to this much faster or slower, in steps of 1 %: less than a semitone."""


def surest_per_frame(hits: Sequence[Hit]) -> list[Hit]:
    """Hits in order of time, of several on one frame the surest: no two sounds ever lie on one moment."""
    best: dict[int, Hit] = {}
    for hit in hits:
        held = best.get(hit.frame)
        if held is None or hit.probability > held.probability:
            best[hit.frame] = hit
    return [best[frame] for frame in sorted(best)]


def place(
    hits: Sequence[Hit],
    info: VideoInfo,
    sounds: Sequence[Sound],
    *,
    first_sample: int,
    n_samples: int,
    seed: int = 0,
    gain_db: float = 0.0,
    level_db: Level = by_probability,
) -> list[Placement]:
    """Where each hit's sound lies on the sound track; the order in which hits come does not matter.

    A sound's first sample lies on the sample nearest to the presentation time of the hit's frame. Sounds take
    turns; pitch is drawn from ``seed`` and the frame, so that one hit more or less changes no other's.

    Args:
        hits: of this video (see ``ta2net.media.belonging``).
        sounds: at least one.
        first_sample: where the track begins, in samples at 48 kHz from time 0 of the video file.
        n_samples: its length; a sound that would go past it is faded out there.
        gain_db: added to all.
        level_db: of each hit.
    """
    if not sounds:
        raise ValueError("no sounds to place")
    placements = []
    for turn, hit in enumerate(surest_per_frame(hits)):
        start = round(float(info.times_s[hit.frame]) * SAMPLE_RATE) - first_sample
        step = np.random.default_rng([seed, hit.frame]).integers(
            -PITCH_RANGE_PERCENT, PITCH_RANGE_PERCENT, endpoint=True
        )
        samples = at_pitch(sounds[turn % len(sounds)], 100 + int(step))
        room = n_samples - start
        if len(samples) > room:
            samples = faded(samples[:room], 0.0, min(FADE_OUT_S, room / SAMPLE_RATE / 4))
        level = amplitude(gain_db + level_db(hit))
        placements.append(Placement(start, samples, level))
    return placements


@lru_cache(maxsize=256)
def at_pitch(sound: Sound, percent: int) -> Samples:
    """A sound played at ``percent`` of its speed, band-limited; its onset stays its first sample."""
    if percent == 100:
        return sound.samples
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(sound.samples, 100, percent, axis=0), np.float32)
