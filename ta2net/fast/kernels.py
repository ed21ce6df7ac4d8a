"""Batch norm, an addition and a ReLU over bfloat16 maps on a CPU, forward and back, compiled by Numba.

PyTorch goes through a map seven times each way for these, converting values slowly; these loops go through it
three times forward and five back, as fast as memory delivers it (docs/performance.md). They run in PyTorch's
own OpenMP threads.

A map is a table: a row per pixel and a column per channel, or several pixels side by side in a row where
channels are few. NumPy does not know bfloat16: it comes as uint16, the upper half of a float32.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange

ROWS_PER_SUM = 256
"""Rows that are summed in float32 before float64 goes on; sums do not depend on the number of threads."""

CUT_AT_ZERO, NEVER_CUT = np.float32(0), np.float32(-np.inf)
"""What ``least`` is with a ReLU and without."""


def _can_keep_compiled() -> bool:
    """Whether Numba finds a folder to keep compiled code in; else every process compiles anew, for 10 s."""
    try:
        njit(cache=True)(_can_keep_compiled)
    except RuntimeError:
        return False
    return True


_SERIAL: dict[str, Any] = {"cache": _can_keep_compiled(), "error_model": "numpy"}
_PARALLEL: dict[str, Any] = {**_SERIAL, "parallel": True, "fastmath": {"contract"}}


def use_threads(count: int) -> None:
    """Let the calling thread's loops run in so many threads, or in fewer where Numba was told to."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


@njit(**_SERIAL)
def forward(x: Any, weight: Any, bias: Any, beside: Any, eps: Any, least: Any, out: Any) -> Any:
    """Normalise by the batch's own moments, add ``beside`` and cut: write ``out``.

    Args:
        x, out: (rows, columns) bfloat16; columns are a multiple of the C channels.
        weight, bias: (C,).
        beside: like x, or None.
        eps: added to the variance.
        least: ``CUT_AT_ZERO`` for a ReLU, or ``NEVER_CUT``.

    Returns:
        (3, C) float64: mean, biased variance, and what a difference to the mean is multiplied by.
    """
    channels = weight.size
    shift = _first_pixel(x, channels)
    sums = _no_sums(x)
    _moments(x, _every_pixel(shift, x), sums)
    means = _means(sums, x, channels)
    of_channels = np.empty((3, channels))
    of_channels[0] = shift + means[0]
    of_channels[1] = np.maximum(means[1] - means[0] ** 2, 0)
    of_channels[2] = weight / np.sqrt(of_channels[1] + eps)
    mean, scale = _every_pixel(of_channels[0], x), _every_pixel(of_channels[2], x)
    _normalize(x, mean, scale, _every_pixel(bias, x), beside, least, out)
    return of_channels


@njit(**_SERIAL)
def backward(
    grad: Any, x: Any, of_channels: Any, bias: Any, eps: Any, least: Any, out: Any, of_x: Any, of_beside: Any
) -> Any:
    """The gradients of ``forward``: write ``of_x`` and ``of_beside``.

    Args:
        grad, x, of_x: (rows, columns) bfloat16.
        of_channels: from ``forward``.
        bias, eps, least: as given to it.
        out, of_beside: what it wrote, and like x; None where nothing was added.

    Returns:
        (2, C) float64: the gradients of weight and bias.
    """
    channels, scale = bias.size, of_channels[2]
    rows = (_every_pixel(of_channels[0], x), _every_pixel(scale, x), _every_pixel(bias, x))
    sums = _no_sums(x)
    _gradient_sums(grad, x, rows[0], rows[1], rows[2], least, out, of_beside, sums)
    means = _means(sums, x, channels)
    slope = _every_pixel(-scale * means[1] / (of_channels[1] + eps), x)
    offset = _every_pixel(-scale * means[0], x)
    if of_beside is None:
        _gradient(grad, x, rows[0], rows[1], rows[2], least, slope, offset, of_x)
    else:  # what was cut is cut there already
        _gradient(of_beside, x, rows[0], rows[1], rows[2], NEVER_CUT, slope, offset, of_x)
    count = x.size // channels
    of_weights = np.empty((2, channels))
    of_weights[0] = count * means[1] / np.sqrt(of_channels[1] + eps)
    of_weights[1] = count * means[0]
    return of_weights


# Every integer is cast at every step: Numba's grow to 64 bits, and a register would hold half as many.


@njit(inline="always")
def _float(value: Any) -> Any:
    """bfloat16 -> float32."""
    return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)


@njit(inline="always")
def _bfloat(value: Any) -> Any:
    """float32 -> bfloat16, the nearest, ties to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    upper = np.uint16(np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16))
    # rounding could turn the bits of "not a number" into a number's
    return upper if value == value else np.uint16(0x7FC0)


@njit(**_PARALLEL)
def _moments(x: Any, shift: Any, sums: Any) -> None:
    """Add ``x - shift`` and its square to a block's sums; unshifted, squares might hide the variance."""
    rows, columns = x.shape
    for block in prange(sums.shape[0]):
        first, second = sums[block, 0], sums[block, 1]
        for row in range(block * ROWS_PER_SUM, min((block + 1) * ROWS_PER_SUM, rows)):
            for c in range(columns):
                value = _float(x[row, c]) - shift[c]
                first[c] += value
                second[c] += value * value


@njit(**_PARALLEL)
def _normalize(x: Any, mean: Any, scale: Any, bias: Any, beside: Any, least: Any, out: Any) -> None:
    rows, columns = x.shape
    for row in prange(rows):
        for c in range(columns):
            value = (_float(x[row, c]) - mean[c]) * scale[c] + bias[c]
            if beside is not None:
                value += _float(beside[row, c])
            out[row, c] = _bfloat(least if value <= least else value)


@njit(**_PARALLEL)
def _gradient_sums(
    grad: Any, x: Any, mean: Any, scale: Any, bias: Any, least: Any, out: Any, of_beside: Any, sums: Any
) -> None:
    """Add the gradient, where nothing was cut, and its product with ``x - mean`` to a block's sums."""
    rows, columns = x.shape
    for block in prange(sums.shape[0]):
        first, second = sums[block, 0], sums[block, 1]
        for row in range(block * ROWS_PER_SUM, min((block + 1) * ROWS_PER_SUM, rows)):
            for c in range(columns):
                off_mean = _float(x[row, c]) - mean[c]
                # without an addition a product is done again sooner than its result is read again
                result = off_mean * scale[c] + bias[c] if out is None else _float(out[row, c])
                value = np.float32(0) if result <= least else _float(grad[row, c])
                if of_beside is not None:
                    of_beside[row, c] = _bfloat(value)
                first[c] += value
                second[c] += value * off_mean


@njit(**_PARALLEL)
def _gradient(
    grad: Any, x: Any, mean: Any, scale: Any, bias: Any, least: Any, slope: Any, offset: Any, of_x: Any
) -> None:
    rows, columns = x.shape
    for row in prange(rows):
        for c in range(columns):
            off_mean = _float(x[row, c]) - mean[c]
            value = np.float32(0) if off_mean * scale[c] + bias[c] <= least else _float(grad[row, c])
            # as it stands, as in every other line here, there is one way only to fuse products with sums
            of_x[row, c] = _bfloat(value * scale[c] + (off_mean * slope[c] + offset[c]))


@njit(**_SERIAL)
def _first_pixel(x: Any, channels: int) -> Any:
    """(C,) float64, not far from the mean of every channel."""
    values = np.empty(channels)
    for c in range(channels):
        values[c] = _float(x[0, c])
    return values


@njit(**_SERIAL)
def _no_sums(x: Any) -> Any:
    """(blocks of rows, 2, columns) float32 zeros."""
    rows, columns = x.shape
    return np.zeros(((rows + ROWS_PER_SUM - 1) // ROWS_PER_SUM, 2, columns), np.float32)


@njit(**_SERIAL)
def _means(sums: Any, x: Any, channels: int) -> Any:
    """(blocks, 2, columns) -> (2, C) float64."""
    total = np.zeros((2, x.shape[1]))
    for block in range(sums.shape[0]):
        total += sums[block]
    means = np.zeros((2, channels))
    for c in range(x.shape[1]):
        means[:, c % channels] += total[:, c]
    return means * (channels / x.size)


@njit(**_SERIAL)
def _every_pixel(values: Any, x: Any) -> Any:
    """(C,) -> (columns,) float32."""
    row = np.empty(x.shape[1], np.float32)
    for c in range(row.size):
        row[c] = values[c % values.size]
    return row
