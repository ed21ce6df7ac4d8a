"""Change the size of frames and of flow fields without aliasing."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def resize_frames(frames: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize (k, h, w, 3) uint8 frames to ``size`` = (height, width).

    An axis that shrinks is averaged over the covered area, one that grows is interpolated linearly. The
    input itself is returned where the size is right already.
    """
    if frames.shape[1:3] == tuple(size):
        return frames
    resized = np.empty((len(frames), *size, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        resized[index] = _resize(frame, size)
    return resized


def resample_flow(flow_px: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Resample flow (..., 2, h, w) in px of its own grid to px of a grid of ``size`` = (H, W).

    A displacement shrinks with its axis: u is multiplied by W / w and v by H / h. Fields are averaged over
    the covered area along an axis that shrinks and interpolated linearly along one that grows.
    """
    height, width = flow_px.shape[-2:]
    if (height, width) == tuple(size):
        return flow_px
    planes = flow_px.reshape(-1, 2, height, width)
    resampled = np.empty((len(planes), 2, *size), dtype=np.float32)
    for index, (u, v) in enumerate(planes):
        resampled[index, 0] = _resize(u, size) * np.float32(size[1] / width)
        resampled[index, 1] = _resize(v, size) * np.float32(size[0] / height)
    return resampled.reshape(*flow_px.shape[:-2], *size)


def _resize(image: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Area average along shrinking axes, then linear interpolation along growing ones.

    In two steps, because OpenCV's INTER_AREA turns into plain interpolation, which aliases, as soon as one
    of the axes grows.
    """
    height, width = image.shape[:2]
    shrunk = (min(height, size[0]), min(width, size[1]))
    if shrunk != (height, width):
        image = cv2.resize(image, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != tuple(size):
        image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return image
