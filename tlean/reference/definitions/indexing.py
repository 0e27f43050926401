"""Definitions of reading and adding at indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.errors import IndexRangeError

from .scalars import zeros


def _checked(x: Any, i: Any) -> Any:
    if not 0 <= i < x.shape[0]:
        raise IndexRangeError(f"i must be at least 0 and less than {x.shape[0]}, not {int(i)}")
    return int(i)


def gather_scalar(x: Any, i: Any) -> Any:
    return np.asarray(x[_checked(x, i)])


def gather_row(x: Any, i: Any) -> Any:
    return x[_checked(x, i)]


def _rows_or_zeros(x: Any, idx: Any) -> Any:
    y = zeros((*idx.shape, *x.shape[1:]), x)
    for j in np.ndindex(idx.shape):
        if 0 <= idx[j] < x.shape[0]:
            y[j] = x[idx[j]]
    return y


def _scatter_add(x: Any, v: Any, i: Any) -> Any:
    y = x.copy()
    y[_checked(x, i)] += v[()]
    return y


def _rows(i: Any, n: Any, mode: Any, wrap: Any = None) -> Any:
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


def take(x: Any, indices: Any, *, axis: Any, mode: Any) -> Any:
    table = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    rows = _rows(indices, len(table), mode)
    y = zeros((*rows.shape, *table.shape[1:]), x)
    for j in np.ndindex(rows.shape):
        if rows[j] >= 0:
            y[j] = table[rows[j]]
    return _behind(y, rows.ndim, axis)


def _behind(y: Any, n: Any, axis: Any) -> Any:
    # The first n axes where `axis` was.
    return y if axis is None else np.moveaxis(y, range(n), range(axis, axis + n))


def _scatter_rows(v: Any, i: Any, *, shape: Any, axis: Any, mode: Any) -> Any:
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


def _locate(i: Any, prior: Any, *, shape: Any, size: Any, pick: Any, wrap: Any, step: Any, along: Any, mode: Any) -> Any:
    rows = _rows(i if pick is None else i[..., pick], size, mode, wrap)
    rows, before = np.broadcast_to(rows, shape), np.broadcast_to(0 if prior is None else prior, shape)
    y = np.empty(shape, np.int64)
    for p in np.ndindex(shape):
        y[p] = -1 if rows[p] < 0 or before[p] < 0 else step * rows[p] + np.dot(along, p) + before[p]
    return y


def _set_rows(x: Any, v: Any, i: Any, *, axis: Any, mode: Any) -> Any:
    return _written(x, v, i, axis, mode, lambda old, new: new)


def _scatter_into(x: Any, v: Any, i: Any, *, axis: Any, mode: Any, what: Any) -> Any:
    return _written(x, v, i, axis, mode, {"add": np.add, "max": np.maximum, "min": np.minimum}[what])


def _written(x: Any, v: Any, i: Any, axis: Any, mode: Any, write: Any) -> Any:
    y = np.array(x)
    table = y.reshape(-1) if axis is None else np.moveaxis(y, axis, 0)
    rows = _rows(i, len(table), mode)
    n = rows.ndim
    values = v if axis is None else np.moveaxis(v, range(axis, axis + n), range(n))
    for j in np.ndindex(rows.shape):
        if rows[j] >= 0:
            table[rows[j]] = write(table[rows[j]], values[j])
    return y


def _neighbours(i: Any, *, size: Any, which: Any, mode: Any) -> Any:
    rows = _rows(i, size, mode).reshape(-1).tolist()
    y = []
    for j, row in enumerate(rows):
        before = [k for k in range(j) if rows[k] == row]
        after = [k for k in range(j + 1, len(rows)) if rows[k] == row]
        told = {
            "previous": before[-1] if before else -1,
            "next": after[0] if after else -1,
            "last": -1 if after else row,
            "first": -1 if before else row,
            "start": -1 if before else j,
        }
        y.append(told[which] if row >= 0 else -1)
    return np.array(y, np.int64)


def _chain(a: Any, b: Any, link: Any, *, axis: Any, backwards: Any) -> Any:
    y = np.array(b)
    rows, factors = np.moveaxis(y, axis, 0), np.moveaxis(a, axis, 0)
    for j in sorted(range(len(link)), reverse=backwards):
        if link[j] >= 0:
            rows[j] = factors[j] * rows[link[j]] + rows[j]
    return y


def _inverse_links(link: Any) -> Any:
    y = np.full(link.shape, -1)
    for j, k in enumerate(link):
        if k >= 0:
            y[k] = j
    return y


def _box(x: Any, box: Any, at: Any, starts: Any, steps: Any) -> Any:
    # The row-major positions in x of the elements of a box.
    places = np.zeros(box, np.int64)
    for p in np.ndindex(box):
        along = [start + k * step for start, k, step in zip(starts, p, steps, strict=True)]
        places[p] = int(np.dot(along, [int(np.prod(x.shape[k + 1 :])) for k in range(x.ndim)])) + (0 if at is None else int(at))
    if places.size and not 0 <= places.min() <= places.max() < x.size:
        raise IndexRangeError("the box must lie within x")
    return places


def _set_box(x: Any, v: Any, at: Any, *, starts: Any, steps: Any) -> Any:
    y = np.array(x)
    if at is None or at >= 0:
        y.reshape(-1)[_box(x, v.shape, at, starts, steps)] = v[()]
    return y


def _take_box(x: Any, at: Any, *, box: Any, starts: Any, steps: Any) -> Any:
    return x.reshape(-1)[_box(x, box, at, starts, steps)] if at >= 0 else zeros(box, x)


def _place(x: Any, *, shape: Any, starts: Any, steps: Any) -> Any:
    # The adjoint of a slice.
    y = zeros(shape, x)
    for j in np.ndindex(x.shape):
        y[tuple(start + k * step for start, k, step in zip(starts, j, steps, strict=True))] = x[j]
    return y


DEFINITIONS: dict[str, Callable[..., Any]] = {
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
    "_scatter_into": _scatter_into,
    "_set_rows": _set_rows,
    "_neighbours": _neighbours,
    "_chain": _chain,
    "_inverse_links": _inverse_links,
    "_set_box": _set_box,
    "_take_box": _take_box,
}
