"""The sounds that are used when none are given: short knocks, as of a mallet on wood."""

from __future__ import annotations

import numpy as np

from ta2net.media.audio import CHANNELS, SAMPLE_RATE, Samples

LENGTH_S = 0.25
"""By then the longest mode has fallen by 60 dB."""
MODES = ((1.0, 0.036, 1.0), (2.76, 0.018, 0.6), (5.40, 0.008, 0.35))
"""Frequency relative to the lowest, time of falling to 1/e in s, amplitude. The ratios are those of a uniform
bar with free ends (Rayleigh, The Theory of Sound, vol. 1, section 174), so that it sounds struck."""
PITCHES_HZ = (523.25, 554.37, 493.88, 587.33)
"""Lowest mode of each knock, C5 and its neighbours: different enough that a row of hits is no machine gun."""
CONTACT_S = 0.002
"""Time in which the noise of the mallet's contact falls to 1/e."""
CONTACT_AMPLITUDE = 0.5


def knocks() -> list[Samples]:
    """Four knocks, (n, 2) float32, peak 1, loudest within 1 ms of their first sample; always the same."""
    rng = np.random.default_rng(174)
    time_s = np.arange(round(LENGTH_S * SAMPLE_RATE)) / SAMPLE_RATE
    made = []
    for lowest_hz in PITCHES_HZ:
        sound = CONTACT_AMPLITUDE * rng.uniform(-1, 1, len(time_s)) * np.exp(-time_s / CONTACT_S)
        for ratio, decay_s, strength in MODES:
            # a cosine: a struck bar is fastest, and so loudest, at the moment of contact
            sound += strength * np.cos(2 * np.pi * ratio * lowest_hz * time_s) * np.exp(-time_s / decay_s)
        sound /= np.abs(sound).max()
        made.append(np.repeat(sound[:, None], CHANNELS, axis=1).astype(np.float32))
    return made
