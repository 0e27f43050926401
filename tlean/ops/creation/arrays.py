"""Creation and conversion as NumPy has them, each by one record."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from ...arguments import is_reference
from ...dtypes import INTEGERS, dtype_option
from ...errors import DTypeError, OptionError, ShapeError
from ...shapes import as_shape, normalize_axis
from ..layout import conversion_op
from ..registry import composite, whole


def _ref(ops: Any, x: Any) -> Any:
    # An argument as a reference, in its own dtype.
    if x is None:
        raise ShapeError("an array is required, got None")
    return x if is_reference(x) else ops._own_constant(x)


def _plain(value: Any, what: str) -> Any:
    # A plain number: an int or a float of Python's.
    if hasattr(value, "ops"):
        raise OptionError(f"{what} must be a plain number, since it decides what is made, got {value!r}")
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if not isinstance(value, Real) or not (isinstance(value, Integral) or math.isfinite(value)):
        raise OptionError(f"{what} must be a finite plain number, got {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)


def _as(ops: Any, x: Any, dtype: str | None, name: str | None = None) -> Any:
    wanted = ops.dtype if dtype is None else dtype
    return x if x.dtype == wanted else ops.apply(conversion_op(wanted), (x,), {}, name)


@composite
def astype(ops: Any, x: Any, dtype: Any, name: str | None = None) -> Any:
    """The elements in another dtype."""
    if dtype is None:
        raise DTypeError("dtype must be a dtype, got None")
    return _as(ops, _ref(ops, x), dtype_option(dtype), name)


@composite
def zeros(ops: Any, shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros."""
    return ops.apply("_full", (), {"shape": as_shape(shape), "value": 0, "dtype": dtype_option(dtype)}, name)


@composite
def ones(ops: Any, shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones."""
    return ops.apply("_full", (), {"shape": as_shape(shape), "value": 1, "dtype": dtype_option(dtype)}, name)


@composite
def full(ops: Any, shape: Any, fill_value: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A number, or an array that broadcasts to the shape, everywhere."""
    return _filled(ops, as_shape(shape), fill_value, dtype_option(dtype), dtype is None, name)


def _filled(ops: Any, shape: Any, value: Any, dtype: str | None, by_value: bool, name: str | None) -> Any:
    if hasattr(value, "item") and type(value).__module__ == "numpy" and not hasattr(value, "__setitem__"):
        value = value.item()
    if isinstance(value, Real):
        kind = "bool" if isinstance(value, bool) else "int64" if isinstance(value, Integral) else None
        return ops.apply("_full", (), {"shape": shape, "value": value, "dtype": kind if by_value else dtype}, name)
    x = _ref(ops, value)
    return ops.broadcast_to(x if by_value else _as(ops, x, dtype), shape, name=name)


@composite
def eye(ops: Any, n: Any, m: Any = None, k: Any = 0, dtype: Any = None, name: str | None = None) -> Any:
    """Ones on a diagonal."""
    rows, offset = whole("n", n), whole("k", k)
    columns = rows if m is None else whole("m", m)
    if rows < 0 or columns < 0:
        raise OptionError(f"n and m must be at least 0, got {rows} and {columns}")
    return ops.apply("_eye", (), {"rows": rows, "columns": columns, "offset": offset, "dtype": dtype_option(dtype)}, name)


@composite
def arange(ops: Any, start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, name: str | None = None) -> Any:
    """The numbers from start up to stop, and without it, at a distance of step."""
    start, stop = (0, start) if stop is None else (start, stop)
    start, stop, step = _plain(start, "start"), _plain(stop, "stop"), _plain(step, "step")
    if step == 0:
        raise OptionError("step must not be 0")
    exact = not any(isinstance(v, float) for v in (start, stop, step))
    kind = "int64" if dtype is None and exact else dtype_option(dtype)
    if kind == "bool":
        raise DTypeError("dtype must be one of numbers, got bool")
    length = max(0, -((start - stop) // step) if exact else math.ceil((stop - start) / step))
    # What NumPy adds: the distance of the first two elements, each as the dtype holds it.
    first, second = (int(start), int(start + step)) if kind in INTEGERS else (start, start + step)
    return ops.apply("_iota", (), {"length": length, "start": first, "step": second - first, "dtype": kind}, name)


@composite
def linspace(ops: Any, start: Any, stop: Any, num: Any = 50, endpoint: Any = True, dtype: Any = None, name: str | None = None) -> Any:
    """Numbers at equal distances between two, both included."""
    kind = dtype_option(dtype)
    if kind in INTEGERS:
        raise DTypeError(f"dtype must be a float dtype, got {kind}")
    start, stop, num = float(_plain(start, "start")), float(_plain(stop, "stop")), whole("num", num)
    if num < 0:
        raise OptionError(f"num must be at least 0, got {num}")
    parts = num - 1 if endpoint else num
    options = {"length": num, "start": start, "step": (stop - start) / parts if parts > 0 else 0.0, "dtype": kind}
    return ops.apply("_iota", (), options | ({"last": stop} if endpoint and num > 1 else {}), name)


def _like(ops: Any, x: Any, value: Any, dtype: Any, shape: Any, name: str | None) -> Any:
    if not isinstance(getattr(x, "shape", None), tuple) or not hasattr(x, "dtype"):
        x = _ref(ops, x)
    wanted = dtype_option(x.dtype if dtype is None else dtype)
    return _filled(ops, tuple(x.shape) if shape is None else as_shape(shape), value, wanted, False, name)


@composite
def zeros_like(ops: Any, x: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """Zeros of an array's shape and dtype."""
    return _like(ops, x, 0, dtype, shape, name)


@composite
def ones_like(ops: Any, x: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """Ones of an array's shape and dtype."""
    return _like(ops, x, 1, dtype, shape, name)


@composite
def full_like(ops: Any, x: Any, fill_value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A number, or an array that broadcasts, everywhere in an array's shape and dtype."""
    return _like(ops, x, fill_value, dtype, shape, name)


def _ndim(x: Any) -> int:
    # The number of axes of an array or of nested lists.
    if isinstance(getattr(x, "shape", None), tuple):
        return len(x.shape)
    return 1 + (_ndim(x[0]) if len(x) else 0) if isinstance(x, list | tuple) else 0


@composite
def one_hot(ops: Any, labels: Any, num_classes: Any, axis: Any = -1, dtype: Any = None, name: str | None = None) -> Any:
    """1 at each label, 0 elsewhere, along a new axis."""
    kind, depth = dtype_option(dtype), whole("num_classes", num_classes)
    if depth < 0:
        raise OptionError(f"num_classes must be at least 0, got {depth}")
    n = _ndim(labels)
    at = normalize_axis(axis, n + 1)
    order = (*range(at), n, *range(at, n))
    moved, cast = at != n, kind in INTEGERS
    own = {} if cast or kind is None else {"dtype": kind}
    y = ops.apply("_one_hot", (labels,), {"depth": depth, **own}, None if moved or cast else name)
    y = _as(ops, y, kind, None if moved else name) if cast else y
    return ops.permute(y, order, name=name) if moved else y
