"""Statistics, searching, sorting, sets, and the products that are not in `linalg` alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tlean.dtypes import dtype_option
from tlean.errors import DTypeError, OptionError
from tlean.shapes import normalize_axis

from .calls import beside, by_value, is_number, is_whole, required, run


def _in_dtype(x: Any, dtype: Any) -> Any:
    name = dtype_option(dtype)
    return x if name is None or required(x).dtype == name else run(lambda ops, x: ops.astype(x, name), x)


def _total_dtype(x: Any, dtype: Any) -> Any:
    # Where no dtype is asked for, a total of integers is one of int64.
    return dtype if dtype is not None or not is_whole(x) else "int64"


def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The greatest element, over axes."""
    return run(lambda ops, x: ops.max(x, None, axis, keepdims), x)


def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The least element, over axes."""
    return run(lambda ops, x: ops.min(x, None, axis, keepdims), x)


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean, over axes."""
    return run(lambda ops, x: ops.mean(x, axis, keepdims), x)


def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum, over axes."""
    return _in_dtype(run(lambda ops, x: ops.sum(x, axis, keepdims), _in_dtype(x, dtype)), dtype)


def prod(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product, over axes. Of integers it is computed where values are known."""
    dtype = _total_dtype(x, dtype)
    x = _in_dtype(x, dtype)
    if is_whole(x):
        return by_value("prod", lambda a: np.prod(a, axis=axis, dtype=str(x.dtype), keepdims=keepdims), x)
    return run(lambda ops, x: ops.prod(x, axis, keepdims), x)


def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance, over axes."""
    return run(lambda ops, x: ops.var(x, axis, keepdims, correction), x)


def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The standard deviation, over axes."""
    return run(lambda ops, x: ops.std(x, axis, keepdims, correction), x)


def _line(x: Any, axis: Any, name: str) -> int:
    if axis is None and len(required(x).shape) != 1:
        raise OptionError(f"{name}: axis must be given for an array of shape {tuple(x.shape)}")
    return 0 if axis is None else normalize_axis(axis, len(required(x).shape))


def _led(x: Any, axis: int, first: int) -> Any:
    # With one entry of this number before the others.
    def call(ops: Any, x: Any) -> Any:
        at = axis % len(x.shape)
        shape = tuple(1 if k == at else n for k, n in enumerate(x.shape))
        return ops.concat([ops._full(shape=shape, value=first, dtype=str(x.dtype)), x], at)

    return run(call, x)


def cumulative_sum(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running sums along an axis."""
    at = _line(x, axis, "cumulative_sum")
    y = _in_dtype(run(lambda ops, x: ops.cumsum(x, at), _in_dtype(x, dtype)), dtype)
    return _led(y, at, 0) if include_initial is True else y


def cumulative_prod(x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running products along an axis. Of integers they are computed where values are known."""
    at = _line(x, axis, "cumulative_prod")
    dtype = _total_dtype(x, dtype)
    x = _in_dtype(x, dtype)
    if is_whole(x):
        y = by_value("cumulative_prod", lambda a: np.cumprod(a, axis=at, dtype=str(x.dtype)), x)
    else:
        y = run(lambda ops, x: ops.cumprod(x, at), x)
    return _led(y, at, 1) if include_initial is True else y


def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element is true."""
    return run(lambda ops, x: ops.all(x, axis, keepdims), x)


def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether an element is true."""
    return run(lambda ops, x: ops.any(x, axis, keepdims), x)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis."""
    return run(lambda ops, x, before, after: ops.diff(x, n, axis, before, after), x, prepend, append)


# Searching ------------------------------------------------------------------------------------------------------------------


def argmax(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The place of the first greatest element."""
    return run(lambda ops, x: ops.argmax(x, axis, keepdims), x)


def argmin(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The place of the first least element."""
    return run(lambda ops, x: ops.argmin(x, axis, keepdims), x)


def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements are not zero."""
    return run(lambda ops, x: ops.sum(ops.not_equal(x, ops.zeros_like(x)), axis, keepdims), x)


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where each of x2 would be put into the sorted x1."""
    return run(lambda ops, a, v, order: ops.searchsorted(a if order is None else ops.take(a, order, 0), v, side), x1, x2, sorter)


def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    """x1 where the condition is true, else x2; one of them may be a number, or both."""
    if is_number(x1) and is_number(x2):
        kind = [isinstance(x, float) for x in (x1, x2)]
        dtype = None if kind[0] or kind[1] else "bool" if isinstance(x1, bool) and isinstance(x2, bool) else "int64"
        return run(
            lambda ops, c: ops.where(c, *(ops._full(shape=(), value=x, dtype=ops.dtype if dtype is None else dtype) for x in (x1, x2))),
            condition,
        )
    if is_number(x1):
        return run(lambda ops, c, b: ops.where(c, beside(ops, b, x1), b), condition, required(x2))
    if is_number(x2):
        return run(lambda ops, c, a: ops.where(c, a, beside(ops, a, x2)), condition, required(x1))
    return run(lambda ops, c, a, b: ops.where(c, a, b), condition, required(x1), required(x2))


# Order and sets ---------------------------------------------------------------------------------------------------------------


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order along an axis."""
    return run(lambda ops, x: ops.sort(x, axis, descending), x)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The places of the elements in order along an axis; equal ones stay in their order."""
    return run(lambda ops, x: ops.argsort(x, axis, descending), x)


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Any
    inverse_indices: Any


def unique_all(x: Any, /) -> UniqueAll:
    """The values that occur, in order, with their first places, the place of each element among them, and how often; of known values."""

    def call(a: np.ndarray) -> tuple[np.ndarray, ...]:
        values, first, inverse, counts = np.unique(a, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
        return values, first, inverse.reshape(a.shape), counts

    return UniqueAll(*by_value("unique_all", call, required(x)))


def unique_counts(x: Any, /) -> UniqueCounts:
    """The values that occur, in order, and how often; of known values."""
    every = unique_all(x)
    return UniqueCounts(every.values, every.counts)


def unique_inverse(x: Any, /) -> UniqueInverse:
    """The values that occur, in order, and the place of each element among them; of known values."""
    every = unique_all(x)
    return UniqueInverse(every.values, every.inverse_indices)


def unique_values(x: Any, /) -> Any:
    """The values that occur, in order; of known values."""
    return unique_all(x).values


# Products ---------------------------------------------------------------------------------------------------------------------


def matmul(x1: Any, x2: Any, /) -> Any:
    """The product of matrices; of integers in integers."""
    if not (is_whole(x1) and is_whole(x2)):
        return run(lambda ops, a, b: ops.matmul(a, b), x1, x2)

    def call(ops: Any, a: Any, b: Any) -> Any:
        # Σ over the middle axis of (…, n, m, 1) times (…, 1, m, k): the products of integers that there are.
        rows, columns = len(a.shape) > 1, len(b.shape) > 1
        a = ops.expand_dims(a if rows else ops.expand_dims(a, 0), -1)
        b = ops.expand_dims(b if columns else ops.expand_dims(b, -1), -3)
        y = ops.sum(ops.mul(a, b), -2)
        y = y if columns else ops.squeeze(y, -1)
        return y if rows else ops.squeeze(y, -2 if columns else -1)

    dtype = "int32" if {str(x1.dtype), str(x2.dtype)} <= {"int32"} else None
    return _in_dtype(run(call, x1, x2), dtype)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    return run(lambda ops, x: ops.swapaxes(x, -2, -1), x)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of products along an axis."""
    y = run(lambda ops, a, b: ops.sum(ops.mul(a, b), axis), required(x1), required(x2))
    return _in_dtype(y, "int32" if {str(x1.dtype), str(x2.dtype)} == {"int32"} else None)


def _tuple(axes: Any) -> tuple[int, ...]:
    return tuple(axes) if isinstance(axes, list | tuple) else (axes,)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """The sum of products over several axes of both."""
    if not (is_whole(x1) and is_whole(x2)):
        return run(lambda ops, a, b: ops.tensordot(a, b, axes), x1, x2)
    if not isinstance(axes, int) and not (isinstance(axes, list | tuple) and len(axes) == 2):
        raise OptionError(f"tensordot: axes must be an int or two sequences of ints, got {axes!r}")
    n = len(x1.shape)
    pairs = (range(-axes, 0), range(axes)) if isinstance(axes, int) else (_tuple(axes[0]), _tuple(axes[1]))
    here, there = ([normalize_axis(k, len(x.shape)) for k in ks] for x, ks in zip((x1, x2), pairs, strict=True))
    if len(here) != len(there):
        raise DTypeError(f"tensordot: axes must be as many of x1 as of x2, got {here} and {there}")
    rest1 = [k for k in range(n) if k not in here]
    rest2 = [k for k in range(len(x2.shape)) if k not in there]
    shape = [x1.shape[k] for k in rest1] + [x2.shape[k] for k in rest2]
    count = int(np.prod([x1.shape[k] for k in here]))

    def rows(ops: Any, x: Any, first: Any, last: Any) -> Any:
        return ops.permute(x, (*first, *last))

    a = run(lambda ops, x: ops.reshape(rows(ops, x, rest1, here), (int(np.prod([x.shape[k] for k in rest1])), count)), x1)
    b = run(lambda ops, x: ops.reshape(rows(ops, x, there, rest2), (count, int(np.prod([x.shape[k] for k in rest2])))), x2)
    return run(lambda ops, y: ops.reshape(y, tuple(shape)), matmul(a, b))


__all__ = [
    "UniqueAll", "UniqueCounts", "UniqueInverse", "all", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumulative_prod",
    "cumulative_sum", "diff", "matmul", "matrix_transpose", "max", "mean", "min", "prod", "searchsorted", "sort", "std", "sum",
    "tensordot", "unique_all", "unique_counts", "unique_inverse", "unique_values", "var", "vecdot", "where",
]  # fmt: skip
