"""Pixels: a clip's parts drawn through its camera, with motion blur, light and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.impacts.compose import Clip
from pipeline.impacts.finish import Finish, Frame
from pipeline.impacts.looks import Look, bounds
from pipeline.impacts.physics import Part
from pipeline.impacts.textures import Image, paint

FINENESS = 1.3
"""Sprites are painted this much larger than they appear, so that turning does not blur them."""
OVERSAMPLING = 4
"""Edges are worked out this much finer than a sprite's pixels."""
SHIFT_BITS = 4
"""Sub-pixel bits of OpenCV's polygon corners."""
BACKDROP_MARGIN_U = 40.0


@dataclass(frozen=True, eq=False)
class Sprite:
    """A look painted once: colour already multiplied by opacity.

    Attributes:
        image: (h, w, 4) float32, RGB 0-255 times alpha, alpha 0..1.
        px_per_u: its scale.
        origin_px: (x, y) of the body's origin in it.
    """

    image: Image
    px_per_u: float
    origin_px: tuple[float, float]


def paint_sprite(look: Look, px_per_u: float) -> Sprite:
    """Paint all patches of a look, with soft edges."""
    left, top, right, bottom = bounds(look)
    pad = 2.0
    width = int(np.ceil((right - left) * px_per_u + 2 * pad))
    height = int(np.ceil((bottom - top) * px_per_u + 2 * pad))
    origin = (pad - left * px_per_u, pad - top * px_per_u)
    image = np.zeros((height, width, 4), np.float32)
    for patch in look:
        corners = patch.outline * px_per_u + origin
        # only the patch's own rectangle needs painting
        x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (width, height))
        alpha = _cover(corners - (x0, y0), y1 - y0, x1 - x0)[..., None]
        colour = paint(patch.texture, y1 - y0, x1 - x0, px_per_u)
        region = image[y0:y1, x0:x1]
        region *= 1 - alpha
        region[..., :3] += alpha * colour
        region[..., 3:] += alpha
    return Sprite(image, px_per_u, origin)


def _cover(corners: NDArray[np.float64], height: int, width: int) -> Image:
    """Share of every pixel that lies inside a polygon, (height, width) float32.

    Drawn enlarged and averaged: OpenCV's own smooth edges make every polygon half a pixel too fat.
    """
    large = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING), np.uint8)
    fixed = np.round((corners * OVERSAMPLING - 0.5) * 2**SHIFT_BITS).astype(np.int32)
    cv2.fillPoly(large, [fixed], 255, cv2.LINE_8, SHIFT_BITS)
    share = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(share, dtype=np.float32) / np.float32(255)


def draw_sprite(canvas: Image, sprite: Sprite, x_px: float, y_px: float, angle: float, scale: float) -> None:
    """Blend a sprite into the canvas, its origin at (x, y) pixels, turned by ``angle`` (radian).

    ``scale`` is in canvas pixels per u.
    """
    factor = scale / sprite.px_per_u
    cosine, sine = factor * np.cos(angle), factor * np.sin(angle)
    height, width = sprite.image.shape[:2]
    ox, oy = sprite.origin_px
    corners_x = np.array([-ox, width - ox, -ox, width - ox])
    corners_y = np.array([-oy, -oy, height - oy, height - oy])
    across = x_px + cosine * corners_x - sine * corners_y
    down = y_px + sine * corners_x + cosine * corners_y
    x0, x1 = max(int(across.min()) - 1, 0), min(int(across.max()) + 2, canvas.shape[1])
    y0, y1 = max(int(down.min()) - 1, 0), min(int(down.max()) + 2, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    matrix = np.array(
        [
            [cosine, -sine, x_px - x0 - cosine * ox + sine * oy],
            [sine, cosine, y_px - y0 - sine * ox - cosine * oy],
        ]
    )
    # pixel (i, j) covers [i, i+1): OpenCV puts its centre at i, we at i + 0.5
    matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
    warped = cv2.warpAffine(sprite.image, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    region = canvas[y0:y1, x0:x1]
    region *= 1 - warped[..., 3:]
    region += warped[..., :3]


def render(clip: Clip) -> Iterator[Frame]:
    """The frames of a clip in order, (height, width, 3) uint8 RGB."""
    camera, (height, width) = clip.camera, clip.wanted.size
    scale = clip.wanted.px_per_u * camera.near
    sprites = [paint_sprite(part.look, FINENESS * scale) for part in clip.parts]
    backdrop, finish = _paint_backdrop(clip), Finish(clip.film, clip.wanted.size)
    offsets_s = shutter_offsets_s(clip)
    canvas = np.empty((height, width, 3), np.float32)
    for frame in range(clip.clock.n_frames):
        time_s = float(frame / clip.clock.fps)
        moments_s = time_s + offsets_s
        total = np.zeros_like(canvas)
        for moment_s, view in zip(moments_s, camera.at(moments_s), strict=True):
            _draw_backdrop(canvas, backdrop, clip, moment_s, view)
            seen = scale * view[2]
            for part, sprite in zip(clip.parts, sprites, strict=True):
                pose = pose_at(part, clip, moment_s)
                if pose is not None:
                    across, down = camera.place(pose[0], pose[1], view)
                    px, py = across * seen + width / 2, down * seen + height / 2
                    draw_sprite(canvas, sprite, px, py, pose[2] + camera.roll, seen)
            total += canvas
        total *= np.float32(1 / len(offsets_s))
        yield finish.apply(total, time_s)


def shutter_offsets_s(clip: Clip) -> NDArray[np.float64]:
    """Moments around a frame's time that are averaged into it, seconds; their mean is 0."""
    count = 1 + round((clip.film.subframes - 1) * clip.film.shutter)
    return clip.film.shutter / float(clip.clock.fps) * ((np.arange(count) + 0.5) / count - 0.5)


def pose_at(part: Part, clip: Clip, time_s: float) -> NDArray[np.float64] | None:
    """x, y (u) and angle of a part, between steps by straight line; None where it is not drawn."""
    if len(part.poses) == 1:
        return part.poses[0]
    place = time_s / clip.clock.step_s + clip.clock.steps_per_frame - part.first_step
    low = int(np.floor(place))
    if low < 0 or low + 1 >= len(part.poses):
        return None
    share = place - low
    return np.asarray(part.poses[low] * (1 - share) + part.poses[low + 1] * share)


def _paint_backdrop(clip: Clip) -> Image:
    height, width = clip.wanted.size
    margin = 2 * round(BACKDROP_MARGIN_U * clip.wanted.px_per_u)
    return paint(clip.film.backdrop, height + margin, width + margin, clip.wanted.px_per_u)


def _draw_backdrop(
    canvas: Image, backdrop: Image, clip: Clip, time_s: float, view: NDArray[np.float64]
) -> None:
    """Fill the canvas with the backdrop, which may drift of its own accord."""
    across, down, hertz = clip.film.backdrop_drift
    wave = np.sin(2 * np.pi * hertz * time_s)
    scale = clip.wanted.px_per_u * clip.camera.near
    x, y, zoom = view
    height, width = canvas.shape[:2]
    middle_x = backdrop.shape[1] / 2 + (x - 64.0 - across * wave) * scale
    middle_y = backdrop.shape[0] / 2 + (y - 64.0 - down * wave) * scale
    cosine, sine = zoom * np.cos(clip.camera.roll), zoom * np.sin(clip.camera.roll)
    matrix = np.array(
        [
            [cosine, -sine, width / 2 - (cosine * middle_x - sine * middle_y)],
            [sine, cosine, height / 2 - (sine * middle_x + cosine * middle_y)],
        ]
    )
    cv2.warpAffine(
        backdrop, matrix, (width, height), dst=canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
