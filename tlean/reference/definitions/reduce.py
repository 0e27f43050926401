"""Definitions of reductions and running sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .scalars import number, zeros


def reduce_sum(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    return np.sum(x, axis=axis, keepdims=keepdims)


def reduce_mean(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    axes = tuple(axis) if isinstance(axis, tuple) else (axis,)
    return np.sum(x, axis=axis, keepdims=keepdims) / number(np.prod([x.shape[a] for a in axes], dtype=int), x)


def reduce_max(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    return np.max(x, axis=axis, keepdims=keepdims)


def sum_(x: Any) -> Any:
    return np.sum(x)


def mean(x: Any) -> Any:
    return np.sum(x) / number(x.size, x)


def cumsum(x: Any, *, axis: Any) -> Any:
    return np.cumsum(x, axis=axis)


def reverse_cumsum(x: Any, *, axis: Any) -> Any:
    return np.flip(np.cumsum(np.flip(x, axis), axis=axis), axis)


# Positions: the elements that a reduction puts into one are counted in row-major order over the reduced axes.


def _groups(shape: Any, axes: Any) -> Iterator[Any]:
    """For each element of the reduced array, in row-major order: the indices of the elements that go into it, by position."""
    kept = [a for a in range(len(shape)) if a not in axes]
    for i in np.ndindex(*(shape[a] for a in kept)):
        outer = dict(zip(kept, i, strict=True))
        yield [
            tuple((outer | dict(zip(axes, j, strict=True)))[a] for a in range(len(shape))) for j in np.ndindex(*(shape[a] for a in axes))
        ]


def any_(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    return np.any(x, axis=axis, keepdims=keepdims)


def all_(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    return np.all(x, axis=axis, keepdims=keepdims)


def max_index(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    positions = [np.argmax(np.array([x[i] for i in group], dtype=x.dtype)) for group in _groups(x.shape, axis)]
    return np.reshape(positions, np.sum(np.zeros(x.shape), axis=axis, keepdims=keepdims).shape)


def argmax(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return max_index(x, axis=axis, keepdims=keepdims)


def take_at(x: Any, index: Any, *, axis: Any) -> Any:
    y = zeros((index.size,), x)
    for r, group in enumerate(_groups(x.shape, axis)):
        y[r] = x[group[index.flat[r]]]
    return y.reshape(index.shape)


def place_at(v: Any, index: Any, *, shape: Any, axis: Any) -> Any:
    y = zeros(shape, v)
    for r, group in enumerate(_groups(shape, axis)):
        y[group[index.flat[r]]] = v.flat[r]
    return y


DEFINITIONS: dict[str, Callable[..., Any]] = {
    **{f.__name__.rstrip("_"): f for f in (reduce_sum, reduce_mean, reduce_max, any_, all_, sum_, mean, argmax, cumsum)},
    **{f"_{f.__name__}": f for f in (reverse_cumsum, max_index, take_at, place_at)},
}
