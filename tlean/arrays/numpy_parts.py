"""NumPy's functions of parts of arrays: windows, segments, slices, partitions; exponents of floats; answers of programs without values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.arguments import whole
from tlean.errors import DTypeError, IndexRangeError, OptionError, ShapeError

from .methods import refuse
from .numpy_functions import axis_of, lifted, newer, ops_of


def _left_out(function: str, **options: Any) -> None:
    # Options that must be at their default.
    for name, value in options.items():
        if value not in (None, False):
            raise OptionError(f"np.{function}: {name} must be left at its default, got {name}={value!r}")


def _whole(function: str, x: Any) -> None:
    # What must hold integers.
    if x.dtype.kind != "i":
        raise DTypeError(f"np.{function}: integers are needed, got an array of {x.dtype}")


def _places(function: str, kth: Any, n: int) -> None:
    if not all(-n <= k < n for k in np.ravel(kth).tolist()):
        raise IndexRangeError(f"np.{function}: kth must be in [{-n}, {n}), got {kth}")


#: Slices that a function is called with one by one.
_MOST_SLICES = 1 << 12


# Exponents ----------------------------------------------------------------------------------------------------------------


def _ldexp(x: Any, exponent: Any) -> Any:
    ops = ops_of((x, exponent))
    x, exponent = lifted(ops, x), lifted(ops, exponent)
    _whole("ldexp", exponent)
    x = x if x.dtype.kind == "f" else x * 1.0
    # In two steps, so that a product in range has no factor out of range.
    half = exponent // 2
    return x * ops.exp2(half.astype(x.dtype)) * ops.exp2((exponent - half).astype(x.dtype))


def _frexp(x: Any) -> tuple[Any, Any]:
    ops = x.ops
    x = x if x.dtype.kind == "f" else x * 1.0
    size = abs(ops.detach(x))
    there = ops.logical_and(size > 0.0, ops.isfinite(size))
    safe = ops.where(there, size, 1.0)
    exponent = ops.floor(ops.log2(safe)).astype("int64") + 1
    # The logarithm is rounded: beside a power of 2 its whole part may be the next.
    mantissa = _ldexp(safe, -exponent)
    exponent = exponent + (mantissa >= 1.0) - ops.where(mantissa < 0.5, 1, 0)
    exponent = ops.where(there, exponent, 0)
    return ops.where(there, _ldexp(x, -exponent), x), exponent.astype("int32")


#: Universal functions of this kind, and those of them that have floats for integers.
UFUNCS: dict[Any, Callable[..., Any]] = {np.ldexp: _ldexp, np.frexp: _frexp}
INEXACT: set[Any] = {np.ldexp, np.frexp}


def reduced_at(function: Any, x: Any, indices: Any, axis: int = 0, **unused: Any) -> Any:
    """`function.reduceat(x, indices)`: the reductions of the parts that begin at the indices; of one that ends there its first entry.

    Args:
        function: a universal function with a reduction that is an op.
        x: a reference.
        indices: constants.
        axis: which the parts are of.

    Raises: IndexRangeError; OptionError for other options.
    """
    refuse(f"np.{function.__name__}.reduceat", unused)
    k = axis_of(f"{function.__name__}.reduceat", x, axis)
    places, n, before = np.asarray(indices).tolist(), x.shape[k], (slice(None),) * k
    if not all(0 <= i < n for i in places):
        raise IndexRangeError(f"np.{function.__name__}.reduceat: indices must be in [0, {n}), got {places}")
    ends = [*places[1:], n]
    parts = [function.reduce(x[(*before, slice(i, j))], axis=k) if i < j else x[(*before, i)] for i, j in zip(places, ends, strict=True)]
    return x.ops.stack(parts, k)


# Windows and slices --------------------------------------------------------------------------------------------------------


def _sliding_window_view(x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False) -> Any:
    ops = ops_of((x,))
    windows = (window_shape,) if isinstance(window_shape, int | np.integer) else tuple(window_shape)
    axes = range(len(x.shape)) if axis is None else (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    if len(windows) != len(axes):
        raise ShapeError(f"np.sliding_window_view: a window must have an entry for each of {len(axes)} axes, got {windows}")
    for w, a in zip(windows, axes, strict=True):
        k = axis_of("sliding_window_view", x, a)
        count = x.shape[k] - w + 1
        if w < 0 or count < 1:
            raise ShapeError(f"np.sliding_window_view: a window must be no longer than axis {a}, got {w} for shape {tuple(x.shape)}")
        places = np.arange(count)[:, None] + np.arange(w)
        x = ops.moveaxis(ops.take(x, places, k), k + 1, -1)
    return x


def _apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **options: Any) -> Any:
    ops = ops_of((arr, *args))
    arr = lifted(ops, arr)
    k = axis_of("apply_along_axis", arr, axis)
    others = (*arr.shape[:k], *arr.shape[k + 1 :])
    count = math.prod(others)
    if not 0 < count <= _MOST_SLICES:
        raise OptionError(f"np.apply_along_axis: there must be 1 to {_MOST_SLICES} slices, got {count}; see axis= and tl.vmap")
    rows = ops.moveaxis(arr, k, -1).reshape(count, arr.shape[k])
    results = [lifted(ops, func1d(rows[j], *args, **options)) for j in range(count)]
    made = ops.stack(results, 0)
    made = made.reshape(*others, *made.shape[1:])
    own = len(results[0].shape)
    # What a slice became is where its axis was.
    return ops.moveaxis(made, tuple(range(len(others), len(others) + own)), tuple(range(k, k + own))) if own else made


def _apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    for axis in np.ravel(axes).tolist():
        k, result = axis_of("apply_over_axes", a, axis), func(a, axis)
        a = result if len(result.shape) == len(a.shape) else result.ops.expand_dims(result, k)
    return a


def _running(method: str) -> Callable[..., Any]:
    def run(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
        refuse(f"np.{method}", {"dtype": dtype, "out": out})
        if axis is None and len(x.shape) > 1:
            raise OptionError(f"np.cumulative_{method[3:]}: axis must be named for an array of {len(x.shape)} axes, got None")
        total = getattr(x, method)(axis=0 if axis is None else axis)
        if not include_initial:
            return total
        k = axis_of(method, total, 0 if axis is None else axis)
        first = x.ops.full_like(total, int(method == "cumprod"), shape=(*total.shape[:k], 1, *total.shape[k + 1 :]))
        return x.ops.concat([first, total], k)

    return run


def _place_without_nan(method: str, nothing: float) -> Callable[..., Any]:
    def run(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        refuse(f"np.nan{method}", {"out": out})
        a = a if a.dtype.kind != "f" else a.ops.where(np.isnan(a), nothing, a)
        return getattr(a, method)(axis=axis, **({"keepdims": True} if keepdims is True else {}))

    return run


def _partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Any:
    refuse("np.partition", {"order": order})
    a, axis = (a.ravel(), 0) if axis is None else (a, axis)
    _places("partition", kth, a.shape[axis_of("partition", a, axis)])
    # What is sorted is partitioned at every place.
    return a.ops.sort(a, axis)


# Systems of equations ---------------------------------------------------------------------------------------------------------


def _polyfit(x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    _left_out("polyfit", rcond=rcond, full=full, cov=cov)
    ops = ops_of((x, y, w))
    x, y = lifted(ops, x), lifted(ops, y)
    powers = ops.vander(x if x.dtype.kind == "f" else x * 1.0, whole("np.polyfit: deg", deg, 0) + 1)
    if w is not None:
        w = lifted(ops, w)
        powers, y = powers * w[:, None], y * (w if len(y.shape) == 1 else w[:, None])
    scale = ((powers * powers).sum(axis=0)) ** 0.5
    found = ops.linalg_lstsq(powers / scale, y)
    return found / (scale if len(y.shape) == 1 else scale[:, None])


def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    _left_out("linalg.matrix_rank", tol=tol)
    return A.ops.linalg_matrix_rank(A) if rtol is None else A.ops.linalg_matrix_rank(A, rtol)


def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, Any, Any]:
    # The residuals are those of a matrix of full rank, which is known without its values.
    _left_out("linalg.lstsq", rcond=rcond)
    ops = ops_of((a, b))
    a, b = lifted(ops, a), lifted(ops, b)
    x = ops.linalg_lstsq(a, b)
    rest = ((b - a @ x) ** 2).sum(axis=0).reshape(*b.shape[1:] or (1,)) if a.shape[0] > a.shape[1] else x.ravel()[:0]
    return x, rest, ops.linalg_matrix_rank(a), ops.linalg_svdvals(a)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.lib.stride_tricks.sliding_window_view: _sliding_window_view,
    np.apply_along_axis: _apply_along_axis,
    np.apply_over_axes: _apply_over_axes,
    newer.cumulative_sum: _running("cumsum"),
    newer.cumulative_prod: _running("cumprod"),
    np.nanargmax: _place_without_nan("argmax", -math.inf),
    np.nanargmin: _place_without_nan("argmin", math.inf),
    np.polyfit: _polyfit,
    np.partition: _partition,
    np.linalg.matrix_rank: _matrix_rank,
    np.linalg.lstsq: _lstsq,
}


# Questions in a program -------------------------------------------------------------------------------------------------------
# Where there are values NumPy answers them; in a program that is recorded the answer is a value of the program, of the same meaning.


def _allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    close = np.isclose(a, b, rtol, atol, equal_nan)
    return close.ops.all(close)


def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    _left_out("array_equal", equal_nan=equal_nan)
    ops = ops_of((a1, a2))
    a, b = lifted(ops, a1), lifted(ops, a2)
    return ops.all(a == b) if tuple(a.shape) == tuple(b.shape) else False


def _argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Any:
    refuse("np.argpartition", {"order": order})
    a, axis = (a.ravel(), 0) if axis is None else (a, axis)
    _places("argpartition", kth, a.shape[axis_of("argpartition", a, axis)])
    return a.ops.argsort(a, axis)


def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple[Any, Any]:
    ops = ops_of((a, bins, weights))
    counts, edges = ops.histogram(lifted(ops, a), bins, range, None if weights is None else lifted(ops, weights))
    return (counts / (counts.sum() * ops.diff(edges)) if density else counts), edges


def _unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    if order not in ("C", "F"):
        raise OptionError(f"np.unravel_index: order must be 'C' or 'F', got {order!r}")
    _whole("unravel_index", indices)
    rest, places = indices, []
    for n in reversed(shape) if order == "C" else shape:
        places.append(rest % n)
        rest = rest // n
    return tuple(reversed(places)) if order == "C" else tuple(places)


def _ravel_multi_index(multi_index: Any, dims: Any, mode: str = "raise", order: str = "C") -> Any:
    if order not in ("C", "F") or mode not in ("raise", "clip"):
        raise OptionError(f"np.ravel_multi_index: order must be 'C' or 'F' and mode 'raise' or 'clip', got {order!r} and {mode!r}")
    ops = ops_of(multi_index)
    total, step = 0, 1
    for index, n in reversed(list(zip(multi_index, dims, strict=True))) if order == "C" else zip(multi_index, dims, strict=True):
        # An index out of range is refused where it is read, as that of any array.
        place = ops.take(ops.arange(n), lifted(ops, index), 0, mode)
        total, step = total + place * step, step * n
    return total


RECORDED: dict[Any, Callable[..., Any]] = {
    np.allclose: _allclose,
    np.array_equal: _array_equal,
    np.argpartition: _argpartition,
    np.histogram: _histogram,
    np.ravel_multi_index: _ravel_multi_index,
    np.unravel_index: _unravel_index,
}
