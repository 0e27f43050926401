"""Definitions of reductions and running sums."""

from __future__ import annotations

import numpy as np

from .scalars import number


def reduce_sum(x, *, axis, keepdims=False):
    return np.sum(x, axis=axis, keepdims=keepdims)


def reduce_mean(x, *, axis, keepdims=False):
    axes = tuple(axis) if isinstance(axis, tuple) else (axis,)
    return np.sum(x, axis=axis, keepdims=keepdims) / number(np.prod([x.shape[a] for a in axes], dtype=int), x)


def reduce_max(x, *, axis, keepdims=False):
    return np.max(x, axis=axis, keepdims=keepdims)


def sum_(x):
    return np.sum(x)


def mean(x):
    return np.sum(x) / number(x.size, x)


def argmax(x, *, axis):
    return np.argmax(x, axis=axis)


def cumsum(x, *, axis):
    return np.cumsum(x, axis=axis)


DEFINITIONS = {f.__name__.rstrip("_"): f for f in (reduce_sum, reduce_mean, reduce_max, sum_, mean, argmax, cumsum)}
