"""NumPy's functions that are made of several ops: joining and cutting, choosing, interpolation, and universal functions of this kind."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase
from tlean.errors import IndexRangeError, OptionError, ShapeError

from . import methods
from .methods import refuse


class Newer:
    """A module of NumPy's, for functions that not every NumPy has which tlean works with: one that is missing is its name alone."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name, name)


newer, newer_linalg = Newer(np), Newer(np.linalg)


def references(values: Any) -> Iterator[RefBase]:
    """The references among values and in lists of them."""
    for x in values:
        if isinstance(x, RefBase):
            yield x
        elif isinstance(x, list | tuple):
            yield from references(x)


def ops_of(values: Any) -> Any:
    """The backend of the first reference among values."""
    return next(references(values)).ops


def lifted(ops: Any, x: Any) -> Any:
    """An array, or a list, as a reference of that dtype; a reference as it is.

    Args:
        ops: the backend.
        x: anything array-like; of a list with references in it the entries are stacked.
    """
    if isinstance(x, RefBase):
        return x
    if isinstance(x, list | tuple) and next(references(x), None) is not None:
        return ops.stack([lifted(ops, v) for v in x], 0)
    return ops._own_constant(np.asarray(x))


def ends_of(x: Any, axis: int) -> tuple[Any, Any]:
    """All entries of an axis but the last, and all but the first."""
    before = (slice(None),) * (axis % len(x.shape))
    return x[(*before, slice(None, -1))], x[(*before, slice(1, None))]


def axis_of(function: str, x: Any, axis: Any) -> int:
    """The number of an axis of x, which may count from the end. Raises: IndexRangeError."""
    n = len(x.shape)
    if not -n <= axis < n:
        raise IndexRangeError(f"np.{function}: axis must be in [{-n}, {n}), got {axis}")
    return int(axis) % n


# Universal functions ----------------------------------------------------------------------------------------------------


def _pair(name: str) -> Callable[..., Any]:
    def run(a: Any, b: Any) -> Any:
        x = next(references((a, b)))
        a, b = (methods.like(x, v) for v in (a, b))
        return getattr(x.ops, name)(a, b)

    return run


def _modf(x: Any) -> tuple[Any, Any]:
    whole = x.ops.trunc(x)
    fraction = x.ops.where(x.ops.isinf(x), 0.0, x - x.ops.where(x.ops.isinf(x), 0.0, whole))
    return x.ops.copysign(fraction, x), whole


def _logaddexp2(a: Any, b: Any) -> Any:
    x = next(references((a, b)))
    a, b = (methods.like(x, v) * math.log(2) for v in (a, b))
    return x.ops.logaddexp(a, b) / math.log(2)


#: Universal functions of arrays that are no op.
UFUNCS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((np.degrees, np.rad2deg), lambda x: x.ops.rad2deg(x)),
    **dict.fromkeys((np.radians, np.deg2rad), lambda x: x.ops.deg2rad(x)),
    np.fmax: _pair("fmax"),
    np.fmin: _pair("fmin"),
    np.heaviside: _pair("heaviside"),
    np.modf: _modf,
    np.divmod: lambda a, b: (np.floor_divide(a, b), np.remainder(a, b)),
    np.logaddexp2: _logaddexp2,
    np.conjugate: lambda x: x,
    np.signbit: lambda x: x.ops.copysign(x.ops.ones_like(x), x) < 0,
    newer.vecdot: lambda a, b: (a * b).sum(axis=-1),
    newer.matvec: lambda a, b: ops_of((a, b)).matmul(a, ops_of((a, b)).expand_dims(b, -1))[..., 0],
    newer.vecmat: lambda a, b: ops_of((a, b)).matmul(ops_of((a, b)).expand_dims(a, -2), b)[..., 0, :],
}

#: Those of them that have floats for integers.
INEXACT: set[Any] = {np.degrees, np.rad2deg, np.radians, np.deg2rad, np.heaviside, np.modf, np.logaddexp2}


def outer(function: Any, a: Any, b: Any) -> Any:
    """`function.outer(a, b)`: a universal function of every pair of elements.

    Args:
        function: of two arrays.
        a, b: references or arrays, one of them a reference.
    """
    ops, more = ops_of((a, b)), len(methods.shape_of(b))
    a = lifted(ops, a)
    return function(ops.reshape(a, (*a.shape, *(1,) * more)) if more else a, lifted(ops, b))


# Joining and cutting ----------------------------------------------------------------------------------------------------


def _at_least_3d(x: Any) -> Any:
    shape = tuple(x.shape)
    return x.ops.reshape(x, ((1, 1, 1), (1, *shape, 1), (*shape, 1))[len(shape)]) if len(shape) < 3 else x


def _dstack(tup: Any, **unused: Any) -> Any:
    refuse("np.dstack", unused)
    ops = ops_of(tup)
    return ops.concat([_at_least_3d(lifted(ops, x)) for x in tup], 2)


def _column_stack(tup: Any) -> Any:
    ops = ops_of(tup)
    arrays = [lifted(ops, x) for x in tup]
    return ops.concat([x if len(x.shape) > 1 else x.reshape(-1, 1) for x in arrays], 1)


def _block(arrays: Any) -> Any:
    # The innermost lists are joined along the last axis, those around them along the one before, and so on.
    ops = ops_of(arrays)

    def depth(part: Any) -> int:
        return 1 + max(map(depth, part)) if isinstance(part, list) else 0

    def leaves(part: Any) -> Iterator[Any]:
        if isinstance(part, list):
            for p in part:
                yield from leaves(p)
        else:
            yield part

    levels = depth(arrays)
    ndim = max(levels, *(len(methods.shape_of(x)) for x in leaves(arrays)))

    def joined(part: Any, level: int) -> Any:
        if not isinstance(part, list):
            x = lifted(ops, part)
            return x.reshape((1,) * (ndim - len(x.shape)) + tuple(x.shape))
        return ops.concat([joined(p, level + 1) for p in part], ndim - levels + level)

    return joined(arrays, 0)


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if np.ndim(indices_or_sections) == 0:
        n, parts = ary.shape[axis], int(indices_or_sections)
        if parts < 1:
            raise OptionError(f"np.array_split: the number of parts must be at least 1, got {parts}")
        # The first parts have one more where the length does not divide.
        sizes = [n // parts + (k < n % parts) for k in range(parts)]
        indices_or_sections = np.cumsum(sizes)[:-1].tolist()
    before = (slice(None),) * axis_of("array_split", ary, axis)
    edges = [0, *(int(k) for k in indices_or_sections), ary.shape[axis]]
    return [ary[(*before, slice(a, b))] for a, b in pairwise(edges)]


def _split_along(function: str, axis: int) -> Callable[..., Any]:
    def run(ary: Any, indices_or_sections: Any) -> Any:
        n = len(ary.shape)
        if n < max(axis, 1) + (function != "hsplit"):
            raise ShapeError(f"np.{function}: more axes are needed, got shape {tuple(ary.shape)}")
        return ary.ops.split(ary, indices_or_sections, 0 if n == 1 else axis)

    return run


def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    ops = ops_of((arr, values))
    arr, values = lifted(ops, arr), lifted(ops, values)
    return ops.concat([arr.ravel(), values.ravel()], 0) if axis is None else ops.concat([arr, values], axis)


def _constant(places: Any) -> Any:
    # Places as NumPy takes them. Raises: NodeError for those of a program that is recorded, whose result has no shape yet.
    return np.asarray(places) if isinstance(places, RefBase | AnyTensor) else places


def _delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    if axis is None:
        arr, axis = arr.ravel(), 0
    axis = axis_of("delete", arr, axis)
    return arr.ops.take(arr, np.delete(np.arange(arr.shape[axis]), _constant(obj)), axis)


def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    ops = ops_of((arr, values))
    arr, values = lifted(ops, arr), lifted(ops, values)
    if axis is None:
        arr, axis = arr.ravel(), 0
    axis = axis_of("insert", arr, axis)
    n, shape = arr.shape[axis], list(arr.shape)
    obj = np.arange(n)[obj] if isinstance(obj, slice) else _constant(obj)
    if np.ndim(obj) == 0 or np.size(obj) == 1:
        # At one place as many entries as there are; of a plain number they go along the axis of the array.
        values = values.reshape((1,) * (len(shape) - len(values.shape)) + tuple(values.shape))
        values = np.moveaxis(values, 0, axis) if np.ndim(obj) == 0 else values
        count, places = values.shape[axis], np.repeat(int(np.ravel(obj)[0]), values.shape[axis])
    else:
        count, places = np.size(obj), np.asarray(obj)
    shape[axis] = count
    values = values if values.dtype == arr.dtype else values.astype(arr.dtype)
    order = np.insert(np.arange(n), places, n + np.arange(count))
    return ops.take(ops.concat([arr, ops.broadcast_to(values, tuple(shape))], axis), order, axis)


def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    n = len(a.shape)
    axis = axis_of("rollaxis", a, axis)
    start = start + n if start < 0 else start
    return a.ops.moveaxis(a, axis, start - (axis < start))


def _resize(a: Any, new_shape: Any) -> Any:
    shape = (new_shape,) if isinstance(new_shape, int | np.integer) else tuple(new_shape)
    n, size = math.prod(a.shape), math.prod(shape)
    if not n:
        return a.ops.full_like(a, 0, shape=shape)
    return a.ravel()[np.arange(size) % n].reshape(shape)


def _broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    ops = ops_of(args)
    shapes = [methods.shape_of(x) for x in args]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"np.broadcast_arrays: the shapes must broadcast, got {', '.join(map(str, shapes))}") from None
    return tuple(ops.broadcast_to(lifted(ops, x), shape) for x in args)


# Choosing ---------------------------------------------------------------------------------------------------------------


def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    arr, axis = (arr.ravel(), 0) if axis is None else (arr, axis)
    return ops_of((arr, indices)).take_along_axis(arr, indices, axis)


def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    refuse("np.choose", {"out": out})
    ops = ops_of((a, *choices))
    if mode == "wrap":
        raise OptionError("np.choose: mode must be 'raise' or 'clip', got 'wrap'; take a % the number of choices")
    a, *arrays = _broadcast_arrays(lifted(ops, a), *choices)
    return ops.take_along_axis(ops.stack(arrays, 0), a[None], 0, mode)[0]


def _compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    refuse("np.compress", {"out": out})
    a = a.ravel() if axis is None else a
    return a.ops.take(a, np.flatnonzero(np.asarray(condition)), axis or 0)


def _extract(condition: Any, arr: Any) -> Any:
    ops = ops_of((condition, arr))
    return lifted(ops, arr).ravel()[np.ravel(condition)]


def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist) or not condlist:
        raise OptionError(f"np.select: as many choices as conditions are needed, got {len(condlist)} and {len(choicelist)}")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = np.where(condition, choice, result)
    return result


def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **options: Any) -> Any:
    # Of several conditions that hold the last one counts; one more function is for where none does.
    if not isinstance(condlist, list | tuple) or (condlist and not methods.shape_of(condlist[0]) and x.shape):
        condlist = [condlist]
    if len(funclist) not in (len(condlist), len(condlist) + 1):
        raise OptionError(f"np.piecewise: a function for each of {len(condlist)} conditions is needed, got {len(funclist)}")

    def value(f: Any) -> Any:
        return f(x, *args, **options) if callable(f) else methods.like(x, f)

    result = value(funclist[-1]) if len(funclist) > len(condlist) else x.ops.zeros_like(x)
    for condition, f in zip(condlist, funclist, strict=False):
        result = x.ops.where(condition, value(f), result)
    return result.astype(x.dtype) if result.dtype != x.dtype else result


def _isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None) -> Any:
    ops = ops_of((element, test_elements))
    element, tests = lifted(ops, element), lifted(ops, test_elements).ravel()
    found = (ops.expand_dims(element, -1) == tests).any(axis=-1)
    return ~found if invert else found


def _nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    return x.ops.nan_to_num(x, nan, posinf, neginf)


# Products of vectors and matrices -----------------------------------------------------------------------------------------


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    ops = ops_of((a, b))
    a, b = lifted(ops, a), lifted(ops, b)
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(f"np.cross: vectors of 3 components are needed, got shapes {tuple(a.shape)} and {tuple(b.shape)}")
    parts = [a[..., j] * b[..., k] - a[..., k] * b[..., j] for j, k in ((1, 2), (2, 0), (0, 1))]
    return ops.stack(parts, axisc)


def _lexsort(keys: Any, axis: int = -1) -> Any:
    ops = ops_of((keys,) if isinstance(keys, RefBase) else keys)
    keys = [lifted(ops, k) for k in keys]
    order = ops.argsort(keys[0], axis)
    for key in keys[1:]:
        order = ops.take_along_axis(order, ops.argsort(ops.take_along_axis(key, order, axis), axis), axis)
    return order


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.dstack: _dstack,
    np.column_stack: _column_stack,
    np.block: _block,
    np.array_split: _array_split,
    np.hsplit: _split_along("hsplit", 1),
    np.vsplit: _split_along("vsplit", 0),
    np.dsplit: _split_along("dsplit", 2),
    np.append: _append,
    np.delete: _delete,
    np.insert: _insert,
    np.rot90: lambda m, k=1, axes=(0, 1): m.ops.rot90(m, k, axes),
    np.rollaxis: _rollaxis,
    np.resize: _resize,
    np.broadcast_arrays: _broadcast_arrays,
    newer.unstack: lambda x, *, axis=0: tuple(np.moveaxis(x, axis, 0)),
    np.atleast_3d: lambda *xs: _at_least_3d(xs[0]) if len(xs) == 1 else tuple(map(_at_least_3d, xs)),
    np.take_along_axis: _take_along_axis,
    np.choose: _choose,
    np.compress: _compress,
    np.extract: _extract,
    np.select: _select,
    np.piecewise: _piecewise,
    np.isin: _isin,
    np.nan_to_num: _nan_to_num,
    np.real: lambda val: val,
    np.imag: lambda val: val.ops.zeros_like(val),
    np.angle: lambda z, deg=False: z.ops.atan2(z.ops.zeros_like(z), z) * (180.0 / math.pi if deg else 1.0),
    np.real_if_close: lambda a, tol=100: a,
    np.cross: _cross,
    newer_linalg.cross: lambda x1, x2, /, *, axis=-1: _cross(x1, x2, axis=axis),
    np.diagflat: lambda v, k=0: v.ops.diag(v.ravel(), k),
    np.empty_like: lambda prototype, dtype=None, *order, shape=None, **unused: prototype.ops.full_like(prototype, 0, dtype, shape),
    np.lexsort: _lexsort,
    np.iscomplexobj: lambda x: False,
    np.isrealobj: lambda x: True,
    np.result_type: lambda *arrays_and_dtypes: np.result_type(*(str(x.dtype) if isinstance(x, RefBase) else x for x in arrays_and_dtypes)),
    np.linalg.matrix_power: lambda a, n: a.ops.linalg_matrix_power(a, n),
    np.linalg.multi_dot: lambda arrays: functools.reduce(np.matmul, arrays),
    newer_linalg.matrix_transpose: lambda x: x.mT,
    newer_linalg.outer: lambda x1, x2: ops_of((x1, x2)).outer(x1, x2),
    newer_linalg.vecdot: lambda x1, x2, /, *, axis=-1: (x1 * x2).sum(axis=axis),
    newer_linalg.matmul: lambda x1, x2: np.matmul(x1, x2),
    newer_linalg.tensordot: lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes),
    newer_linalg.trace: lambda x, /, *, offset=0, dtype=None: x.ops.trace(x, offset, -2, -1),
    newer_linalg.diagonal: lambda x, /, *, offset=0: x.ops.diagonal(x, offset, -2, -1),
    newer_linalg.vector_norm: lambda x, /, *, axis=None, keepdims=False, ord=2: x.ops.norm(x, ord, axis, keepdims),
}
