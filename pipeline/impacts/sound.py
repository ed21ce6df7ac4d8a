"""What contacts sound like: a burst of noise and a few damped modes, different for every material."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.clock import Clock
from pipeline.impacts.physics import AUDIBLE_IMPULSE, Contact

SAMPLE_RATE = 48_000
PEAK = 0.5
"""Loudest sample of a hit of ``LOUD_IMPULSE``."""
LOUD_IMPULSE = 400.0
RING_S = 0.6
"""A hit's sound is cut (long after it has faded) at this length."""
ATTACK_S = 0.0004
"""Time in which the modes swell, so that the onset does not click."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """How a material rings.

    Attributes:
        modes_hz: frequencies of its modes.
        decay_s: time in which the lowest mode falls to 1/e; higher ones fade faster.
        noise: share of noise in the attack, 0..1.
        noise_decay_s: time in which the noise falls to 1/e.
    """

    modes_hz: tuple[float, ...]
    decay_s: float
    noise: float
    noise_decay_s: float


MATERIALS: dict[str, Material] = {
    "rubber": Material((130.0, 290.0, 520.0), 0.045, 0.25, 0.006),
    "leather": Material((95.0, 210.0, 370.0), 0.05, 0.4, 0.012),
    "plastic": Material((1150.0, 2400.0, 4100.0), 0.018, 0.3, 0.004),
    "wood": Material((420.0, 1040.0, 1830.0, 2900.0), 0.035, 0.35, 0.005),
    "metal": Material((1250.0, 2730.0, 4410.0, 6900.0), 0.14, 0.2, 0.003),
    "skin": Material((155.0, 247.0, 331.0, 412.0), 0.12, 0.3, 0.01),
    "palm": Material((780.0, 1420.0), 0.008, 0.85, 0.012),
}


def track(contacts: tuple[Contact, ...], clock: Clock, seed: int) -> Samples:
    """The whole clip's sound, (n_samples,) float32 in -1..1, every hit exactly at its contact's time."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(clock.duration_s * SAMPLE_RATE), np.float32)
    pitch = rng.uniform(0.85, 1.18)
    for contact in contacts:
        hit = strike(contact, rng, pitch)
        start = round(contact.time_s * SAMPLE_RATE)
        room = sound[start : start + len(hit)]
        room += hit[: len(room)]
    return np.clip(sound, -1.0, 1.0)


def strike(contact: Contact, rng: np.random.Generator, pitch: float) -> Samples:
    """One hit, (n,) float32; louder for a harder blow, higher for a higher ``pitch`` (1 = usual)."""
    material = MATERIALS[contact.material]
    time_s = np.arange(round(RING_S * SAMPLE_RATE)) / SAMPLE_RATE
    ring = np.zeros_like(time_s)
    for number, hertz in enumerate(material.modes_hz):
        own_hz = hertz * pitch * rng.uniform(0.985, 1.015)
        decay_s = material.decay_s / (1 + 0.6 * number)
        ring += np.sin(2 * np.pi * own_hz * time_s) * np.exp(-time_s / decay_s) / (1 + 0.5 * number)
    noise = rng.standard_normal(len(time_s)) * np.exp(-time_s / material.noise_decay_s)
    mixed = (1 - material.noise) * ring * (1 - np.exp(-time_s / ATTACK_S)) + material.noise * 0.5 * noise
    loudness = PEAK * np.sqrt(np.clip(contact.impulse, AUDIBLE_IMPULSE, LOUD_IMPULSE) / LOUD_IMPULSE)
    return np.asarray(loudness * mixed / np.abs(mixed).max(), dtype=np.float32)
