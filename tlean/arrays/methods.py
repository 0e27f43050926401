"""NumPy's methods of an array, made of ops: what `x.sum(axis=0)`, `x.reshape(3, 2)` and kin are for a reference of any backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean._core.array import read_array
from tlean._core.refs import RefBase
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.shapes import normalize_axis

#: What NumPy's functions and methods take that does not apply to values that never change, or that no op has yet.
_UNUSED = {"out": None, "dtype": None, "initial": np._NoValue, "where": np._NoValue, "order": None}


def refuse(method: str, options: dict[str, Any]) -> None:
    """Raise OptionError for options of NumPy's that were given and that the op behind a method does not have."""
    for name, value in options.items():
        if name not in _UNUSED:
            raise OptionError(f"{method}: no such option, got {name}={value!r}")
        if value is None or value is np._NoValue or (name == "where" and value is True) or (name == "order" and value in ("C", "K", "A")):
            continue
        hint = ": values never change; use what the call returns" if name == "out" else ""
        raise OptionError(f"{method}: {name} must be left at its default{hint}, got {name}={value!r}")


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    return tuple(range(len(x.shape))) if axis is None else tuple(axis) if isinstance(axis, list | tuple) else (axis,)


def _checked(method: str, axis: Any, keepdims: Any, unused: dict[str, Any]) -> tuple[Any, bool]:
    # The axis and keepdims of a reduction, as an op takes them.
    refuse(method, unused)
    if isinstance(axis, bool) or not (axis is None or isinstance(axis, tuple | list) or hasattr(axis, "__index__")):
        raise OptionError(f"{method}: axis must be None, an int or a tuple of ints, got {axis!r}")
    return tuple(axis) if isinstance(axis, list) else axis, False if keepdims is np._NoValue else bool(keepdims)


def _reduction(method: str) -> Callable[..., Any]:
    # The method that is the op of its name over axes, all of them by default.
    def run(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
        return getattr(x.ops, method)(x, *_checked(method, axis, keepdims, unused), name=name)

    run.__doc__ = f"`{method}` of all elements, or along an axis or several."
    return run


def _extreme(method: str) -> Callable[..., Any]:
    # `x.max(b)` with an array or a float is elementwise, as `max(a, b)` is; with an int, a tuple, None or nothing it is the reduction.
    def run(x: Any, *other: Any, axis: Any = None, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
        if "b" in unused:
            other += (unused.pop("b"),)
        if len(other) > 1 or (other and axis is not None):
            raise OptionError(f"{method}: it takes one axis or one array, got {len(other) + (axis is not None)}")
        if other and not _is_axis(other[0]):
            refuse(method, unused)
            return getattr(x.ops, method)(x, like(x, other[0]), name=name)
        axis, keepdims = _checked(method, other[0] if other else axis, keepdims, unused)
        return getattr(x.ops, method)(x, None, axis, keepdims, name=name)

    run.__doc__ = f"`{method}` of all elements, or along an axis or several; with an array or a float, of each element and that."
    return run


def _is_axis(value: Any) -> bool:
    return value is None or (isinstance(value, tuple | int | np.integer) and not isinstance(value, bool))


def _running(method: str) -> Callable[..., Any]:
    # The method that is the op of its name along an axis, of all elements in row-major order by default.
    def run(x: Any, axis: Any = None, *, name: str | None = None, **unused: Any) -> Any:
        refuse(method, unused)
        return getattr(x.ops, method)(x, axis, name=name)

    run.__doc__ = f"`{method}` along an axis; without one, of all elements in row-major order."
    return run


def _moment(method: str) -> Callable[..., Any]:
    # The method that is the op of its name, with NumPy's name of the correction.
    def run(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
        ddof = unused.pop("correction", ddof)
        unused.pop("mean", None)
        axis, keepdims = _checked(method, axis, keepdims, unused)
        return getattr(x.ops, method)(x, axis, keepdims, ddof, name=name)

    run.__doc__ = f"`{method}` of all elements, or along an axis or several; `ddof` is what it calls correction."
    return run


def reshape(x: Any, *sizes: Any, shape: Any = None, name: str | None = None, **unused: Any) -> Any:
    """The same elements in row-major order under another shape: `x.reshape(3, 2)` or `x.reshape((3, 2))`."""
    unused.pop("copy", None)
    refuse("reshape", unused)
    if (shape is None) == (not sizes):
        raise OptionError(f"reshape: one shape is needed, got {len(sizes) + (shape is not None)}")
    if shape is None:
        shape = sizes[0] if len(sizes) == 1 else sizes
    return x.ops.reshape(x, shape, name=name)


def transpose(x: Any, *axes: Any, name: str | None = None, **unused: Any) -> Any:
    """The axes in another order; without one, reversed."""
    order = unused.pop("axes", None) if not axes else axes[0] if len(axes) == 1 else axes
    refuse("transpose", unused)
    if order is None:
        return transposed(x, name)
    order = (order,) if hasattr(order, "__index__") and not isinstance(order, RefBase) else tuple(order)
    if order == (1, 0) and len(x.shape) == 2:
        return x.ops.transpose2d(x, name=name)
    return x.ops.permute(x, order, name=name)


def transposed(x: Any, name: str | None = None) -> Any:
    """`x.T`: a matrix transposed, more axes reversed, fewer as they are."""
    n = len(x.shape)
    if n == 2:
        return x.ops.transpose2d(x, name=name)
    return x if n < 2 else x.ops.permute(x, tuple(range(n))[::-1], name=name)


def swapaxes(x: Any, axis1: int, axis2: int, *, name: str | None = None) -> Any:
    """Two axes exchanged."""
    n = len(x.shape)
    i, j = normalize_axis(axis1, n), normalize_axis(axis2, n)
    order = list(range(n))
    order[i], order[j] = j, i
    return transpose(x, order, name=name)


def squeeze(x: Any, axis: Any = None, *, name: str | None = None) -> Any:
    """Without axes of size 1: all of them, or those named."""
    n = len(x.shape)
    gone = {k for k, d in enumerate(x.shape) if d == 1} if axis is None else {normalize_axis(k, n) for k in _axes(x, axis)}
    if any(x.shape[k] != 1 for k in gone):
        raise ShapeError(f"squeeze: the axes must have size 1, got x: {tuple(x.shape)}, axis={axis!r}")
    return x.ops.reshape(x, tuple(d for k, d in enumerate(x.shape) if k not in gone), name=name) if gone else x


def expand_dims(x: Any, axis: Any, *, name: str | None = None) -> Any:
    """With axes of size 1 at these places of the result."""
    places = _axes(x, axis)
    n = len(x.shape) + len(places)
    new = {normalize_axis(k, n) for k in places}
    if len(new) < len(places):
        raise OptionError(f"expand_dims: an axis must be named once, got {axis!r}")
    sizes = iter(x.shape)
    return x.ops.reshape(x, tuple(1 if k in new else next(sizes) for k in range(n)), name=name)


def ravel(x: Any, order: str = "C", *, name: str | None = None) -> Any:
    """All elements in row-major order as one axis."""
    refuse("ravel", {"order": order})
    return x if len(x.shape) == 1 else x.ops.flatten(x, name=name)


def flatten(x: Any, order: str = "C", *, name: str | None = None) -> Any:
    """All elements in row-major order as one axis."""
    refuse("flatten", {"order": order})
    return x.ops.flatten(x, name=name)


def clip(x: Any, min: Any = None, max: Any = None, *, name: str | None = None, **bounds: Any) -> Any:
    """The elements, moved into [min, max]; a bound is a number, an array or None."""
    low, high = bounds.pop("a_min", min), bounds.pop("a_max", max)
    refuse("clip", bounds)
    plain = [b is None or isinstance(b, int | float | np.number) for b in (low, high)]
    if all(plain):
        return x.ops.clamp(x, -math.inf if low is None else float(low), math.inf if high is None else float(high), name=name)
    for op, bound in (("max", low), ("min", high)):
        if bound is not None:
            x = getattr(x.ops, op)(x, like(x, bound))
    return x


def like(x: Any, value: Any) -> Any:
    """A value as an array of x's shape where it is a plain number."""
    if isinstance(value, int | float | np.number):
        return x.ops.broadcast_to(x.ops.const(float(value)), tuple(x.shape))
    return value


def copy(x: Any, order: str = "C") -> Any:
    """The array itself: values never change."""
    return x


def tolist(x: Any) -> Any:
    """The elements as nested lists of Python numbers. Raises: NodeError while the program is recorded."""
    return np.asarray(x).tolist()


def astype(x: Any, dtype: Any, *, copy: bool = True, name: str | None = None) -> Any:
    """The elements in another dtype."""
    try:
        wanted = np.dtype(dtype).name
    except TypeError:
        raise DTypeError(f"astype: a dtype is needed, got {dtype!r}") from None
    if wanted == x.dtype:
        return x
    convert = getattr(x.ops, "astype", None)
    if convert is None:
        raise DTypeError(f"astype: a program computes in one dtype, here {x.dtype}, got dtype={wanted}")
    return convert(x, wanted, name=name)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of anything array-like. Raises: ShapeError where rows differ in length, DTypeError for what is no array."""
    return tuple(x.shape) if isinstance(getattr(x, "shape", None), tuple) else read_array(x).shape


def dot(x: Any, other: Any, *, name: str | None = None) -> Any:
    """The product over the last axis of x and the last but one of the other (its only one, of a vector)."""
    shape = shape_of(other)
    if not x.shape or not shape:
        return x * other
    if len(shape) > 2:
        raise ShapeError(
            f"dot: the second array must have at most two axes, got {tuple(x.shape)} and {tuple(shape)}; see matmul and einsum"
        )
    return product(x.ops, x, other, name)


def product(ops: Any, a: Any, b: Any, name: str | None = None) -> Any:
    """`a @ b`: of matrices over the last two axes; a vector is a row at the left and a column at the right.

    Args:
        ops: the backend of the one that is a reference.
        a, b: references or arrays.
        name: of the node.
    """
    first, second = shape_of(a), shape_of(b)
    if not first or not second:
        raise ShapeError(f"matmul: the arrays must have axes, got {first} and {second}; * multiplies by a scalar")
    if len(first) > 1 and len(second) > 1:
        return ops.matmul(a, b, name=name) if len(first) == len(second) else _batched(ops, a, b, first, second, name)
    if first[-1] != second[-2 if len(second) > 1 else 0]:
        raise ShapeError(f"matmul: the last axis of a must have the size of the last but one of b, got a: {first}, b: {second}")
    if len(first) == len(second) == 1:
        return ops.sum(ops.mul(a, b), name=name)
    if len(first) == 1:
        row = ops.broadcast_to(ops.reshape(a, (1, *first)), (*second[:-2], 1, *first))
        return ops.reshape(ops.matmul(row, b), (*second[:-2], second[-1]), name=name)
    column = ops.reshape(b, (*second, 1))
    rows = ops.reshape(a, (math.prod(first[:-1]), first[-1])) if len(first) > 2 else a
    return ops.reshape(ops.matmul(rows, column), first[:-1], name=name)


def _batched(ops: Any, a: Any, b: Any, first: tuple[int, ...], second: tuple[int, ...], name: str | None) -> Any:
    # Matrices with a different number of leading axes: those of the one with fewer are repeated.
    if len(first) > len(second):
        return ops.matmul(a, ops.broadcast_to(b, (*first[:-2], *second[-2:])), name=name)
    return ops.matmul(ops.broadcast_to(a, (*second[:-2], *first[-2:])), b, name=name)


def compare(x: Any, op: str, other: Any) -> Any:
    """A comparison of a reference, by the op of that name or by those that there are.

    Args:
        x: the reference.
        op: such as "less".
        other: what it is compared with.
    """
    ops, other = x.ops, like(x, other)
    known = getattr(ops, op, None)
    if known is not None:
        return known(x, other)
    if op == "not_equal":
        return 1 - ops.equal(x, other)
    return (ops.greater if op == "less" else ops.greater_equal)(other, x)


#: The methods that every reference has, by name.
METHODS: dict[str, Callable[..., Any]] = {
    **{name: _reduction(name) for name in ("sum", "mean", "prod", "argmax", "argmin")},
    **{name: _extreme(name) for name in ("max", "min")},
    **{name: _moment(name) for name in ("var", "std")},
    **{name: _running(name) for name in ("cumsum", "cumprod")},
    **{f.__name__: f for f in (reshape, transpose, swapaxes, squeeze, ravel, flatten, clip, copy, tolist, astype, dot)},
}
for _name, _function in METHODS.items():
    _function.__name__ = _name
#: Those that are, without arguments, the op of their name.
SAME = ("sum", "mean", "flatten")
