"""What has an entry for each element of an axis, made of those before it: products, maxima, logarithms of sums, differences."""

from __future__ import annotations

from typing import Any

from ...arguments import truth
from ...dtypes import ANY
from ...errors import OptionError, ShapeError, complete, describe
from ...shapes import Shape, normalize_axis, size
from ..elementwise import elementwise
from ..reduce import TOTAL, Running, cumsum_samples, in_lines, lines_of
from ..registry import Spec, array, composite, defop, no_gradient, no_tangent, whole
from ..samples import Arr, bad, good


def shifted(ops: Any, x: Any, axis: int, back: bool = False, fill: float = 0.0) -> Any:
    """The entries one place further along an axis (back: nearer to its start), `fill` where there is none."""
    n = x.shape[axis]
    if not n:
        return x
    first, last = (1, n) if back else (0, n - 1)
    starts = tuple(first if k == axis else 0 for k in range(len(x.shape)))
    stops = tuple(last if k == axis else d for k, d in enumerate(x.shape))
    widths = tuple(((0, 1) if back else (1, 0)) if k == axis else (0, 0) for k in range(len(x.shape)))
    return ops.pad(ops.slice(x, starts=starts, stops=stops), widths=widths, value=fill)


# Linear recurrences --------------------------------------------------------------------------------------------------------
# The derivatives of running products are recurrences, and so are theirs: right wherever elements are 0, to any order.


def _recurrence_samples() -> list[Any]:
    return [
        good((5,), (5,), axis=0), good((3, 4), (3, 4), axis=0, lagged=True), good((3, 4), (3, 4), axis=1, reverse=True),
        good((2, 3, 4), (2, 3, 4), axis=1, lagged=True, reverse=True), good((0, 3), (0, 3), axis=0), good((2, 1), (2, 1), axis=1),
        good((2, 0), (2, 0), axis=1), good((5, 700), (5, 700), axis=0), bad("ShapeError", (3,), (4,), axis=0),
    ]  # fmt: skip


@defop("_recurrence", kernel="recurrence", samples=_recurrence_samples)
class Recurrence:
    """A linear recurrence along an axis: y[j] = b[j] + a[j]·y[j − 1]; with a[j − 1] where it lags, and with j + 1 in reverse."""

    def options(a, b, *, axis, lagged=False, reverse=False):
        return {"axis": normalize_axis(axis, len(a)), "lagged": truth("lagged", lagged), "reverse": truth("reverse", reverse)}

    def shape(a, b, *, axis, lagged, reverse):
        if a != b:
            raise ShapeError("a and b must have one shape")
        return a

    def kernel_params(a, b, *, axis, lagged, reverse):  # ints = (outer, length, inner, reverse, lagged)
        return (*lines_of(a, axis), int(reverse), int(lagged)), ()

    def vjp(ops, g, y, a, b, *, axis, lagged, reverse):
        h = ops._recurrence(a, g, axis=axis, lagged=not lagged, reverse=not reverse)
        if lagged:
            return ops.mul(shifted(ops, h, axis, back=not reverse), y), h
        return ops.mul(h, shifted(ops, y, axis, back=reverse)), h

    def jvp(ops, t, y, a, b, *, axis, lagged, reverse):
        change = t[1]
        if t[0] is not None:
            term = shifted(ops, ops.mul(t[0], y), axis, back=reverse) if lagged else ops.mul(t[0], shifted(ops, y, axis, back=reverse))
            change = term if change is None else ops.add(change, term)
        return None if change is None else ops._recurrence(a, change, axis=axis, lagged=lagged, reverse=reverse)


# Running products ----------------------------------------------------------------------------------------------------------


def _product_vjp(ops: Any, g: Any, y: Any, x: Any, axis: int, exclusive: bool, reverse: bool) -> Any:
    # Of each element the product of those before it, times the sum over the results that it is in of g and of the elements after it.
    if exclusive:
        return ops.mul(y, shifted(ops, ops._recurrence(x, g, axis=axis, reverse=not reverse), axis, back=not reverse))
    before = ops._running_product(x, axis=axis, exclusive=True, reverse=reverse)
    return ops.mul(before, ops._recurrence(x, g, axis=axis, lagged=True, reverse=not reverse))


def _product_jvp(ops: Any, t: Any, y: Any, x: Any, axis: int, exclusive: bool, reverse: bool) -> Any:
    if exclusive:
        change = shifted(ops, ops.mul(t, y), axis, back=reverse)
    else:
        change = ops.mul(t, ops._running_product(x, axis=axis, exclusive=True, reverse=reverse))
    return ops._recurrence(x, change, axis=axis, lagged=exclusive, reverse=reverse)


_ZEROS = Arr((3, 4), "values", data=((2.0, 0.0, 3.0, -1.0), (0.0, 0.0, -1.0, 2.0), (1.5, -2.0, 0.5, 0.0)))


@defop("_running_product", kernel="running_product", samples=lambda: [
    good((4,), axis=0, exclusive=True), good((3, 4), axis=1, exclusive=True, reverse=True), good((2, 3, 4), axis=1, reverse=True),
    good(_ZEROS, axis=1, exclusive=True), good(_ZEROS, axis=1, reverse=True), good((0, 3), axis=0, exclusive=True),
    good((2, 1), axis=1, exclusive=True),
])  # fmt: skip
class RunningProduct:
    """Running product along an axis, from its end in reverse; without the element itself where it is exclusive."""

    def options(x, *, axis, exclusive=False, reverse=False):
        return {"axis": normalize_axis(axis, len(x)), "exclusive": truth("exclusive", exclusive), "reverse": truth("reverse", reverse)}

    def shape(x, *, axis, exclusive, reverse):
        return x

    def kernel_params(x, *, axis, exclusive, reverse):  # ints = (outer, length, inner, reverse, exclusive)
        return (*lines_of(x, axis), int(reverse), int(exclusive)), ()

    def vjp(ops, g, y, x, *, axis, exclusive, reverse):
        return (_product_vjp(ops, g, y, x, axis, exclusive, reverse),)

    def jvp(ops, t, y, x, *, axis, exclusive, reverse):
        return None if t[0] is None else _product_jvp(ops, t[0], y, x, axis, exclusive, reverse)


@defop("cumprod", kernel="running_product", integers=TOTAL, samples=lambda: [
    *cumsum_samples(), good(_ZEROS, axis=1), good(_ZEROS, axis=0),
])  # fmt: skip
class Cumprod(Running):
    """Running product along an axis: y[j] = x[0]·…·x[j]; where it is None, of all elements in row-major order."""

    def kernel_params(x, *, axis):  # ints = (outer, length, inner, reverse, exclusive)
        return (*lines_of(x, axis), 0, 0), ()

    def vjp(ops, g, y, x, *, axis):
        dx = _product_vjp(ops, g, y, in_lines(ops, x, axis), axis or 0, False, False)
        return (ops.reshape(dx, shape=x.shape) if axis is None else dx,)

    def jvp(ops, t, y, x, *, axis):
        return None if t[0] is None else _product_jvp(ops, in_lines(ops, t[0], axis), y, in_lines(ops, x, axis), axis or 0, False, False)


# Running maxima ------------------------------------------------------------------------------------------------------------


def _cummax_samples() -> list[Any]:
    return [
        good(Arr((5,), "distinct"), axis=0), good(Arr((3, 4), "distinct"), axis=0), good(Arr((3, 4), "distinct"), axis=-1),
        good(Arr((2, 3, 4), "distinct"), axis=1), good((0, 3), axis=0), good((2, 1), axis=1), good(Arr((2, 3), "distinct"), axis=None),
        good(Arr((5,), "values", data=(1.0, 2.0, 2.0, 0.0, 3.0)), axis=0, smooth=False),
        bad("IndexRangeError", (3,), axis=1), bad("IndexRangeError", (), axis=0),
    ]  # fmt: skip


@defop("cummax", dtypes={"x": ANY}, out_dtype=ANY, residuals=("index",), samples=_cummax_samples)
class Cummax(Running):
    """Running maximum along an axis: y[j] = max(x[0], …, x[j]); NaN from the first NaN on.

    The first of equal elements takes the gradient. Where the axis is None it runs over all elements in row-major order.
    """

    def residual_specs(x, *, axis):
        return [Spec((size(x),) if axis is None else x, "int64")]

    def kernel_params(x, *, axis):  # ints = (outer, length, inner, 0, 0)
        return (*lines_of(x, axis), 0, 0), ()

    def vjp(ops, g, y, x, *, axis, index):
        return (ops._scatter_rows(g, index, shape=x.shape, axis=None, mode="strict"),)

    def jvp(ops, t, y, x, *, axis):
        return None if t[0] is None else ops.take(t[0], ops._cummax_index(x, axis=axis), axis=None, mode="strict")


@defop("_cummax_index", kernel="cummax_index", dtypes={"x": ANY}, out_dtype="int64", differentiable=False, samples=_cummax_samples)
class CummaxIndex(Running):
    """The place in the whole array of the greatest element so far, of equal ones of the first."""

    def kernel_params(x, *, axis):  # ints = (outer, length, inner, 0, 0)
        return (*lines_of(x, axis), 0, 0), ()

    vjp = no_gradient
    jvp = no_tangent


# Running logarithms of sums ------------------------------------------------------------------------------------------------
# e^(a − b) where a ≤ b, and 1 where they are equal, infinities too: its cotangents are multiples of itself.
elementwise(
    "_decay(a, b)", "select(a == b, 1, exp(a - b))", {"a": "g*y", "b": "(0 - g)*y"}, "e^(a − b), and 1 where a = b.", algebraic=False
)


def _neighbours(ops: Any, y: Any, axis: int, back: bool) -> Any:
    # The entries one place further, the entry itself where there is none.
    n = y.shape[axis]
    if n < 2:
        return y

    def part(first: int, last: int) -> Any:
        starts = tuple(first if k == axis else 0 for k in range(len(y.shape)))
        return ops.slice(y, starts=starts, stops=tuple(last if k == axis else d for k, d in enumerate(y.shape)))

    return ops.concat([part(1, n), part(n - 1, n)] if back else [part(0, 1), part(0, n - 1)], axis=axis)


@defop("cumlogsumexp", samples=lambda: [
    *cumsum_samples(), good(Arr((5,), "values", data=(-1e4, 88.0, 89.0, -1e4, 1e4)), axis=0),
], algebraic=False)  # fmt: skip
class CumLogSumExp(Running):
    """Running logarithm of the sum of exponentials along an axis: y[j] = log(e^x[0] + … + e^x[j]), without overflow.

    Where the axis is None it runs over all elements in row-major order.
    """

    def kernel_params(x, *, axis):  # ints = (outer, length, inner, 0, 0)
        return (*lines_of(x, axis), 0, 0), ()

    def vjp(ops, g, y, x, *, axis):
        along = axis or 0
        total = ops._recurrence(ops._decay(y, _neighbours(ops, y, along, True)), g, axis=along, reverse=True)
        dx = ops.mul(ops._decay(in_lines(ops, x, axis), y), total)
        return (ops.reshape(dx, shape=x.shape) if axis is None else dx,)

    def jvp(ops, t, y, x, *, axis):
        if t[0] is None:
            return None
        along = axis or 0
        share = ops.mul(ops._decay(in_lines(ops, x, axis), y), in_lines(ops, t[0], axis))
        return ops._recurrence(ops._decay(_neighbours(ops, y, along, False), y), share, axis=along)


# Differences ---------------------------------------------------------------------------------------------------------------


@composite
def diff(ops: Any, x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None, *, name: str | None = None) -> Any:
    """The differences of neighbours along an axis, n times over."""
    x = array(ops, x, "diff: x")
    shape: Shape = tuple(x.shape)

    def refuse(reason: str) -> Any:
        return complete(OptionError(reason), "diff", [describe("x", shape, x.dtype)], {"n": n, "axis": axis})

    times = whole("n", n)
    if times < 0:
        raise refuse("n must be at least 0")
    if not shape:
        raise refuse("x must have an axis")
    k = normalize_axis(axis, len(shape))
    if not times:
        return ops.reshape(x, shape, name=name)
    ends = [e if e is None else _end(ops, e, shape, k, what) for e, what in ((prepend, "prepend"), (append, "append"))]
    if any(e is not None for e in ends):
        x = ops.concat([e for e in (ends[0], x, ends[1]) if e is not None], axis=k)
    # As many times as there are entries leave none, and so do more.
    times = min(times, max(x.shape[k], 1))
    for turn in range(times):
        length = x.shape[k]
        parts = []
        for low, high in ((min(1, length), length), (0, max(length - 1, 0))):
            starts = tuple(low if i == k else 0 for i in range(len(shape)))
            parts.append(ops.slice(x, starts, tuple(high if i == k else d for i, d in enumerate(x.shape))))
        x = ops.sub(*parts, name=name if turn == times - 1 else None)
    return x


def _end(ops: Any, e: Any, shape: Shape, axis: int, what: str) -> Any:
    # What is joined to an array before its differences: a number is one entry.
    e = array(ops, e, f"diff: {what}")
    return e if e.shape else ops.broadcast_to(e, tuple(1 if k == axis else d for k, d in enumerate(shape)))
