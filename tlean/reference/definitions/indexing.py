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


def _rows(i, n, mode, wrap=None):
    # The entries among n that indices name, -1 for none.
    rows = np.array(i, dtype=np.int64)
    for j in np.ndindex(rows.shape):
        if mode == "clip":
            rows[j] = min(max(rows[j], 0), n - 1)
        elif mode in ("raise", "fill") and rows[j] < 0:
            rows[j] += n if wrap is None else wrap
        if not 0 <= rows[j] < n:
            if mode in ("raise", "strict"):
                raise IndexRangeError(f"an index is out of range for {n} entries")
            rows[j] = -1
    return rows


def take(x, indices, *, axis, mode):
    table = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    rows = _rows(indices, len(table), mode)
    y = zeros((*rows.shape, *table.shape[1:]), x)
    for j in np.ndindex(rows.shape):
        if rows[j] >= 0:
            y[j] = table[rows[j]]
    return _behind(y, rows.ndim, axis)


def _behind(y, n, axis):
    # The first n axes where `axis` was.
    return y if axis is None else np.moveaxis(y, range(n), range(axis, axis + n))


def _scatter_rows(v, i, *, shape, axis, mode):
    # The adjoint of taking: the rows of v are added to zeros, one after the other.
    y = zeros(shape, v)
    table = y.reshape(-1) if axis is None else np.moveaxis(y, axis, 0)
    rows = _rows(i, len(table), mode)
    n = rows.ndim
    values = v if axis is None else np.moveaxis(v, range(axis, axis + n), range(n))
    for j in np.ndindex(rows.shape):
        if rows[j] >= 0:
            table[rows[j]] += values[j]
    return y


def _locate(i, prior, *, shape, size, pick, wrap, step, along, mode):
    rows = _rows(i if pick is None else i[..., pick], size, mode, wrap)
    rows, before = np.broadcast_to(rows, shape), np.broadcast_to(0 if prior is None else prior, shape)
    y = np.empty(shape, np.int64)
    for p in np.ndindex(shape):
        y[p] = -1 if rows[p] < 0 or before[p] < 0 else step * rows[p] + np.dot(along, p) + before[p]
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
    "take": take,
    "_locate": _locate,
}
