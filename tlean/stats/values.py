"""What the distributions share: arguments of one float dtype, and values outside of the support."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tlean.functions as F

from ..arguments import is_reference
from ..arguments.literals import FloatName
from ..dispatch import Values, backend_of
from ..errors import DTypeError, ShapeError

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def floats(*values: Any) -> list[Any]:
    """The values as arrays of one float dtype: float64 where one of them is, else float32 where one is, else the program's.

    Args:
        values: numbers, arrays, references. Plain numbers take the dtype of the others; integers and Booleans become floats.

    Raises: DTypeError for what is no number.
    """
    held = [v if is_reference(v) or hasattr(v, "dtype") or not isinstance(v, list | tuple) else np.asarray(v) for v in values]
    types = {str(v.dtype) for v in held if hasattr(v, "dtype")}
    dtype = next((d for d in ("float64", "float32") if d in types), None)
    if dtype is None:
        ops = backend_of(*held)
        dtype = "float32" if isinstance(ops, Values) else ops.dtype
    return [_float(v, dtype) for v in held]


def float_of(x: Any) -> FloatName:
    """The dtype of an array of floats, by name.

    Args:
        x: the array.
    """
    return "float64" if str(x.dtype) == "float64" else "float32"


def joint(*values: Any) -> list[Any]:
    """`floats` of values that broadcast. Raises: ShapeError where they do not."""
    arrays = floats(*values)
    shapes = [tuple(v.shape) for v in arrays if v.shape]
    if any(s != shapes[0] for s in shapes):
        broadcast(*shapes)
    return arrays


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which these broadcast. Raises: ShapeError."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"a distribution's arguments must broadcast, got shapes {', '.join(map(str, shapes))}") from None


_KINDS = frozenset({"float32", "float64", "int64", "int32", "bool"})


def _float(value: Any, dtype: str) -> Any:
    if not hasattr(value, "dtype"):
        if not isinstance(value, bool | int | float):
            raise DTypeError(f"arguments must be numbers or arrays of them, got {type(value).__name__}")
        return F.full((), float(value), dtype=dtype)
    if not is_reference(value) and str(value.dtype) not in _KINDS:
        value = np.asarray(value)
        if value.dtype.kind not in "biuf":
            raise DTypeError(f"arguments must be numbers or arrays of them, got an array of {value.dtype}")
    return value if str(value.dtype) == dtype else F.astype(value, dtype)


def within(inside: Any, value: Any) -> Any:
    """A log density: the value where a condition holds, else -inf.

    Args:
        inside: Booleans.
        value: floats; those outside may be anything but NaN in their gradient, so compute them at a point of the support.
    """
    return F.where(inside, value, -math.inf)


def count(k: Any) -> Any:
    """Whether numbers are 0, 1, 2, …

    Args:
        k: floats.
    """
    return F.logical_and(F.greater_equal(k, 0.0), F.equal(k, F.floor(k)))


def spread(value: Any, *others: Any) -> Any:
    """The value in the shape to which it and the others broadcast.

    Args:
        value, others: arrays.
    """
    shape = broadcast(*(tuple(v.shape) for v in (value, *others)))
    return value if tuple(value.shape) == shape else F.broadcast_to(value, shape)


def log_share(share: Any, rest: Any) -> Any:
    """The logarithm of a probability, which keeps its digits near 1; -inf at 0, with a gradient of 0.

    Args:
        share: the probability.
        rest: 1 less it.
    """
    small = F.less(share, 0.5)
    low = F.where(F.logical_and(small, F.greater(share, 0.0)), share, 1.0)
    value = F.where(small, F.log(low), F.log1p(-F.where(small, 0.0, rest)))
    return F.where(F.equal(share, 0.0), -math.inf, value)


def gamma_entropy(a: Any) -> Any:
    """The entropy of gamma numbers of a shape, of scale 1: by Stirling's series for a large one, where its parts are large.

    Args:
        a: floats.
    """
    large = F.greater(a, 200.0)
    few, many = F.where(large, 1.0, a), F.where(large, a, 1e3)
    z = 1.0 / many
    series = 0.5 + HALF_LOG_2PI + 0.5 * F.log(many) - z * (1.0 / 3.0 + z * (1.0 / 12.0 + z * (1.0 / 90.0 - z / 120.0)))
    return F.where(large, series, few + F.lgamma(few) + (1.0 - few) * F.digamma(few))


#: What a parameter must be: above the first number, or that itself where the third says so, and at most the second.
POSITIVE, AT_LEAST_0, SHARE, KNOWN = (0.0, math.inf, False), (0.0, math.inf, True), (0.0, 1.0, True), (-math.inf, math.inf, True)


def _fits(v: Any, low: float, high: float, itself: bool) -> Any:
    # None where the parameter is a number that is as it must be.
    if isinstance(v, bool | int | float):
        return None if (low <= v if itself else low < v) and v <= high else F.full((), False, dtype="bool")
    if isinstance(v, list | tuple):
        v = np.asarray(v)
    if low == -math.inf:
        return F.logical_not(F.isnan(v)) if "float" in str(v.dtype) else None
    above = F.greater_equal(v, low) if itself else F.greater(v, low)
    return above if high == math.inf else F.logical_and(above, F.less_equal(v, high))


#: Arguments of random numbers that are none of the distribution's.
_OTHERS = ("shape", "seed", "dtype")


def undefined(fits: Any, value: Any, arguments: list[Any]) -> Any:
    """NaN for where a parameter does not fit, made of the arguments that may have a gradient, so that it is NaN there and 0 elsewhere.

    Args:
        fits: Booleans.
        value: of whose dtype it is.
        arguments: numbers, arrays, references.
    """
    # Of each only the entries that count are read: no cotangent of 0 meets a NaN on its way.
    nan: Any = math.nan
    for v in arguments:
        if is_reference(v) and str(v.dtype) in ("float32", "float64"):
            nan = nan * F.astype(F.where(fits, 1.0, v), str(value.dtype))
    return nan


def needs(**bounds: tuple[float, float, bool]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare what the parameters of a function must be: where one is not, the value is NaN, as SciPy's, and so is its gradient.

    Args:
        bounds: by parameter `POSITIVE`, `AT_LEAST_0`, `SHARE` or `KNOWN`.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(f).parameters)

        @functools.wraps(f)
        def checked(*args: Any, **named: Any) -> Any:
            value = f(*args, **named)
            given = dict([*zip(names, args, strict=False), *named.items()])
            each = [fits for name, v in given.items() if name in bounds and (fits := _fits(v, *bounds[name])) is not None]
            if not each:
                return value
            fits = functools.reduce(F.logical_and, each)
            return F.where(fits, value, undefined(fits, value, [v for name, v in given.items() if name not in _OTHERS]))

        return checked

    return decorate
