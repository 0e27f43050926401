"""NumPy's methods of an array, made of ops: what `x.sum(axis=0)`, `x.reshape(3, 2)` and kin are for a reference of any backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean._core.array import read_array
from tlean._core.refs import RefBase
from tlean.errors import DTypeError, OptionError

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


def _reduced(method: str, whole: str | None, along: str, x: Any, axis: Any, keepdims: bool, name: str | None) -> Any:
    # One op: the one over all elements where no axis is named, else the one along axes.
    if isinstance(axis, bool) or not (axis is None or isinstance(axis, tuple | list) or hasattr(axis, "__index__")):
        raise OptionError(f"{method}: axis must be None, an int or a tuple of ints, got {axis!r}")
    keepdims = False if keepdims is np._NoValue else bool(keepdims)
    if axis is None and whole is not None and not keepdims:
        return getattr(x.ops, whole)(x, name=name)
    return getattr(x.ops, along)(x, _axes(x, axis), keepdims, name=name)


def _sum(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    refuse("sum", unused)
    return _reduced("sum", "sum", "reduce_sum", x, axis, keepdims, name)


def mean(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    """The mean of all elements, or along an axis or several."""
    refuse("mean", unused)
    return _reduced("mean", "mean", "reduce_mean", x, axis, keepdims, name)


def _is_axis(value: Any) -> bool:
    return value is None or (isinstance(value, tuple | int | np.integer) and not isinstance(value, bool))


def _max(x: Any, *other: Any, axis: Any = None, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    return _extreme("max", x, other, axis, keepdims, name, unused)


def _min(x: Any, *other: Any, axis: Any = None, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    return _extreme("min", x, other, axis, keepdims, name, unused)


def _extreme(method: str, x: Any, other: Any, axis: Any, keepdims: bool, name: str | None, unused: dict[str, Any]) -> Any:
    # `x.max(b)` with an array or a float is elementwise, as `max(a, b)` is; with an int, a tuple, None or nothing it is the reduction.
    if "b" in unused:
        other += (unused.pop("b"),)
    refuse(method, unused)
    if len(other) > 1 or (other and axis is not None):
        raise OptionError(f"{method}: it takes one axis or one array, got {len(other) + (axis is not None)}")
    if other and not _is_axis(other[0]):
        return getattr(x.ops, method)(x, like(x, other[0]), name=name)
    axis = other[0] if other else axis
    if method == "max":
        return _reduced("max", None, "reduce_max", x, axis, keepdims, name)
    return x.ops.neg(_reduced("min", None, "reduce_max", x.ops.neg(x), axis, keepdims, None), name=name)


def argmax(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    """The index of the first maximum along an axis; without one, in row-major order of all elements."""
    refuse("argmax", unused)
    if keepdims is True:
        raise OptionError("argmax: keepdims must be left at its default, got keepdims=True")
    return x.ops.argmax(x.ops.flatten(x), 0, name=name) if axis is None else x.ops.argmax(x, axis, name=name)


def argmin(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    """The index of the first minimum along an axis; without one, in row-major order of all elements."""
    return argmax(x.ops.neg(x), axis, keepdims=keepdims, name=name, **unused)


def cumsum(x: Any, axis: Any = None, *, name: str | None = None, **unused: Any) -> Any:
    """The running sum along an axis; without one, of all elements in row-major order."""
    refuse("cumsum", unused)
    return x.ops.cumsum(x.ops.flatten(x), 0, name=name) if axis is None else x.ops.cumsum(x, axis, name=name)


def var(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    """The mean of the squared distances from the mean, over n − ddof."""
    ddof = unused.pop("correction", ddof)
    unused.pop("mean", None)
    refuse("var", unused)
    axes = _axes(x, axis)
    center = x.ops.broadcast_to(mean(x, axes, keepdims=True), tuple(x.shape))
    squares = x.ops.square(x.ops.sub(x, center))
    if not ddof:
        return mean(squares, axes, keepdims=keepdims, name=name)
    n = math.prod(x.shape[k] for k in axes) - ddof
    return x.ops.scale(_sum(squares, axes, keepdims=keepdims), 1.0 / n if n > 0 else math.nan, name=name)


def std(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
    """The square root of the variance."""
    return x.ops.sqrt(var(x, axis, ddof=ddof, keepdims=keepdims, **unused), name=name)


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
        return dot_along(x, other, -2, name)
    return x.ops.matmul(x, other, name=name)


def dot_along(a: Any, b: Any, axis: int, name: str | None = None) -> Any:
    """The sum of products over the last axis of a and this one of b.

    Args:
        a, b: references or arrays, one of them a reference.
        axis: of b.
        name: of the node.
    """
    ops = (a if isinstance(a, RefBase) else b).ops
    if not shape_of(a) or not shape_of(b):
        return ops.mul(a, b, name=name)
    return ops.tensordot(a, b, ((-1,), (axis,)), name=name)


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
    "sum": _sum,
    "max": _max,
    "min": _min,
    **{f.__name__: f for f in (mean, argmax, argmin, cumsum, var, std)},
    **{f.__name__: f for f in (reshape, transpose, ravel, flatten, clip, copy, tolist, astype, dot)},
}
for _name, _function in METHODS.items():
    _function.__name__ = _name
#: Those that are, without arguments, the op of their name.
SAME = ("sum", "mean", "flatten")
