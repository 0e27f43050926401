"""Definitions of the arrays that are made of numbers alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def full(dtype, *, shape, value):
    return np.full(shape, value, dtype=dtype)


def iota(dtype, *, length, start, step, last):
    # Python's integers are exact, and an array of them loses upper bits.
    if np.dtype(dtype) == object:
        start, step = Fraction(start), Fraction(step)
    y = [i * step + start for i in range(length)]
    if last is not None and length:
        y[-1] = last
    if np.dtype(dtype).kind in "iu":
        return np.array([v & (1 << 64) - 1 for v in y], np.uint64).astype(dtype)
    return np.array(y, dtype)


def eye(dtype, *, rows, columns, offset):
    return np.eye(rows, columns, offset, dtype=dtype)
