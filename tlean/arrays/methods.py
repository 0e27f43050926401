"""NumPy's methods of an array, made of ops: what `x.sum(axis=0)`, `x.reshape(3, 2)` and kin are for a reference of any backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean._core.array import read_array
from tlean._core.refs import RefBase
from tlean.dtypes import FLOATS, INTEGERS
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


#: What changes nothing beside the elements that a reduction keeps.
_NEUTRAL: dict[str, Any] = {"sum": 0, "mean": 0, "prod": 1, "any": False, "all": True}


def _of_part(method: str, x: Any, axis: Any, keepdims: Any, options: Any) -> tuple[Any, Callable[[Any], Any]]:
    # NumPy's options `dtype`, `where` and `initial` of a reduction: what to reduce in x's place, and what to do with the result.
    dtype, where, initial = options.pop("dtype", None), options.pop("where", True), options.pop("initial", np._NoValue)
    if dtype is not None:
        x = x.astype(dtype)
    where, initial = True if where is np._NoValue else where, None if initial is np._NoValue else initial
    count = None
    if where is not True:
        neutral = _NEUTRAL.get(method, initial)
        if neutral is None:
            raise OptionError(f"{method}: where needs an initial value, which counts where no element does, got none")
        if method == "mean":
            count = x.ops.broadcast_to(x.ops.astype(where, "int64"), tuple(x.shape)).sum(axis=axis, keepdims=keepdims)
        x = x.ops.where(where, x, neutral)

    def finished(y: Any) -> Any:
        if count is not None:
            return y / count
        if initial is None:
            return y
        return y + initial if method == "sum" else y * initial if method == "prod" else getattr(y.ops, method)(y, like(y, initial))

    return x, finished


def _checked(method: str, axis: Any, keepdims: Any, unused: dict[str, Any]) -> tuple[Any, bool]:
    # The axis and keepdims of a reduction, as an op takes them.
    refuse(method, unused)
    if isinstance(axis, bool) or not (axis is None or isinstance(axis, tuple | list) or hasattr(axis, "__index__")):
        raise OptionError(f"{method}: axis must be None, an int or a tuple of ints, got {axis!r}")
    return tuple(axis) if isinstance(axis, list) else axis, False if keepdims is np._NoValue else bool(keepdims)


def _reduction(method: str) -> Callable[..., Any]:
    # The method that is the op of its name over axes, all of them by default.
    def run(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
        if unused:
            return of_part(x, axis, keepdims, name, unused)
        return getattr(x.ops, method)(x, *_checked(method, axis, keepdims, unused), name=name)

    def of_part(x: Any, axis: Any, keepdims: Any, name: Any, unused: dict[str, Any]) -> Any:
        if method in ("argmax", "argmin"):
            return getattr(x.ops, method)(x, *_checked(method, axis, keepdims, unused), name=name)
        options = {k: unused.pop(k) for k in ("dtype", "where", "initial") if k in unused}
        axis, keepdims = _checked(method, axis, keepdims, unused)
        # A mean of a part is a sum over a count.
        reduce = "sum" if method == "mean" and not any(options.get("where", True) is w for w in (True, np._NoValue)) else method
        x, finished = _of_part(method, x, axis, keepdims, options)
        return finished(getattr(x.ops, reduce)(x, axis, keepdims, name=name))

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
        axis = other[0] if other else axis
        options = {k: unused.pop(k) for k in ("where", "initial") if k in unused}
        axis, keepdims = _checked(method, axis, keepdims, unused)
        x, finished = _of_part(method, x, axis, keepdims, options) if options else (x, None)
        y = getattr(x.ops, method)(x, None, axis, keepdims, name=name)
        return y if finished is None else finished(y)

    run.__doc__ = f"`{method}` of all elements, or along an axis or several; with an array or a float, of each element and that."
    return run


def _is_axis(value: Any) -> bool:
    return value is None or (isinstance(value, tuple | int | np.integer) and not isinstance(value, bool))


def _running(method: str) -> Callable[..., Any]:
    # The method that is the op of its name along an axis, of all elements in row-major order by default.
    def run(x: Any, axis: Any = None, *, name: str | None = None, **unused: Any) -> Any:
        if unused.get("dtype") is not None:
            x = x.astype(unused.pop("dtype"))
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
    """The same elements in row-major order under another shape: `x.reshape(3, 2)` or `x.reshape((3, 2))`; in column-major order for "F"."""
    unused.pop("copy", None)
    if unused.get("order") == "F":
        sizes = sizes if shape is None else (shape,)
        shape = sizes[0] if len(sizes) == 1 else sizes
        shape = (shape,) if hasattr(shape, "__index__") else tuple(shape)
        return transposed(x.ops.reshape(transposed(x), shape[::-1]), name)
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
    """All elements in row-major order, or column-major for "F", as one axis."""
    x = transposed(x) if order == "F" else x
    refuse("ravel", {"order": None if order == "F" else order})
    return x if len(x.shape) == 1 else x.ops.flatten(x, name=name)


def flatten(x: Any, order: str = "C", *, name: str | None = None) -> Any:
    """All elements in row-major order, or column-major for "F", as one axis."""
    x = transposed(x) if order == "F" else x
    refuse("flatten", {"order": None if order == "F" else order})
    return x.ops.flatten(x, name=name)


def clip(x: Any, min: Any = None, max: Any = None, *, name: str | None = None, **bounds: Any) -> Any:
    """The elements, moved into [min, max]; a bound is a number, an array or None."""
    low, high = bounds.pop("a_min", min), bounds.pop("a_max", max)
    refuse("clip", bounds)
    plain = [b is None or isinstance(b, int | float | np.number) for b in (low, high)]
    if x.dtype in INTEGERS and not any(isinstance(b, float | np.floating) for b in (low, high)):
        for op, bound in (("max", low), ("min", high)):
            x = x if bound is None else getattr(x.ops, op)(x, like(x, bound))
        return x
    if all(plain):
        return x.ops.clamp(x, -math.inf if low is None else float(low), math.inf if high is None else float(high), name=name)
    for op, bound in (("max", low), ("min", high)):
        if bound is not None:
            x = getattr(x.ops, op)(x, like(x, bound))
    return x


def _round(x: Any, decimals: int = 0, *, name: str | None = None, **unused: Any) -> Any:
    # To a whole number of the last place, as NumPy does it.
    refuse("round", unused)
    ops = x.ops
    if not decimals:
        return ops.round(x, name=name)
    if x.dtype in ("int64", "int32"):
        return _whole_round(x, decimals)
    places = 10.0 ** abs(decimals)
    if decimals < 0:
        return ops.scale(ops.round(ops.div(x, like(x, places))), places, name=name)
    return ops.div(ops.round(ops.scale(x, places)), like(x, places), name=name)


def _whole_round(x: Any, decimals: int) -> Any:
    # Integers to multiples of a power of ten, halves to the even one.
    unit = 10 ** max(-decimals, 0)
    if unit == 1 or unit > np.iinfo(str(x.dtype)).max:
        return x if unit == 1 else x * 0
    below = x // unit
    rest = x - below * unit
    up = (rest > unit - rest) | ((rest == unit - rest) & (below % 2 == 1))
    return (below + up) * unit


def like(x: Any, value: Any) -> Any:
    """A value as an array of x's shape where it is a plain number; beside integers an integer is one."""
    if x.dtype in INTEGERS and isinstance(value, int | np.integer):
        return _beside_integers(x, value)
    if isinstance(value, int | float | np.number):
        return x.ops.broadcast_to(x.ops.const(float(value)), tuple(x.shape))
    return value


def copy(x: Any, order: str = "C") -> Any:
    """The array itself: values never change."""
    return x


def conj(x: Any) -> Any:
    """The array itself: it is real."""
    return x


def nonzero(x: Any) -> Any:
    """The indices of the elements that are not 0. Raises: NodeError while the program is recorded."""
    return np.nonzero(np.asarray(x))


def compress(x: Any, condition: Any, axis: int | None = None, **unused: Any) -> Any:
    """The entries of an axis where a constant condition holds."""
    return np.compress(condition, x, axis, **unused)


def choose(x: Any, choices: Any, **options: Any) -> Any:
    """Of each element's place in several arrays, the element of the one that it names."""
    return np.choose(x, choices, **options)


def tolist(x: Any) -> Any:
    """The elements as nested lists of Python numbers. Raises: NodeError while the program is recorded."""
    return np.asarray(x).tolist()


def tobytes(x: Any, order: str = "C") -> bytes:
    """The elements' bytes, in row-major order. Raises: NodeError while the program is recorded."""
    refuse("tobytes", {"order": order})
    return np.asarray(x).tobytes()


def astype(x: Any, dtype: Any, *, copy: bool = True, name: str | None = None) -> Any:
    """The elements in another dtype. Values never change, so there is no need of a copy."""
    return x.ops.astype(x, dtype, name=name)


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


def _beside_integers(x: Any, value: Any) -> Any:
    # An integer as an array of x's dtype, and of x's shape where shapes must be equal.
    dtype = "int64" if x.dtype == "bool" else str(x.dtype)
    if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise DTypeError(f"an integer beside {dtype} must fit {dtype}, got {value}")
    return np.full(x.shape if getattr(x.ops, "strict_shapes", False) else (), value, dtype)


def beside(x: Any, value: Any) -> Any:
    """A value that x is compared with: a plain number as a number of x's float dtype, or of the program's where x holds no floats; an
    integer beside integers as it is.

    Args:
        x: a reference.
        value: a number, or anything else, which is returned as it is.

    Raises: OptionError for an integer that no float holds.
    """
    if not isinstance(value, int | float | np.number | np.bool_):
        return value
    if x.dtype in INTEGERS and isinstance(value, int | np.integer):
        return _beside_integers(x, value)
    try:
        number = float(value)
    except OverflowError:
        raise OptionError("a number beside an array must be one that a float holds, got a longer integer") from None
    full = x.ops._full(shape=(), value=number, dtype=str(x.dtype) if x.dtype in FLOATS else None)
    return x.ops.broadcast_to(full, tuple(x.shape)) if getattr(x.ops, "strict_shapes", False) else full


def compare(x: Any, op: str, other: Any) -> Any:
    """A comparison of a reference, by the op of that name.

    Args:
        x: the reference.
        op: such as "less".
        other: what it is compared with.
    """
    return getattr(x.ops, op)(x, beside(x, other))


def bitwise(x: Any, what: str, *operands: Any) -> Any:
    """`&`, `|`, `^` and `~` of a reference: logic where all operands are Booleans, else the op on bits.

    Args:
        x: the reference.
        what: "and", "or", "xor" or "not".
        operands: the reference among them.

    Raises: DTypeError for floats.
    """
    if all(_is_boolean(y) for y in operands):
        # Where shapes must be equal a plain Boolean is an array of x's shape.
        strict = getattr(x.ops, "strict_shapes", False)
        return getattr(x.ops, f"logical_{what}")(*(np.full(x.shape if strict else (), y) if isinstance(y, bool) else y for y in operands))
    return getattr(x.ops, f"bitwise_{what}")(*operands)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) == "bool"


def _truth(name: str) -> Callable[..., Any]:
    # `x.any()` and `x.all()`.
    def method(x: Any, axis: Any = None, *, keepdims: bool = False, name: str | None = None, **unused: Any) -> Any:
        if "where" in unused:
            x, _ = _of_part(method.__name__, x, axis, keepdims, {"where": unused.pop("where")})
        refuse(method.__name__, unused)
        return getattr(x.ops, method.__name__)(x, axis, keepdims is not np._NoValue and bool(keepdims), name=name)

    method.__name__ = name
    return method


#: The methods that every reference has, by name.
METHODS: dict[str, Callable[..., Any]] = {
    **{name: _reduction(name) for name in ("sum", "mean", "prod", "argmax", "argmin")},
    **{name: _extreme(name) for name in ("max", "min")},
    **{name: _truth(name) for name in ("any", "all")},
    **{name: _moment(name) for name in ("var", "std")},
    **{name: _running(name) for name in ("cumsum", "cumprod")},
    "round": _round,
    **{f.__name__: f for f in (reshape, transpose, ravel, flatten, clip, copy, tolist, tobytes, astype, dot)},
    **{f.__name__: f for f in (nonzero, compress, choose, conj)},
    "conjugate": conj,
}
for _name, _function in METHODS.items():
    _function.__name__ = _name
#: Those that are, without arguments, the op of their name.
SAME = ("sum", "mean", "flatten")
#: Its attributes that are made of ops, or known of every value.
PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "real": lambda x: x,
    "imag": lambda x: x.ops.zeros_like(x),
    "flat": ravel,
    "itemsize": lambda x: np.dtype(str(x.dtype)).itemsize,
    "nbytes": lambda x: x.size * np.dtype(str(x.dtype)).itemsize,
}
