"""Ops that read and write rows, boxes and single places by number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean.ops import Spec

from .model import ModelWriter
from .repeats import repeated
from .rules import Call, rule
from .writer import Writer


def _numbers(w: Writer, c: Call, k: int) -> str:
    # Indices as int64, in their shape.
    spec = c.specs[k]
    return c.x[k] if spec is not None and spec.dtype == "int64" else w.cast(c.x[k], "int64")


def _wrapped(w: Writer, i: str, n: int) -> str:
    return w.op("Where", w.op("Less", i, w.like(0, "int64")), w.op("Add", i, w.ints(n)), i)


def _places(w: Writer, i: str, n: int, mode: str) -> tuple[str, str | None]:
    # Indices from 0 to n - 1, and which of them were none before; None where all were.
    zero, last = w.like(0, "int64"), w.op("Sub", w.ints(n), w.like(1, "int64"))
    if mode == "strict":
        return i, None
    if mode == "raise":
        return _wrapped(w, i, n), None
    near = w.op("Max", w.op("Min", i, last), zero)
    if mode == "clip":
        return near, None
    at = _wrapped(w, i, n) if mode == "fill" else i
    outside = w.op("Or", w.op("Less", at, zero), w.op("Greater", at, last))
    return w.op("Max", w.op("Min", at, last), zero), outside


# Reading ------------------------------------------------------------------------------------------------------------------


def _gathered(w: Writer, c: Call, axis: int | None, mode: str) -> Any:
    x, shape = c.x[0], c.shape()
    if axis is None:
        x, axis, shape = w.reshape(x, (-1,)), 0, (math.prod(shape),)
    if mode in ("raise", "strict"):
        return w.op("Gather", x, c.x[1], axis=axis)
    if not shape[axis]:
        return w.filled(c.out)
    at, outside = _places(w, w.reshape(_numbers(w, c, 1), (-1,)), shape[axis], mode)
    at = w.reshape(at, c.shape(1))
    rows = w.op("Gather", x, at, axis=axis)
    if outside is None:
        return rows
    behind, rank = len(shape) - axis - 1, len(c.shape(1))
    outside = w.reshape(outside, c.shape(1))
    outside = w.unsqueeze(outside, *range(rank, rank + behind)) if behind else outside
    return w.op("Where", outside, w.like(0, c.out.dtype), rows)


@rule("take")
def _take(w: Writer, c: Call) -> Any:
    return _gathered(w, c, c.options["axis"], c.options["mode"])


@rule("gather_row", "gather_scalar")
def _gather(w: Writer, c: Call) -> Any:
    return _gathered(w, c, 0, "strict")


@rule("gather_row_ref", "gather_rows_nat", "gather_scalar_nat", "gather_vec_nat")
def _gather_or_zero(w: Writer, c: Call) -> Any:
    return _gathered(w, c, 0, "drop")


def apart(shape: Sequence[int], axes: Sequence[int]) -> tuple[list[int], tuple[int, ...], int]:
    """The order of axes with these last, the sizes of the others, and how many elements these have.

    Args:
        shape: of an array.
        axes: some of its axes.
    """
    others = [k for k in range(len(shape)) if k not in axes]
    return [*others, *axes], tuple(shape[k] for k in others), math.prod(shape[k] for k in axes)


@rule("_take_at")
def _take_at(w: Writer, c: Call) -> Any:
    order, others, count = apart(c.shape(), c.options["axis"])
    if not math.prod(c.shape()):
        return None
    x = w.reshape(w.op("Transpose", c.x[0], perm=order), (*others, count))
    at = w.reshape(_numbers(w, c, 1), (*others, 1))
    return w.reshape(w.op("GatherElements", x, at, axis=len(others)), c.out.shape)


@rule("_place_at")
def _place_at(w: Writer, c: Call) -> Any:
    shape = c.out.shape
    order, others, count = apart(shape, c.options["axis"])
    if not math.prod(shape):
        return None
    zeros = w.op("Expand", w.like(0, c.out.dtype), w.ints(*others, count))
    at, v = (w.reshape(i, (*others, 1)) for i in (_numbers(w, c, 1), c.x[0]))
    y = w.reshape(w.op("ScatterElements", zeros, at, v, axis=len(others)), (*others, *(shape[k] for k in c.options["axis"])))
    return w.op("Transpose", y, perm=[order.index(k) for k in range(len(shape))])


@rule("_locate")
def _locate(w: Writer, c: Call) -> Any:
    o, shape = c.options, c.out.shape
    i = _numbers(w, c, 0)
    if o["pick"] is not None:
        last = len(c.shape()) - 1
        i = w.squeeze(w.slice(i, [o["pick"]], [o["pick"] + 1], [last]), last)
    zero, size, wrap = (w.like(v, "int64") for v in (0, o["size"], o["wrap"]))
    if o["mode"] in ("raise", "fill"):
        i = w.op("Where", w.op("Less", i, zero), w.op("Add", i, wrap), i)
    outside = w.op("Or", w.op("Less", i, zero), w.op("GreaterOrEqual", i, size))
    if o["mode"] == "clip":
        i, outside = w.op("Max", w.op("Min", i, w.op("Sub", size, w.like(1, "int64"))), zero), None
    along = np.zeros(shape, np.int64)
    for k, step in enumerate(o["along"]):
        along = along + step * np.arange(shape[k]).reshape([-1 if k == a else 1 for a in range(len(shape))])
    y = w.op("Add", w.op("Mul", i, w.like(o["step"], "int64")), w.array(along, "int64"))
    if c.x[1]:
        prior = _numbers(w, c, 1)
        none = w.op("Less", prior, zero)
        y = w.op("Add", y, prior)
        outside = none if outside is None else w.op("Or", outside, none)
    return y if outside is None else w.op("Where", outside, w.like(-1, "int64"), y)


class _Groups:
    # Indices in order, those that name the same entry in the order that they come in.
    def __init__(self, w: Writer, row: str, n: int) -> None:
        self.w, self.n = w, n
        count, own = w.ints(n), w.array(np.arange(n), "int64")
        keys = w.op("Add", w.op("Mul", row, count), own)
        keys, self.order = w.op("TopK", keys, count, axis=0, largest=0, sorted=1, outputs=2)
        rows = w.op("Div", w.op("Sub", keys, self.order), count)
        same = w.op("Equal", w.slice(rows, [1], [n], [0]), w.slice(rows, [0], [n - 1], [0]))
        self.same = {"before": self._beside([w.array([False]), same]), "after": self._beside([same, w.array([False])])}
        self.at = {
            "before": self._beside([w.slice(self.order, [0], [1], [0]), w.slice(self.order, [0], [n - 1], [0])]),
            "after": self._beside([w.slice(self.order, [1], [n], [0]), w.slice(self.order, [0], [1], [0])]),
        }

    def _beside(self, parts: Sequence[str]) -> str:
        return str(self.w.op("Concat", *parts, axis=0))

    def beside(self, way: str) -> str:
        """For each index the position of the one before, or after, that names the same entry; -1 for none."""
        w, none = self.w, self.w.like(-1, "int64")
        each = w.op("Where", self.same[way], self.at[way], none)
        return str(w.op("ScatterElements", w.op("Expand", none, w.ints(self.n)), self.order, each, axis=0))


@rule("_neighbours")
def _neighbours(w: Writer, c: Call) -> Any:
    which, n = c.options["which"], c.out.size
    if not n:
        return None
    row, outside = _places(w, w.reshape(_numbers(w, c, 0), (-1,)), c.options["size"], c.options["mode"])
    none = w.like(-1, "int64")
    if outside is not None:
        row = w.op("Where", outside, none, row)
    y = _Groups(w, row, n).beside("after" if which in ("next", "last") else "before")
    if which not in ("previous", "next"):
        alone = w.op("Less", y, w.like(0, "int64"))
        y = w.op("Where", alone, w.array(np.arange(n), "int64") if which == "start" else row, none)
    return y if outside is None else w.op("Where", outside, none, y)


@rule("searchsorted")
def _searchsorted(w: Writer, c: Call) -> Any:
    # As many as lie before; NaN lies behind all else.
    a, v, rank = c.x[0], w.unsqueeze(c.x[1], len(c.shape(1))), len(c.shape(1))
    kind = c.dtype
    if not c.shape()[0]:
        return w.op("Expand", w.like(0, "int64"), w.ints(*c.out.shape))
    if kind == "bool":
        a, v, kind = w.cast(a, "int32"), w.cast(v, "int32"), "int32"
    floats = kind.startswith("float")
    if c.options["side"] == "left":
        before = w.op("Less", a, v)
        if floats:
            before = w.op("Or", before, w.op("And", w.op("IsNaN", v), w.op("Not", w.op("IsNaN", a))))
    else:
        before = w.op("LessOrEqual", a, v)
        before = w.op("Or", before, w.op("IsNaN", v)) if floats else before
    return w.reduce("ReduceSum", w.cast(before, "int64"), (rank,), False)


# Writing ------------------------------------------------------------------------------------------------------------------


def _last_alone(w: Writer, at: str, count: int, spare: str) -> str:
    # Of an index that is repeated, all but the last one say the spare row.
    again = w.op("GreaterOrEqual", _Groups(w, at, count).beside("after"), w.like(0, "int64"))
    return str(w.op("Where", again, spare, at))


def _known_extremes(w: Writer, x: str, v: str, at: str, how: str, dtype: str) -> str:
    # NaN wherever one is among the numbers, which onnxruntime does not say.
    zero, none = w.like(0, dtype), [w.op("IsNaN", n) for n in (x, v)]
    numbers = [w.op("Where", flag, zero, n) for flag, n in zip(none, (x, v), strict=True)]
    y = w.op("ScatterND", numbers[0], at, numbers[1], reduction=how)
    flags = w.op("ScatterND", w.cast(none[0], "int32"), at, w.cast(none[1], "int32"), reduction="add")
    return str(w.op("Where", w.op("Greater", flags, w.like(0, "int32")), w.like(math.nan, dtype), y))


def _one_by_one(w: ModelWriter, x: str, v: str, at: str, spec: Spec, count: int, how: str) -> str:
    # Rows combined in a loop: maxima and minima at indices came with opset 18.
    def step(k: str, y: str) -> list[str]:
        place = w.op("Gather", at, w.unsqueeze(k, 0), axis=0)
        row = w.op(how.title(), w.op("Gather", y, place, axis=0), w.op("Gather", v, w.unsqueeze(k, 0), axis=0))
        return [w.op("ScatterND", y, w.unsqueeze(place, 1), row)]

    return repeated(w, [(x, spec)], step, count)[0]


def _scattered(
    w: ModelWriter, x: str, v: str, i: str, shapes: Sequence[tuple[int, ...]], axis: int | None, mode: str, how: str, dtype: str
) -> Any:
    # A copy of x with rows of v set at, or combined with what is at, their indices; those out of range go to a row behind the last.
    shape, at_shape = shapes
    count = math.prod(at_shape)
    if not count or not math.prod(shape):
        return w.op("Identity", x)
    own, a = (shape, axis) if axis is not None else ((math.prod(shape),), 0)
    rest = (*own[:a], *own[a + 1 :])
    if axis is None:
        x, v = w.reshape(x, (-1,)), w.reshape(v, (-1,))
    else:
        x = w.op("Transpose", x, perm=[a, *(k for k in range(len(own)) if k != a)]) if a else x
        d = len(at_shape)
        order = [*range(a, a + d), *range(a), *range(a + d, len(own) - 1 + d)]
        v = w.op("Transpose", v, perm=order) if a else v
        v = w.reshape(v, (count, *rest))
    n = own[a]
    at, outside = _places(w, w.reshape(i, (-1,)), n, mode)
    repeated = how == "set" and count > 1
    spare = w.ints(n)
    at = at if outside is None else w.op("Where", outside, spare, at)
    at = _last_alone(w, at, count, spare) if repeated else at
    behind = outside is not None or repeated
    if behind:
        x = w.op("Concat", x, w.slice(x, [0], [1], [0]), axis=0)
    if how in ("max", "min") and w.opset < 18:
        y = _one_by_one(w, x, v, at, Spec((n + behind, *rest), dtype), count, how)
    elif how in ("max", "min") and dtype.startswith("float"):
        y = _known_extremes(w, x, v, w.unsqueeze(at, 1), how, dtype)
    else:
        y = w.op("ScatterND", x, w.unsqueeze(at, 1), v, reduction=None if how == "set" else how)
    y = w.slice(y, [0], [n], [0]) if behind else y
    if axis is None:
        return w.reshape(y, shape)
    return w.op("Transpose", y, perm=[*range(1, a + 1), 0, *range(a + 1, len(own))]) if a else y


@rule("_set_rows", "_scatter_into")
def _into_rows(w: ModelWriter, c: Call) -> Any:
    o = c.options
    shapes = (c.shape(), c.shape(2))
    return _scattered(w, c.x[0], c.x[1], _numbers(w, c, 2), shapes, o["axis"], o["mode"], o.get("what", "set"), c.out.dtype)


@rule("scatter_add_row", "scatter_add_vec")
def _add_row(w: ModelWriter, c: Call) -> Any:
    return _scattered(w, c.x[0], w.unsqueeze(c.x[1], 0), _numbers(w, c, 2), (c.shape(), ()), 0, "strict", "add", c.out.dtype)


@rule("_scatter_rows")
def _scatter_rows(w: ModelWriter, c: Call) -> Any:
    o = c.options
    zeros = w.op("Expand", w.like(0, c.out.dtype), w.ints(*c.out.shape))
    return _scattered(w, zeros, c.x[0], _numbers(w, c, 1), (c.out.shape, c.shape(1)), o["axis"], o["mode"], "add", c.out.dtype)


def _box(shape: Sequence[int], box: Sequence[int], starts: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    # The places of a box's elements in the array as one row.
    axes = [a + s * np.arange(n) for a, s, n in zip(starts, steps, box, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij") if axes else [np.zeros((), int)]
    return np.ravel_multi_index(tuple(grid), tuple(shape)).reshape(-1) if axes else np.zeros(1, int)


def _box_at(w: Writer, c: Call, k: int, places: np.ndarray, size: int) -> str:
    # The same so many elements on; behind the last one where that is -1.
    at = w.reshape(_numbers(w, c, k), (1,))
    return w.op("Where", w.op("Less", at, w.like(0, "int64")), w.like(size, "int64"), w.op("Add", w.array(places, "int64"), at))


@rule("_place")
def _place(w: Writer, c: Call) -> Any:
    o, shape = c.options, c.out.shape
    if not shape:
        return w.op("Identity", c.x[0])
    if any(s != 1 for s in o["steps"]):
        zeros = w.array(np.zeros(math.prod(shape)), c.out.dtype)
        places = w.array(_box(shape, c.shape(), o["starts"], o["steps"]), "int64")
        return w.reshape(w.op("ScatterElements", zeros, places, w.reshape(c.x[0], (-1,)), axis=0), shape)
    after = [size - start - n for n, size, start in zip(c.shape(), shape, o["starts"], strict=True)]
    return w.op("Pad", c.x[0], w.ints(*o["starts"], *after), w.like(0, c.out.dtype))


@rule("_set_box")
def _set_box(w: Writer, c: Call) -> Any:
    shape, box = c.shape(), c.shape(1)
    size = math.prod(shape)
    if not math.prod(box) or not size:
        return w.op("Identity", c.x[0])
    places = _box(shape, box, c.options["starts"], c.options["steps"])
    x, v = w.reshape(c.x[0], (-1,)), w.reshape(c.x[1], (-1,))
    if not c.x[2]:
        return w.reshape(w.op("ScatterElements", x, w.array(places, "int64"), v, axis=0), shape)
    wide = w.op("Concat", x, w.slice(x, [0], [1], [0]), axis=0)
    y = w.op("ScatterElements", wide, _box_at(w, c, 2, places, size), v, axis=0)
    return w.reshape(w.slice(y, [0], [size], [0]), shape)


@rule("_take_box")
def _take_box(w: Writer, c: Call) -> Any:
    shape, size = c.shape(), math.prod(c.shape())
    if not math.prod(c.out.shape):
        return None
    places = _box(shape, c.out.shape, c.options["starts"], c.options["steps"])
    x = w.op("Concat", w.reshape(c.x[0], (-1,)), w.array([0], c.out.dtype), axis=0)
    return w.reshape(w.op("Gather", x, _box_at(w, c, 1, places, size), axis=0), c.out.shape)
