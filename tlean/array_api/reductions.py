"""Statistics, searching, sorting, sets, and the products that are not in `linalg` alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tlean.dtypes import dtype_option
from tlean.errors import OptionError
from tlean.shapes import normalize_axis

from ..arguments.literals import Side
from .calls import beside, by_value, is_number, required, run


def _in_dtype(x: Any, dtype: Any) -> Any:
    name = dtype_option(dtype)
    return x if name is None or required(x).dtype == name else run(lambda ops, x: ops.astype(x, name), x)


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
    """The product, over axes."""
    return _in_dtype(run(lambda ops, x: ops.prod(x, axis, keepdims), _in_dtype(x, dtype)), dtype)


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
    """Running products along an axis."""
    at = _line(x, axis, "cumulative_prod")
    y = _in_dtype(run(lambda ops, x: ops.cumprod(x, at), _in_dtype(x, dtype)), dtype)
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


def searchsorted(x1: Any, x2: Any, /, *, side: Side = "left", sorter: Any = None) -> Any:
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
    return run(lambda ops, a, b: ops.matmul(a, b), x1, x2)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    return run(lambda ops, x: ops.swapaxes(x, -2, -1), x)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of products along an axis."""
    y = run(lambda ops, a, b: ops.sum(ops.mul(a, b), axis), required(x1), required(x2))
    return _in_dtype(y, "int32" if {str(x1.dtype), str(x2.dtype)} == {"int32"} else None)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """The sum of products over several axes of both."""
    return run(lambda ops, a, b: ops.tensordot(a, b, axes), x1, x2)


__all__ = [
    "UniqueAll", "UniqueCounts", "UniqueInverse", "all", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumulative_prod",
    "cumulative_sum", "diff", "matmul", "matrix_transpose", "max", "mean", "min", "prod", "searchsorted", "sort", "std", "sum",
    "tensordot", "unique_all", "unique_counts", "unique_inverse", "unique_values", "var", "vecdot", "where",
]  # fmt: skip
