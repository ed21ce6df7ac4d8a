"""What moves without ever touching anything: it looks like an action and makes no sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.clock import Clock
from pipeline.impacts.looks import Look, box, disc, rod
from pipeline.impacts.physics import Contact, Part
from pipeline.impacts.scenes.setting import Setting
from pipeline.impacts.textures import draw_texture

BEHIND_LAYER = 10
FRONT_LAYER = 40
POST_LAYER = 50
HIDDEN_SHARE = 0.1
"""Something in front may hide at most this share of the hits; else it moves behind the actors."""

Poses = NDArray[np.float64]
Mover = Callable[[np.random.Generator, NDArray[np.float64], Setting], tuple[Look, Poses]]


def draw_surroundings(
    rng: np.random.Generator, clock: Clock, setting: Setting, difficulty: float, contacts: tuple[Contact, ...]
) -> tuple[Part, ...]:
    """Moving things before and behind the actors, and now and then a post in front of all.

    None at difficulty 0, three to seven at difficulty 1.
    """
    times = clock.times_s()
    parts = []
    for _ in range(round(difficulty * rng.uniform(3.0, 7.0))):
        mover = MOVERS[int(rng.integers(len(MOVERS)))]
        look, poses = mover(rng, times, setting)
        before = rng.random() < 0.45 and not _hides(look, poses, times, contacts)
        parts.append(Part(look, poses, FRONT_LAYER if before else BEHIND_LAYER))
    if rng.random() < 0.6 * difficulty:
        half = rng.uniform(3.0, 6.0)
        x = rng.uniform(setting.left_u + 10.0, setting.right_u - 10.0)
        if all(abs(contact.x - x) > half + 14.0 for contact in contacts):
            post = (box(-half, -400.0, half, 400.0, draw_texture(rng)),)
            parts.append(Part(post, np.array([[x, 64.0, 0.0]]), POST_LAYER))
    return tuple(parts)


def _hides(look: Look, poses: Poses, times_s: NDArray[np.float64], contacts: tuple[Contact, ...]) -> bool:
    """Whether it would cover more than ``HIDDEN_SHARE`` of the contacts at their moments."""
    hidden = 0
    for contact in contacts:
        x, y, angle = (np.interp(contact.time_s, times_s, poses[:, column]) for column in range(3))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        local = turn @ np.array([contact.x - x, contact.y - y])
        hidden += any(
            bool(np.all(local > patch.outline.min(axis=0) - 9.0))
            and bool(np.all(local < patch.outline.max(axis=0) + 9.0))
            for patch in look
        )
    return hidden > HIDDEN_SHARE * len(contacts)


def _pendulum(rng: np.random.Generator, times_s: Poses, setting: Setting) -> tuple[Look, Poses]:
    """Swings from above: turns smoothly at both ends."""
    length, radius = rng.uniform(50.0, 100.0), rng.uniform(6.0, 14.0)
    swing = rng.uniform(0.25, 0.55) * np.sin(2 * np.pi * (rng.uniform(0.5, 1.0) * times_s + rng.random()))
    look = (
        rod((0.0, -60.0), (0.0, length), 1.2, draw_texture(rng)),
        disc(radius, draw_texture(rng), (0.0, length)),
    )
    x = np.full_like(times_s, rng.uniform(setting.left_u + 10.0, setting.right_u - 10.0))
    return look, np.stack([x, np.full_like(x, rng.uniform(-30.0, 0.0)), swing], 1)


def _tossed(rng: np.random.Generator, times_s: Poses, setting: Setting) -> tuple[Look, Poses]:
    """Thrown up from below the picture again and again: turns at the top, lands unseen."""
    radius, period_s = rng.uniform(5.5, 10.0), rng.uniform(0.75, 1.3)
    phase = times_s / period_s + rng.random()
    share, count = phase % 1.0, np.floor(phase)
    start = setting.bottom_u + 2 * radius + 8.0
    y = start - 4 * rng.uniform(60.0, 105.0) * share * (1 - share)
    drift = rng.uniform(-30.0, 30.0)
    x = rng.uniform(20.0, 108.0) + drift * np.where(count % 2 == 0, share - 0.5, 0.5 - share)
    return (disc(radius, draw_texture(rng)),), np.stack([x, y, rng.uniform(-4, 4) * share], 1)


def _bobbing(rng: np.random.Generator, times_s: Poses, setting: Setting) -> tuple[Look, Poses]:
    """A ball on an invisible spring: up and down like a bouncing one, but never abruptly."""
    radius = rng.uniform(6.0, 11.0)
    wave = np.sin(2 * np.pi * (rng.uniform(0.7, 1.25) * times_s + rng.random()))
    tilt = rng.uniform(-0.6, 0.6) + (np.pi / 2 if rng.random() < 0.3 else 0.0)
    reach = rng.uniform(10.0, 24.0)
    x = rng.uniform(setting.left_u + 15.0, setting.right_u - 15.0) + np.sin(tilt) * reach * wave
    y = rng.uniform(25.0, 95.0) + np.cos(tilt) * reach * wave
    return (disc(radius, draw_texture(rng)),), np.stack([x, y, 0.6 * wave], 1)


def _passing(rng: np.random.Generator, times_s: Poses, setting: Setting) -> tuple[Look, Poses]:
    """Comes in, slows to a stop, and goes on or turns back."""
    half, tall = rng.uniform(8.0, 20.0), rng.uniform(16.0, 40.0)
    out = half + 20.0
    leftmost, rightmost = setting.left_u - out, setting.right_u + out
    x = np.empty_like(times_s)
    now, at = float(times_s[0]) - rng.uniform(0.0, 1.5), float(rng.choice([leftmost, rightmost]))
    while now < times_s[-1]:
        goal = float(rng.uniform(setting.left_u, setting.right_u))
        if rng.random() < 0.4:
            goal = float(rng.choice([leftmost, rightmost]))
        takes = abs(goal - at) / rng.uniform(50.0, 110.0) + 0.35
        rests = rng.uniform(0.0, 0.5)
        leg = (times_s >= now) & (times_s < now + takes + rests)
        share = np.clip((times_s[leg] - now) / takes, 0, 1)
        x[leg] = at + (goal - at) * share**2 * (3 - 2 * share)
        now, at = now + takes + rests, goal
    y = np.full_like(x, rng.uniform(50.0, 120.0))
    body = box(-half, -tall, half, tall, draw_texture(rng, (3.0, 8.0)))
    return (body, disc(0.8 * half, draw_texture(rng), (0.0, -tall))), np.stack(
        [x, y, 0.05 * np.sin(9 * times_s)], 1
    )


def _swaying(rng: np.random.Generator, times_s: Poses, setting: Setting) -> tuple[Look, Poses]:
    """Something large that sways like a branch or a bystander."""
    size = rng.uniform(12.0, 26.0)
    angles = 2 * np.pi * (rng.uniform(0.3, 1.0, (3, 1)) * times_s + rng.random((3, 1)))
    wave = np.sin(angles)
    x = rng.uniform(setting.left_u, setting.right_u) + rng.uniform(4.0, 14.0) * wave[0]
    y = rng.uniform(10.0, 110.0) + rng.uniform(3.0, 10.0) * wave[1]
    look = (disc(size, draw_texture(rng, (3.0, 8.0)), flat=float(rng.uniform(0.5, 1.0))),)
    return look, np.stack([x, y, 0.4 * wave[2]], 1)


def _spinning(rng: np.random.Generator, times_s: Poses, setting: Setting) -> tuple[Look, Poses]:
    """A fan or wheel that turns now faster, now slower."""
    size, texture = rng.uniform(9.0, 20.0), draw_texture(rng)
    look = (
        rod((-size, 0.0), (size, 0.0), 0.22 * size, texture),
        rod((0.0, -size), (0.0, size), 0.22 * size, texture),
        disc(0.3 * size, draw_texture(rng)),
    )
    speed, breath = rng.uniform(1.5, 6.0), rng.uniform(0.0, 1.5)
    angle = speed * times_s + breath * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * times_s)
    x = np.full_like(times_s, rng.uniform(setting.left_u + 8.0, setting.right_u - 8.0))
    return look, np.stack([x, np.full_like(x, rng.uniform(12.0, 100.0)), angle], 1)


MOVERS: tuple[Mover, ...] = (_pendulum, _tossed, _bobbing, _passing, _swaying, _spinning)
