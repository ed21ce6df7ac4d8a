"""The kinds of scene, by the class names that Audible623 uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.impacts.clock import Clock
from pipeline.impacts.physics import Recording
from pipeline.impacts.scenes.bouncing import bouncing
from pipeline.impacts.scenes.golf import golf_swing
from pipeline.impacts.scenes.hands import boxing, clapping, tapping
from pipeline.impacts.scenes.juggling import juggling
from pipeline.impacts.scenes.pingpong import pingpong
from pipeline.impacts.scenes.setting import Setting
from pipeline.impacts.scenes.soccer import soccer_juggling
from pipeline.impacts.scenes.striking import striking
from pipeline.impacts.scenes.tools import cutting, drumming, hammer

Scene = Callable[[np.random.Generator, Clock, Setting], Recording]

SCENES: dict[str, Scene] = {
    "bouncing": bouncing,
    "hammer": hammer,
    "juggling": juggling,
    "drumming": drumming,
    "SoccerJuggling": soccer_juggling,
    "tapping": tapping,
    "pingpong": pingpong,
    "clapping": clapping,
    "GolfSwing": golf_swing,
    "BoxingPunchin": boxing,
    "cutting&slicing": cutting,
}
"""Clip ``i`` of a split shows kind ``i`` modulo their number."""

VARIED_SCENES: dict[str, Scene] = {**SCENES, "striking": striking}
VARIED_KINDS = (*SCENES, "striking", "striking", "striking")
"""Likewise with variety: hands and tools make most of the sounds in real video."""
