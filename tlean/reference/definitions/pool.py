"""Definitions of pools: every output cell is a function of the cells in its window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .scalars import exp, log, number, zeros


def _out_shape(shape: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    d = len(kernel)
    return (*shape[:-d], *((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[-d:], kernel, stride, padding, strict=True)))


def _windows(shape: Any, kernel: Any, stride: Any, padding: Any) -> Iterator[Any]:
    """For every output cell: its index, and the indices of the cells of its window in row-major order; None means a padded cell."""
    d = len(kernel)
    for i in np.ndindex(_out_shape(shape, kernel, stride, padding)):
        cells = []
        for k in itertools.product(*map(range, kernel)):
            cell = tuple(s * a - p + b for a, b, s, p in zip(i[-d:], k, stride, padding, strict=True))
            inside = all(0 <= c < n for c, n in zip(cell, shape[-d:], strict=True))
            cells.append((*i[:-d], *cell) if inside else None)
        yield i, cells


def _pooled(x: Any, kernel: Any, stride: Any, padding: Any, value: Any) -> Any:
    """The output whose cells are `value(cells)` of their windows."""
    stride = kernel if stride is None else stride
    padding = (0,) * len(kernel) if padding is None else padding
    y = zeros(_out_shape(x.shape, kernel, stride, padding), x)
    for i, cells in _windows(x.shape, kernel, stride, padding):
        y[i] = value(cells)
    return y


# Maximum ---------------------------------------------------------------------------------------------------------------------


def _winner(x: Any, cells: Any, pad_value: Any) -> Any:
    """(index of the winning cell or None for padding, its value): the first NaN, or else the first maximum."""
    # Padding of −∞ is left out, so that it never wins, and fractions need no infinity.
    taken = [c for c in cells if c is not None] if pad_value == -math.inf else cells
    values = [number(pad_value, x) if c is None else x[c] for c in taken]
    best = 0
    for k, v in enumerate(values):
        if v > values[best] or (v != v and values[best] == values[best]):
            best = k
    return taken[best], values[best]


def max_pool(x: Any, *, kernel: Any, stride: Any = None, padding: Any = None, pad_value: Any = -math.inf) -> Any:
    return _pooled(x, kernel, stride, padding, lambda cells: _winner(x, cells, pad_value)[1])


def max_pool_grad(g: Any, x: Any, argmax: Any, *, kernel: Any, stride: Any, padding: Any, pad_value: Any) -> Any:
    dx = zeros(x.shape, g)
    for i, cells in _windows(x.shape, kernel, stride, padding):
        cell, _ = _winner(x, cells, pad_value)
        if cell is not None:
            dx[cell] += g[i]
    return dx


def max_pool_gather(h: Any, x: Any, argmax: Any, *, kernel: Any, stride: Any, padding: Any, pad_value: Any) -> Any:
    def at_winner(cells):
        cell, _ = _winner(x, cells, pad_value)
        return number(0, h) if cell is None else h[cell]

    return _pooled(x, kernel, stride, padding, at_winner)


# Mean ------------------------------------------------------------------------------------------------------------------------


def avg_pool(x: Any, *, kernel: Any, stride: Any = None, padding: Any = None) -> Any:
    n = number(math.prod(kernel), x)
    return _pooled(x, kernel, stride, padding, lambda cells: sum(x[c] for c in cells if c is not None) / n)


def avg_pool_grad(g: Any, *, in_sizes: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    n = number(math.prod(kernel), g)
    dx = zeros((*g.shape[: -len(kernel)], *in_sizes), g)
    for i, cells in _windows(dx.shape, kernel, stride, padding):
        for c in cells:
            if c is not None:
                dx[c] += g[i] / n
    return dx


# Smooth maximum --------------------------------------------------------------------------------------------------------------


def smooth_max_pool(x: Any, *, kernel: Any, beta: Any, stride: Any = None, padding: Any = None) -> Any:
    b = number(beta, x)

    def smooth(cells):
        scaled = np.array([b * x[c] for c in cells if c is not None], dtype=x.dtype)
        top = np.max(scaled)
        return (top + log(np.sum(exp(scaled - top)))) / b

    return _pooled(x, kernel, stride, padding, smooth)


# Windows as a separate axis: (*k, C, *in) <-> (*k, C, K, *out), K cells in a window ---------------------------------------


def windows(x: Any, *, kernel: Any, stride: Any, padding: Any, pad_value: Any) -> Any:
    d = len(kernel)
    out = _out_shape(x.shape, kernel, stride, padding)
    y = zeros((*out[:-d], math.prod(kernel), *out[-d:]), x)
    for i, cells in _windows(x.shape, kernel, stride, padding):
        for k, c in enumerate(cells):
            y[(*i[:-d], k, *i[-d:])] = number(pad_value, x) if c is None else x[c]
    return y


def windows_adjoint(g: Any, *, in_sizes: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    d = len(kernel)
    dx = zeros((*g.shape[: -d - 1], *in_sizes), g)
    for i, cells in _windows(dx.shape, kernel, stride, padding):
        for k, c in enumerate(cells):
            if c is not None:
                dx[c] += g[(*i[:-d], k, *i[-d:])]
    return dx


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "max_pool": max_pool,
    "max_pool2d": max_pool,
    "max_pool2d_pad": max_pool,
    "avg_pool": avg_pool,
    "avg_pool2d": avg_pool,
    "avg_pool2d_pad": avg_pool,
    "smooth_max_pool": smooth_max_pool,
    "smooth_max_pool2d": smooth_max_pool,
    "_max_pool_grad": max_pool_grad,
    "_max_pool_gather": max_pool_gather,
    "_avg_pool_grad": avg_pool_grad,
    "_windows": windows,
    "_windows_adjoint": windows_adjoint,
}
