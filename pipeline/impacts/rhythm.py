"""When actors mean to strike, and when they only pretend to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from pipeline.impacts.clock import Clock

SHORTEST_FRAMES = 3.8
"""Between two hits of a clip; leaves room for the jitter that makes labels at least 3 frames apart."""
SHORTEST_OWN_FRAMES = 5.6
"""Between two hits of one actor, who has to rise and fall in between."""
LONGEST_FRAMES = 58.0
QUICKEST_FPS = 30.0
SHORT_U = 6.0
"""How far from the surface a stroke turns that was to be a hit."""
FIRST_S = 0.16
"""No hit is meant before this, nor nearer than this to the end: it could not be seen coming or going."""


@dataclass(frozen=True)
class Stroke:
    """One movement of a striker towards the thing it strikes.

    Attributes:
        time_s: when it arrives, or turns.
        kind: hit = through the surface, if nothing stopped it; feint = turns smoothly in the air;
            hover = comes to rest in the air and stays a while.
        fall_s: time the way down takes.
        speed: u/s on arrival (hit), or mean speed of the way down (the others).
        short_u: how far from the surface it turns or rests (not for a hit).
        linger_s: rest on the surface after a hit, or in the air when hovering.
    """

    time_s: float
    kind: Literal["hit", "feint", "hover"]
    fall_s: float
    speed: float
    short_u: float = 0.0
    linger_s: float = 0.0


@dataclass(frozen=True)
class Manner:
    """How the actors of a clip strike.

    Attributes:
        fall_s: range of the time that the way down takes.
        quickness: speeds on arrival are so many times the scene's own.
        fall_power: the way down is ``1 - tau ** fall_power``: 1 = even speed, higher = ever faster.
        rise_s: a rise takes no longer than this.
        bounce: share of the scene's own rebound.
        linger_share: how often, at least, the actor stays on what it has struck.
        linger_s: range of the time it stays.
        only_pretends: every hit becomes a feint.
    """

    fall_s: tuple[float, float] = (0.15, 0.3)
    quickness: float = 1.0
    fall_power: float = 2.2
    rise_s: float = 0.45
    bounce: float = 1.0
    linger_share: float = 0.0
    linger_s: tuple[float, float] = (0.2, 0.5)
    only_pretends: bool = False


USUAL = Manner()


def rhythm(rng: np.random.Generator, clock: Clock, shortest_s: float) -> list[float]:
    """Hit times (seconds) in one of four manners: steady, free, in bursts, or hardly any at all."""
    frame_s = float(1 / clock.fps)
    longest_s = LONGEST_FRAMES * frame_s
    end_s = clock.duration_s - FIRST_S
    manner = rng.choice(["steady", "free", "bursts", "sparse"], p=[0.4, 0.25, 0.2, 0.15])
    now = FIRST_S + rng.uniform(0.0, min(0.8, 0.5 * (end_s - FIRST_S)))
    if manner == "sparse":
        second = now + rng.uniform(0.5, 1.0) * min(longest_s, end_s - now)
        return [now, second] if rng.random() < 0.6 and second - now > shortest_s else [now]
    period = _log_uniform(rng, 1.2 * shortest_s, 0.9)
    left = int(rng.integers(2, 6))
    times = []
    while now < end_s:
        times.append(float(now))
        if manner == "steady":
            gap = period * rng.uniform(0.94, 1.06)
        elif manner == "free":
            gap = _log_uniform(rng, shortest_s, longest_s)
        else:
            left -= 1
            gap = min(period, 0.4) * rng.uniform(0.9, 1.1)
            if left == 0:
                gap, left = rng.uniform(0.6, min(1.7, longest_s)), int(rng.integers(2, 6))
        now += min(max(gap, shortest_s), longest_s)
    return times


def strokes_for(
    rng: np.random.Generator,
    clock: Clock,
    actors: int,
    speeds: tuple[float, float],
    linger_share: float = 0.0,
    manner: Manner = USUAL,
) -> list[list[Stroke]]:
    """Strokes of every actor: one common rhythm of hits dealt out in turn, and feints in the long gaps.

    Args:
        rng: source of chance.
        clock: the clip's clock.
        actors: how many strike.
        speeds: range of the speed on arrival, u/s.
        linger_share: how often an actor stays on the surface for a while.
        manner: in which they strike.
    """
    frames = SHORTEST_OWN_FRAMES if actors == 1 else SHORTEST_FRAMES
    # in a quick succession of frames hands are no quicker than at the usual rates
    frame_s = max(float(1 / clock.fps), 1 / QUICKEST_FPS)
    times = rhythm(rng, clock, frames * frame_s)
    if actors > 1 and len(times) > 1 and _closest(times, actors) < SHORTEST_OWN_FRAMES * frame_s:
        times = times[::2]
    usual_speed = manner.quickness * rng.uniform(*speeds)
    dealt = []
    for actor in range(actors):
        own = times[actor::actors]
        hits = _hits(rng, own, usual_speed, linger_share, manner)
        if manner.only_pretends:
            hits = [replace(hit, kind="feint", speed=0.55 * hit.speed, short_u=SHORT_U) for hit in hits]
        dealt.append(sorted(hits + _feints(rng, clock, own, usual_speed), key=lambda stroke: stroke.time_s))
    return dealt


def _closest(times: list[float], actors: int) -> float:
    """The shortest time between two hits of one actor when ``actors`` take turns."""
    return min((later - sooner for sooner, later in zip(times, times[actors:], strict=False)), default=9.0)


def _hits(
    rng: np.random.Generator, times: list[float], speed: float, linger_share: float, manner: Manner
) -> list[Stroke]:
    strokes = []
    for index, time_s in enumerate(times):
        before = time_s - times[index - 1] if index else 1.0
        after = times[index + 1] - time_s if index + 1 < len(times) else 1.0
        fall_s = min(rng.uniform(*manner.fall_s), 0.45 * before)
        stays = rng.random() < max(linger_share, manner.linger_share)
        linger_s = float(rng.uniform(*manner.linger_s)) * min(after, 1.0) if stays else 0.0
        hard = float(np.clip(speed * rng.uniform(0.85, 1.15), 95.0, 260.0 * manner.quickness))
        strokes.append(Stroke(time_s, "hit", fall_s, hard, linger_s=linger_s))
    return strokes


def _feints(rng: np.random.Generator, clock: Clock, hits: list[float], speed: float) -> list[Stroke]:
    """Movements that touch nothing, wherever the actor has more than a second to itself."""
    edges = [-0.3, *hits, clock.duration_s + 0.3]
    strokes = []
    for before, after in pairwise(edges):
        now = before + 0.5
        while now + 0.55 < after:
            now = now + rng.uniform(0.0, 0.4)
            if now + 0.55 >= after or rng.random() < 0.25:
                break
            kind: Literal["feint", "hover"] = "feint" if rng.random() < 0.7 else "hover"
            linger_s = float(rng.uniform(0.1, 0.3)) if kind == "hover" else 0.0
            if now + linger_s + 0.55 >= after:
                break
            fall_s = rng.uniform(0.26, 0.36)
            strokes.append(
                Stroke(float(now), kind, fall_s, 0.55 * speed, float(rng.uniform(3.5, 8.0)), linger_s)
            )
            now += linger_s + 0.75
    return strokes


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))
