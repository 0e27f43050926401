"""Definitions of pools: every output cell is a function of the list of cells in its window."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .scalars import exp, log, number, zeros


def _windows(x, kernel, stride, padding):
    """For every output cell: its index, and the cells of its window in row-major order; None stands for a padded cell."""
    d = len(kernel)
    sizes = x.shape[-d:]
    out = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(sizes, kernel, stride, padding, strict=True))
    for i in np.ndindex(*x.shape[:-d], *out):
        cells = []
        for k in itertools.product(*map(range, kernel)):
            cell = tuple(s * a - p + b for a, b, s, p in zip(i[-d:], k, stride, padding, strict=True))
            cells.append(x[(*i[:-d], *cell)] if all(0 <= c < n for c, n in zip(cell, sizes, strict=True)) else None)
        yield i, cells


def _pooled(x, kernel, stride, padding, value):
    stride = kernel if stride is None else stride
    padding = (0,) * len(kernel) if padding is None else padding
    d = len(kernel)
    out = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[-d:], kernel, stride, padding, strict=True))
    y = zeros((*x.shape[:-d], *out), x)
    for i, cells in _windows(x, kernel, stride, padding):
        y[i] = value(cells)
    return y


def max_pool(x, *, kernel, stride=None, padding=None, pad_value=-math.inf):
    def largest(cells):
        # Padding of −∞ is left out, so that it never wins, and fractions need no infinity.
        if pad_value == -math.inf:
            values = [c for c in cells if c is not None]
        else:
            values = [number(pad_value, x) if c is None else c for c in cells]
        best = values[0]
        for v in values[1:]:
            if v > best or (v != v and best == best):
                best = v
        return best

    return _pooled(x, kernel, stride, padding, largest)


def avg_pool(x, *, kernel, stride=None, padding=None):
    return _pooled(x, kernel, stride, padding, lambda cells: sum(c for c in cells if c is not None) / number(len(cells), x))


def smooth_max_pool(x, *, kernel, beta, stride=None, padding=None):
    b = number(beta, x)

    def smooth(cells):
        scaled = np.array([b * c for c in cells if c is not None], dtype=x.dtype)
        top = np.max(scaled)
        return (top + log(np.sum(exp(scaled - top)))) / b

    return _pooled(x, kernel, stride, padding, smooth)


DEFINITIONS = {
    "max_pool": max_pool,
    "max_pool2d": max_pool,
    "max_pool2d_pad": max_pool,
    "avg_pool": avg_pool,
    "avg_pool2d": avg_pool,
    "avg_pool2d_pad": avg_pool,
    "smooth_max_pool": smooth_max_pool,
    "smooth_max_pool2d": smooth_max_pool,
}
