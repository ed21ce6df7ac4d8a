"""The last step of a frame: changing light, drifting shade, sensor noise, eight bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.film import Film
from pipeline.impacts.textures import Image

SHADE_CELLS = 4
"""The drifting shade is about so many times smaller than the picture."""
SHADE_SHARE_PER_S = 0.25
"""Share of the picture that the shade drifts in a second."""
NOISE_MARGIN_PX = 32
"""One sheet of noise serves all frames, laid on at a different place each time."""

Frame = NDArray[np.uint8]


class Finish:
    """Turns drawn frames of one clip into recorded ones."""

    def __init__(self, film: Film, size: tuple[int, int]) -> None:
        height, width = size
        self._film = film
        self._size = size
        self._rng = np.random.default_rng(film.seed)
        cells = self._rng.random((SHADE_CELLS + 2, 2 * SHADE_CELLS + 2), dtype=np.float32)
        shade = cv2.resize(cells, (2 * width, height), interpolation=cv2.INTER_CUBIC)
        self._shade = 1.0 - film.shadow * np.clip(shade, 0, 1)[..., None]
        sheet = (height + NOISE_MARGIN_PX, width + NOISE_MARGIN_PX, 3)
        self._noise = np.float32(film.noise) * self._rng.standard_normal(sheet, dtype=np.float32)
        self._phase = self._rng.random()

    def apply(self, drawn: Image, time_s: float) -> Frame:
        """Light, shade and noise on a drawn frame, (height, width, 3) float32 -> uint8."""
        height, width = self._size
        depth, hertz = self._film.light
        gain = 1.0 + depth * np.sin(2 * np.pi * (hertz * time_s + self._phase))
        # to and fro over the double-wide shade, so that it never jumps
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (SHADE_SHARE_PER_S * 0.5 * time_s + self._phase))
        left = sweep * width
        shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, 0.0]])
        shade = cv2.warpAffine(self._shade, shift, (width, height), flags=cv2.INTER_LINEAR)
        if self._film.blur_px > 0.0:
            drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), self._film.blur_px), dtype=np.float32)
        lit = drawn * (np.float32(gain) * shade[..., None])
        if self._film.noise > 0.0:
            y, x = self._rng.integers(NOISE_MARGIN_PX, size=2)
            lit += self._noise[y : y + height, x : x + width]
        return np.clip(lit + 0.5, 0, 255).astype(np.uint8)
