"""Definitions of arrays made of numbers alone, and of the conversions between dtypes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np


def full(dtype: Any, *, shape: Any, value: Any) -> Any:
    return np.full(shape, value, dtype=dtype)


def iota(dtype: Any, *, length: Any, start: Any, step: Any, last: Any) -> Any:
    # Python's integers are exact, and an array of them loses upper bits.
    if np.dtype(dtype) == object:
        start, step = Fraction(start), Fraction(step)
    y = [i * step + start for i in range(length)]
    if last is not None and length:
        y[-1] = last
    if np.dtype(dtype).kind in "iu":
        return np.array([v & (1 << 64) - 1 for v in y], np.uint64).astype(dtype)
    return np.array(y, dtype)


def eye(dtype: Any, *, rows: Any, columns: Any, offset: Any) -> Any:
    return np.eye(rows, columns, offset, dtype=dtype)


def as_float32(x: Any) -> Any:
    return x.astype(np.float32)


def as_float64(x: Any) -> Any:
    return x.astype(np.float64)


def as_int64(x: Any) -> Any:
    return _whole(x, np.int64)


def as_int32(x: Any) -> Any:
    return _whole(x, np.int32)


def as_bool(x: Any) -> Any:
    return x != 0


def _whole(x: Any, dtype: Any) -> Any:
    # Cut off towards 0; what the integer cannot hold, NaN included, is the least one. Between integers upper bits are lost.
    if x.dtype.kind in "biu":
        return x.astype(dtype)
    y = np.full(x.shape, np.iinfo(dtype).min, dtype)
    for i in np.ndindex(x.shape):
        if x[i] == x[i] and np.iinfo(dtype).min <= int(np.clip(x[i], -1e19, 1e19)) <= np.iinfo(dtype).max:
            y[i] = int(x[i])
    return y


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "_as_float32": as_float32,
    "_as_float64": as_float64,
    "_as_int64": as_int64,
    "_as_int32": as_int32,
    "_as_bool": as_bool,
}
