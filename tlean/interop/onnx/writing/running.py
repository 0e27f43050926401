"""Running products, maxima and logarithms of sums, recurrences, chains of rows: by doubling, in as many rounds as a length has bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .rules import Call, rule
from .writer import Writer


class _Line:
    # What runs along an axis.
    def __init__(self, w: Writer, c: Call) -> None:
        axis = c.options["axis"]
        self.w, self.shape = w, c.shape() if axis is not None else (math.prod(c.shape()),)
        self.axis, self.flat, self.back = axis or 0, axis is None, c.options.get("reverse", False)
        self.length = self.shape[self.axis]

    def of(self, x: str) -> str:
        """An input as it runs."""
        return self.w.reshape(x, (-1,)) if self.flat else x

    def moved(self, x: str, by: int, fill: str) -> str:
        """The entries so many places further, in reverse so many places nearer to the start."""
        first, last = (by, self.length) if self.back else (0, self.length - by)
        pads = [0] * (2 * len(self.shape))
        pads[self.axis + (len(self.shape) if self.back else 0)] = by
        part = self.w.slice(x, [first], [last], [self.axis])
        return str(self.w.op("Pad", part, self.w.array(pads, "int64"), fill))

    def has(self, by: int) -> str:
        """Where there is an entry so many places before."""
        places = np.arange(self.length)
        there = places < self.length - by if self.back else places >= by
        return self.w.array(there.reshape([-1 if k == self.axis else 1 for k in range(len(self.shape))]))

    def doubled(self, values: Sequence[str], fills: Sequence[str], combine: Callable[..., Sequence[str]]) -> list[str]:
        """What is made of all entries up to each, by a function of (where there are entries before, those, these)."""
        values = list(values)
        for k in range((self.length - 1).bit_length()):
            before = [self.moved(v, 1 << k, fill) for v, fill in zip(values, fills, strict=True)]
            values = list(combine(self.has(1 << k), before, values))
        return values


def _line(w: Writer, c: Call) -> _Line | None:
    return _Line(w, c) if math.prod(c.shape()) else None


@rule("cumprod", "_running_product")
def _product(w: Writer, c: Call) -> Any:
    line = _line(w, c)
    if line is None:
        return None
    one = w.like(1, c.out.dtype)
    x = line.of(c.x[0] if c.dtype == c.out.dtype else w.cast(c.x[0], c.out.dtype))
    x = line.moved(x, 1, one) if c.options.get("exclusive") else x
    (y,) = line.doubled([x], [one], lambda _, a, b: [w.op("Mul", a[0], b[0])])
    return y if y not in c.x else w.op("Identity", y)


def _maxima(w: Writer, c: Call, places: bool) -> Any:
    # The greatest so far and where it is; the first of equal ones, or of those that are NaN.
    line = _line(w, c)
    if line is None:
        return None
    kind = "int32" if c.dtype == "bool" else c.dtype
    x = line.of(w.cast(c.x[0], kind) if kind != c.dtype else c.x[0])
    values, fills = [x], [w.like(0, kind)]
    if places:
        values.append(w.array(np.arange(math.prod(c.shape())).reshape(line.shape), "int64"))
        fills.append(w.like(0, "int64"))

    def later(there: str, a: Sequence[str], b: Sequence[str]) -> list[str]:
        stays = w.op("GreaterOrEqual", a[0], b[0])
        if kind.startswith("float"):
            stays = w.op("Or", stays, w.op("IsNaN", a[0]))
        stays = w.op("And", there, stays)
        return [w.op("Where", stays, p, q) for p, q in zip(a, b, strict=True)]

    y = line.doubled(values, fills, later)[-1]
    y = w.cast(y, "bool") if kind != c.dtype and not places else y
    return y if y not in c.x else w.op("Identity", y)


@rule("cummax")
def _cummax(w: Writer, c: Call) -> Any:
    return _maxima(w, c, False)


@rule("_cummax_index")
def _cummax_index(w: Writer, c: Call) -> Any:
    return _maxima(w, c, True)


@rule("cumlogsumexp")
def _log_sums(w: Writer, c: Call) -> Any:
    line = _line(w, c)
    if line is None:
        return None
    zero, one = w.like(0, c.dtype), w.like(1, c.dtype)

    def combine(_: str, a: Sequence[str], b: Sequence[str]) -> list[str]:
        # The larger and what the smaller adds to it; of two that are equal, infinities too, ln 2.
        top, low = w.op("Max", a[0], b[0]), w.op("Min", a[0], b[0])
        apart = w.op("Where", w.op("Equal", low, top), zero, w.op("Sub", low, top))
        return [w.op("Add", top, w.op("Log", w.op("Add", w.op("Exp", apart), one)))]

    (y,) = line.doubled([line.of(c.x[0])], [w.like(-math.inf, c.dtype)], combine)
    return y if y not in c.x else w.op("Identity", y)


@rule("_recurrence")
def _recurrence(w: Writer, c: Call) -> Any:
    line = _line(w, c)
    if line is None:
        return None
    zero = w.like(0, c.dtype)
    a = line.moved(c.x[0], 1, zero) if c.options["lagged"] else c.x[0]

    def combine(there: str, before: Sequence[str], now: Sequence[str]) -> list[str]:
        total = w.op("Add", now[1], w.op("Mul", now[0], before[1]))
        return [w.op("Mul", now[0], before[0]), w.op("Where", there, total, now[1])]

    y = line.doubled([a, c.x[1]], [zero, zero], combine)[1]
    return y if y not in c.x else w.op("Identity", y)


# Rows that are linked -----------------------------------------------------------------------------------------------------


@rule("_chain")
def _chain(w: Writer, c: Call) -> Any:
    shape, axis = c.shape(), c.options["axis"]
    if not math.prod(shape):
        return None
    (a, b, link), zero = c.x, w.like(0, "int64")
    wide = [-1 if k == axis else 1 for k in range(len(shape))]
    for _ in range((shape[axis] - 1).bit_length()):
        there = w.op("GreaterOrEqual", link, zero)
        at = w.op("Where", there, link, zero)
        linked = w.op("Reshape", there, w.array(wide, "int64"))
        a_before, b_before, link_before = w.op("Gather", a, at, axis=axis), w.op("Gather", b, at, axis=axis), w.op("Gather", link, at)
        b = w.op("Where", linked, w.op("Add", w.op("Mul", a, b_before), b), b)
        a = w.op("Mul", a, a_before)
        link = w.op("Where", there, link_before, w.like(-1, "int64"))
    return b if b not in c.x else w.op("Identity", b)


@rule("_inverse_links")
def _inverse_links(w: Writer, c: Call) -> Any:
    (n,) = c.shape()
    if not n:
        return None
    # Those of no row go behind the last.
    at = w.op("Where", w.op("Less", c.x[0], w.like(0, "int64")), w.like(n, "int64"), c.x[0])
    none, own = w.array(np.full(n + 1, -1), "int64"), w.array(np.arange(n), "int64")
    return w.slice(w.op("ScatterElements", none, at, own, axis=0), [0], [n], [0])
