"""Functions of an element."""

from __future__ import annotations

import math
from typing import Any

from ...dtypes import FLOATS, INTEGERS
from ...errors import DTypeError, OptionError, completing
from ...shapes import stretching
from ..elementwise import number
from ..registry import array, composite
from ..statistics.forms import form

#: The largest finite number of each dtype.
_LARGEST = {"float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}


def constant(ops: Any, x: Any, value: Any) -> Any:
    """A plain number as an array beside x, in x's dtype; a fraction beside integers in the program's float dtype."""
    dtype = str(x.dtype)
    whole = dtype in INTEGERS and isinstance(value, int)
    shape = tuple(x.shape) if getattr(ops, "strict_shapes", False) else ()
    return ops._full(shape=shape, value=value if whole else float(value), dtype=dtype if whole or dtype in FLOATS else None)


def times(ops: Any, x: Any, factor: Any) -> Any:
    """x times a plain number or an array; times 1 it is x."""
    if not isinstance(factor, int | float):
        return ops.mul(x, factor)
    if factor == 1:
        return x
    return ops.scale(x, float(factor)) if str(x.dtype) in FLOATS else ops.mul(x, constant(ops, x, factor))


def _same(ops: Any, x: Any, name: str | None) -> Any:
    return ops.reshape(x, tuple(x.shape), name=name)


@composite
def nan_to_num(
    ops: Any, x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None, *, name: str | None = None
) -> Any:
    """x with finite numbers in place of NaN and infinities."""
    x = array(ops, x, "nan_to_num: x")
    with completing("nan_to_num", x=x, nan=nan, posinf=posinf, neginf=neginf):
        largest = _LARGEST.get(str(x.dtype), 0.0)
        values = [number(v, what) for v, what in ((nan, "nan"), (largest if posinf is None else posinf, "posinf"),
                                                  (-largest if neginf is None else neginf, "neginf"))]  # fmt: skip
        if str(x.dtype) in INTEGERS:
            return _same(ops, x, name)
        y = ops.where(ops.equal(x, constant(ops, x, -math.inf)), constant(ops, x, values[2]), x)
        y = ops.where(ops.equal(x, constant(ops, x, math.inf)), constant(ops, x, values[1]), y)
        return ops.where(ops.isnan(x), constant(ops, x, values[0]), y, name=name)


@composite
def lerp(ops: Any, a: Any, b: Any, weight: Any, *, name: str | None = None) -> Any:
    """The number at this part of the way from a to b."""
    a, b = array(ops, a, "lerp: a"), array(ops, b, "lerp: b")
    return ops.add(a, times(ops, ops.sub(b, a), array(ops, weight) if not isinstance(weight, int | float) else weight), name=name)


@composite
def addcmul(ops: Any, x: Any, a: Any, b: Any, value: float = 1.0, *, name: str | None = None) -> Any:
    """x + value·a·b."""
    x, a, b = array(ops, x, "addcmul: x"), array(ops, a, "addcmul: a"), array(ops, b, "addcmul: b")
    number(value, "value")
    return ops.add(x, ops.mul(times(ops, a, value), b), name=name)


@composite
def addcdiv(ops: Any, x: Any, a: Any, b: Any, value: float = 1.0, *, name: str | None = None) -> Any:
    """x + value·a/b."""
    x, a, b = array(ops, x, "addcdiv: x"), array(ops, a, "addcdiv: a"), array(ops, b, "addcdiv: b")
    number(value, "value")
    return ops.add(x, ops.div(times(ops, a, value), b), name=name)


def _without_nan(ops: Any, op: str, a: Any, b: Any, name: str | None) -> Any:
    a, b = array(ops, a, f"f{op[:3]}: a"), array(ops, b, f"f{op[:3]}: b")
    best = getattr(ops, op)(a, b)
    if str(best.dtype) in INTEGERS:
        return _same(ops, best, name)
    return ops.where(ops.isnan(a), b, ops.where(ops.isnan(b), a, best), name=name)


@composite
def fmax(ops: Any, a: Any, b: Any, *, name: str | None = None) -> Any:
    """The greater of two; of a number and NaN the number."""
    return _without_nan(ops, "maximum", a, b, name)


@composite
def fmin(ops: Any, a: Any, b: Any, *, name: str | None = None) -> Any:
    """The lesser of two; of a number and NaN the number."""
    return _without_nan(ops, "minimum", a, b, name)


@composite
def heaviside(ops: Any, x: Any, at_zero: Any, *, name: str | None = None) -> Any:
    """0 below 0, 1 above, at_zero at 0."""
    x, at_zero = array(ops, x, "heaviside: x"), array(ops, at_zero, "heaviside: at_zero")
    zero = constant(ops, x, 0)
    dtype = str(x.dtype) if str(x.dtype) in FLOATS else str(at_zero.dtype)
    if dtype not in FLOATS:
        dtype = str(constant(ops, x, 0.0).dtype)
    step = ops.astype(ops.greater(x, zero), dtype)
    return ops.where(ops.isnan(x), x, ops.where(ops.equal(x, zero), at_zero, step), name=name)


@composite
def sinc(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """sin πx / (πx), and 1 at 0."""
    t = ops.scale(array(ops, x, "sinc: x"), math.pi)
    # Near 0 the quotient's derivatives would cancel: there it is its series. A branch that is not taken gets a harmless argument.
    one = constant(ops, t, 1.0)
    near = ops.less(ops.abs(t), constant(ops, t, 0.1))
    far = ops.where(near, one, t)
    square = ops.square(ops.where(near, t, constant(ops, t, 0.0)))
    series = None
    for c in (1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1.0):
        series = constant(ops, t, c) if series is None else ops.add(ops.mul(series, square), constant(ops, t, c))
    return ops.where(near, series, ops.div(ops.sin(far), far), name=name)


@composite
def frac(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """What is left of x behind the point, with x's sign."""
    x = array(ops, x, "frac: x")
    if str(x.dtype) in INTEGERS:
        raise DTypeError(f"frac: x must be floats, got {x.dtype}")
    return ops.sub(x, ops.trunc(x), name=name)


@composite
def deg2rad(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """Degrees as radians."""
    return ops.scale(array(ops, x, "deg2rad: x"), math.pi / 180.0, name=name)


@composite
def rad2deg(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """Radians as degrees."""
    return ops.scale(array(ops, x, "rad2deg: x"), 180.0 / math.pi, name=name)


# Activations ------------------------------------------------------------------------------------------------------------


@composite
def hardsigmoid(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """min(max(x/6 + 1/2, 0), 1)."""
    return ops.clamp(ops.shift(ops.scale(array(ops, x, "hardsigmoid: x"), 1 / 6), 0.5), 0.0, 1.0, name=name)


@composite
def hardshrink(ops: Any, x: Any, threshold: float = 0.5, *, name: str | None = None) -> Any:
    """x where |x| is above a threshold, 0 elsewhere."""
    x = array(ops, x, "hardshrink: x")
    small = ops.less_equal(ops.abs(x), constant(ops, x, number(threshold, "threshold")))
    return ops.where(small, constant(ops, x, 0), x, name=name)


@composite
def softshrink(ops: Any, x: Any, threshold: float = 0.5, *, name: str | None = None) -> Any:
    """x moved towards 0 by a threshold, and 0 where it would cross it."""
    x = array(ops, x, "softshrink: x")
    t = number(threshold, "threshold")
    small = ops.less_equal(ops.abs(x), constant(ops, x, t))
    return ops.where(small, constant(ops, x, 0), ops.sub(x, times(ops, ops.sign(x), t)), name=name)


@composite
def tanhshrink(ops: Any, x: Any, *, name: str | None = None) -> Any:
    """x − tanh x."""
    x = array(ops, x, "tanhshrink: x")
    return ops.sub(x, ops.tanh(x), name=name)


@composite
def threshold(ops: Any, x: Any, threshold: float, value: float, *, name: str | None = None) -> Any:
    """x where it is above a threshold, a value elsewhere."""
    x = array(ops, x, "threshold: x")
    number(threshold, "threshold"), number(value, "value")
    below = ops.less_equal(x, constant(ops, x, threshold))
    return ops.where(below, constant(ops, x, value), x, name=name)


@form("threshold is None and type(beta) is float and beta == 1.0")
@stretching
def softplus(ops: Any, x: Any, beta: float = 1.0, threshold: float | None = None, *, name: str | None = None) -> Any:
    """A rectifier whose corner is as sharp as it is said to be."""
    x = array(ops, x, "softplus: x")
    with completing("softplus", x=x, beta=beta, threshold=threshold):
        slope, limit = number(beta, "beta"), None if threshold is None else number(threshold, "threshold")
        if not slope or not math.isfinite(slope):
            raise OptionError("beta must be a finite number other than 0")
    if slope == 1:
        y = ops.apply("softplus", (x,), {}, name if limit is None else None)
        return y if limit is None else ops.where(ops.greater(x, limit), x, y, name=name)
    scaled = ops.scale(x, slope)
    y = ops.scale(ops.apply("softplus", (scaled,), {}), 1 / slope, name=name if limit is None else None)
    return y if limit is None else ops.where(ops.greater(scaled, limit), x, y, name=name)
