"""Functions along a line: integrals, interpolation, phases, polynomials, convolutions."""

from __future__ import annotations

import math
from typing import Any

from ...arguments import truth
from ...errors import OptionError, ShapeError, completing
from ...shapes import normalize_axis, stretching
from ..elementwise import number
from ..registry import array, composite, whole
from .elements import constant


def _part(ops: Any, x: Any, axis: int, first: int, last: int) -> Any:
    # The entries of an axis from the first up to the last, which may count from the end.
    n = x.shape[axis]
    stop = last if last >= 0 else max(n + last, first)
    starts = tuple(first if k == axis else 0 for k in range(len(x.shape)))
    return ops.slice(x, starts, tuple(stop if k == axis else d for k, d in enumerate(x.shape)))


def _areas(ops: Any, op: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, int]:
    # Of each pair of neighbours their mean times the distance between them.
    y = array(ops, y, f"{op}: y")
    with completing(op, y=y, dx=dx, axis=axis):
        k = normalize_axis(axis, len(y.shape))
        n = y.shape[k]
        low, high = _part(ops, y, k, 0, max(n - 1, 0)), _part(ops, y, k, min(n, 1), n)
        if x is None:
            width = number(dx, "dx")
        else:
            x = array(ops, x)
            if len(x.shape) > 1 and len(x.shape) != len(y.shape):
                raise ShapeError("x must have one axis, or those of y")
            width = ops.diff(x, 1, k if len(x.shape) > 1 else 0)
            if len(x.shape) == 1 and len(y.shape) - 1 - k:
                width = ops.reshape(width, (width.shape[0], *(1,) * (len(y.shape) - 1 - k)))
    sums = ops.add(low, high)
    product = ops.scale(sums, width) if isinstance(width, float) else ops.mul(width, sums)
    return ops.scale(product, 0.5), k


@composite
def trapezoid(ops: Any, y: Any, x: Any = None, dx: float = 1.0, axis: int = -1, *, name: str | None = None) -> Any:
    """The integral along an axis by the trapezoidal rule."""
    areas, k = _areas(ops, "trapezoid", y, x, dx, axis)
    return ops.reduce_sum(areas, k, name=name)


@composite
def cumulative_trapezoid(ops: Any, y: Any, x: Any = None, dx: float = 1.0, axis: int = -1, *, name: str | None = None) -> Any:
    """The integral up to each place but the first, by the trapezoidal rule."""
    areas, k = _areas(ops, "cumulative_trapezoid", y, x, dx, axis)
    return ops.cumsum(areas, k, name=name)


@composite
@stretching
def interp(ops: Any, x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, *, name: str | None = None) -> Any:
    """The lines through the points (xp, fp), at x."""
    x, xp, fp = array(ops, x, "interp: x"), array(ops, xp, "interp: xp"), array(ops, fp, "interp: fp")
    with completing("interp", x=x, xp=xp, fp=fp):
        n = xp.shape[0] if len(xp.shape) == 1 else 0
        if not n or tuple(fp.shape) != (n,):
            raise ShapeError("xp and fp must have one axis of one length above 0")
    ends = [ops.reshape(_part(ops, v, 0, at, at + 1), ()) for v, at in ((xp, 0), (fp, 0), (xp, n - 1), (fp, n - 1))]
    first, low, last, high = ends
    y = low
    if n > 1:
        found = ops.sub(ops.searchsorted(xp, x, "right"), 1)
        j = ops.minimum(ops.maximum(found, constant(ops, found, 0)), constant(ops, found, n - 2))
        slopes = ops.div(ops.diff(fp), ops.diff(xp))
        slope, x0, y0 = (ops.take(v, j, 0) for v in (slopes, xp, fp))
        y = ops.add(ops.mul(slope, ops.sub(x, x0)), y0)
        y = ops.where(ops.equal(x, last), high, y)
    y = ops.where(ops.less(x, first), low if left is None else _end(ops, fp, left), y)
    return ops.where(ops.greater(x, last), high if right is None else _end(ops, fp, right), y, name=name)


def _end(ops: Any, fp: Any, value: Any) -> Any:
    return constant(ops, fp, float(value)) if isinstance(value, int | float) else array(ops, value)


@composite
def unwrap(ops: Any, x: Any, discont: float | None = None, axis: int = -1, period: float = 2 * math.pi, *, name: str | None = None) -> Any:
    """Phases without jumps: each step between neighbours changed by whole periods to be the shortest."""
    x = array(ops, x, "unwrap: x")
    with completing("unwrap", x=x, discont=discont, axis=axis, period=period):
        k, whole_turn = normalize_axis(axis, len(x.shape)), number(period, "period")
        half = whole_turn / 2
        least = half if discont is None else max(half, number(discont, "discont"))
        if not whole_turn > 0:
            raise OptionError("period must be above 0")
    if x.shape[k] < 2:
        return ops.reshape(x, tuple(x.shape), name=name)
    d = ops.diff(x, 1, k)
    turned = ops.remainder(ops.shift(d, half), constant(ops, d, whole_turn))
    shifted = ops.shift(turned, -half)
    up = ops.logical_and(ops.equal(shifted, constant(ops, d, -half)), ops.greater(d, constant(ops, d, 0)))
    shifted = ops.where(up, constant(ops, d, half), shifted)
    correction = ops.where(ops.less(ops.abs(d), constant(ops, d, least)), constant(ops, d, 0.0), ops.sub(shifted, d))
    n = x.shape[k]
    return ops.concat([_part(ops, x, k, 0, 1), ops.add(_part(ops, x, k, 1, n), ops.cumsum(correction, k))], k, name=name)


@composite
def ediff1d(ops: Any, x: Any, to_end: Any = None, to_begin: Any = None, *, name: str | None = None) -> Any:
    """The differences of neighbours in row-major order, between what is put before and after them."""
    x = array(ops, x, "ediff1d: x")
    middle = ops.diff(ops.reshape(x, (-1,)) if 0 not in x.shape else ops.reshape(x, (0,)))
    parts = [v if v is None else array(ops, v) for v in (to_begin, middle, to_end)]
    return ops.concat([ops.flatten(v) if v.shape else ops.reshape(v, (1,)) for v in parts if v is not None], 0, name=name)


# Polynomials and convolutions -------------------------------------------------------------------------------------------


#: Of `vander`, which is a node for each power.
_MOST_POWERS = 10_000


@composite
def vander(ops: Any, x: Any, n: int | None = None, increasing: bool = False, *, name: str | None = None) -> Any:
    """The powers of each element along a last axis."""
    x = array(ops, x, "vander: x")
    with completing("vander", x=x, n=n):
        if not x.shape:
            raise ShapeError("x must have an axis")
        count = x.shape[-1] if n is None else whole("n", n)
        if not 0 <= count <= _MOST_POWERS:
            raise OptionError(f"n must be at least 0 and at most {_MOST_POWERS}")
        upwards = truth("increasing", increasing)
    if not count:
        return ops.zeros_like(x, shape=(*x.shape, 0), name=name)
    powers = [ops.ones_like(x)]
    for _ in range(count - 1):
        powers.append(ops.mul(powers[-1], x))
    return ops.stack(powers if upwards else powers[::-1], len(x.shape), name=name)


@composite
@stretching
def polyval(ops: Any, p: Any, x: Any, *, name: str | None = None) -> Any:
    """The polynomial with these coefficients, the highest power first, by Horner's rule."""
    p, x = array(ops, p, "polyval: p"), array(ops, x, "polyval: x")
    with completing("polyval", p=p, x=x):
        if len(p.shape) != 1:
            raise ShapeError("p must have one axis")
    coefficients = [ops.reshape(_part(ops, p, 0, k, k + 1), ()) for k in range(p.shape[0])]
    y = ops.zeros_like(x)
    for k, c in enumerate(coefficients):
        y = ops.add(ops.mul(y, x), c, name=name if k == len(coefficients) - 1 else None)
    return y


def _vectors(ops: Any, op: str, a: Any, v: Any, mode: str) -> tuple[Any, Any]:
    a, v = array(ops, a, f"{op}: a"), array(ops, v, f"{op}: v")
    with completing(op, a=a, v=v, mode=mode):
        if any(len(x.shape) != 1 or not x.shape[0] for x in (a, v)):
            raise ShapeError("a and v must have one axis that is not empty")
        if mode not in ("full", "same", "valid"):
            raise OptionError("mode must be 'full', 'same' or 'valid'")
    return a, v


def _slid(ops: Any, a: Any, v: Any, mode: str, name: str | None) -> Any:
    n, m = a.shape[0], v.shape[0]
    # Of the whole result, from the first overlap on, the part that a mode names.
    start = {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]
    count = {"full": n + m - 1, "same": n, "valid": n - m + 1}[mode]
    whole_line = ops.conv(ops.reshape(v, (1, 1, m)), None, ops.reshape(a, (1, 1, n)), padding=m - 1)
    return ops.slice(ops.reshape(whole_line, (n + m - 1,)), (start,), (start + count,), name=name)


@composite
def convolve(ops: Any, a: Any, v: Any, mode: str = "full", *, name: str | None = None) -> Any:
    """The convolution of two vectors."""
    a, v = _vectors(ops, "convolve", a, v, mode)
    a, v = (a, v) if a.shape[0] >= v.shape[0] else (v, a)
    return _slid(ops, a, ops.flip(v), mode, name)


@composite
def correlate(ops: Any, a: Any, v: Any, mode: str = "valid", *, name: str | None = None) -> Any:
    """The products of a vector with another that slides along it."""
    a, v = _vectors(ops, "correlate", a, v, mode)
    return ops.convolve(a, ops.flip(v), mode, name=name)
