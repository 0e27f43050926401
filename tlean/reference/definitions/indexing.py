"""Definitions of reading and adding at indices."""

from __future__ import annotations

import numpy as np

from tlean.errors import IndexRangeError

from .scalars import zeros


def _checked(x, i):
    if not 0 <= i < x.shape[0]:
        raise IndexRangeError(f"i must be at least 0 and less than {x.shape[0]}, not {int(i)}")
    return int(i)


def gather_scalar(x, i):
    return np.asarray(x[_checked(x, i)])


def gather_row(x, i):
    return x[_checked(x, i)]


def _rows_or_zeros(x, idx):
    y = zeros((*idx.shape, *x.shape[1:]), x)
    for j in np.ndindex(idx.shape):
        if 0 <= idx[j] < x.shape[0]:
            y[j] = x[idx[j]]
    return y


def _scatter_add(x, v, i):
    y = x.copy()
    y[_checked(x, i)] += v[()]
    return y


def _scatter_rows(v, i, *, shape):
    # The adjoint of reading rows or zeros.
    y = zeros(shape, v)
    for j in np.ndindex(i.shape):
        if 0 <= i[j] < shape[0]:
            y[i[j]] += v[j]
    return y


def _place(x, *, shape, starts, steps):
    # The adjoint of a slice.
    y = zeros(shape, x)
    for j in np.ndindex(x.shape):
        y[tuple(start + k * step for start, k, step in zip(starts, j, steps, strict=True))] = x[j]
    return y


DEFINITIONS = {
    "gather_scalar": gather_scalar,
    "gather_row": gather_row,
    "gather_scalar_nat": _rows_or_zeros,
    "gather_vec_nat": _rows_or_zeros,
    "gather_rows_nat": _rows_or_zeros,
    "gather_row_ref": _rows_or_zeros,
    "scatter_add_vec": _scatter_add,
    "scatter_add_row": _scatter_add,
    "_place": _place,
    "_scatter_rows": _scatter_rows,
}
