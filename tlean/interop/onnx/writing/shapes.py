"""Ops that move elements, make arrays, or reduce axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean.shapes import broadcast_axes

from .rules import Call, rule
from .writer import Writer


@rule("reshape", "flatten", direct=True)
def _reshape(w: Writer, c: Call) -> Any:
    return w.reshape(c.x[0], c.out.shape)


@rule("permute", direct=True)
def _permute(w: Writer, c: Call) -> Any:
    return w.op("Transpose", c.x[0], perm=list(c.options["axes"]))


@rule("transpose2d", "transpose3d_first_to_last", "transpose3d_last_to_first", "transpose3d_last_two", "swap_adjacent_at_depth")
def _transpose(w: Writer, c: Call) -> Any:
    n = len(c.shape())
    depth = c.options.get("depth", 0)
    order = {
        "transpose2d": [1, 0],
        "transpose3d_first_to_last": [1, 2, 0],
        "transpose3d_last_to_first": [2, 0, 1],
        "transpose3d_last_two": [0, 2, 1],
    }.get(c.record.name) or [*range(depth), depth + 1, depth, *range(depth + 2, n)]
    return w.op("Transpose", c.x[0], perm=order)


@rule("broadcast_to")
def _broadcast_to(w: Writer, c: Call) -> Any:
    target = c.out.shape
    where, _ = broadcast_axes(c.shape(), target, c.options["axis_map"])
    y = c.x[0]
    order = sorted(range(len(where)), key=lambda k: where[k])
    if order != list(range(len(where))):
        y = w.op("Transpose", y, perm=order)
    missing = [a for a in range(len(target)) if a not in where]
    if missing != list(range(len(missing))):
        y = w.unsqueeze(y, *missing)
    return w.op("Expand", y, w.ints(*target))


@rule("concat", direct=True)
def _concat(w: Writer, c: Call) -> Any:
    return w.op("Concat", *c.x, axis=c.options["axis"])


@rule("concat_dim0", "concat_vectors")
def _concat_first(w: Writer, c: Call) -> Any:
    return w.op("Concat", *c.x, axis=0)


@rule("stack")
def _stack(w: Writer, c: Call) -> Any:
    axis = c.options["axis"]
    return w.op("Concat", *(w.unsqueeze(x, axis) for x in c.x), axis=axis)


@rule("slice")
def _slice(w: Writer, c: Call) -> Any:
    axes = range(len(c.shape()))
    o = c.options
    if not axes:
        return w.op("Identity", c.x[0])
    # A stop before the first element is written as a number that no axis reaches.
    stops = [s if s >= 0 else -(1 << 31) for s in o["stops"]]
    return w.slice(c.x[0], o["starts"], stops, list(axes), o["steps"])


@rule("slice_range0")
def _slice_rows(w: Writer, c: Call) -> Any:
    start = c.options["start"]
    return w.slice(c.x[0], [start], [start + c.options["length"]], [0])


@rule("pad")
def _pad(w: Writer, c: Call) -> Any:
    before, after = zip(*c.options["widths"], strict=True) if c.options["widths"] else ((), ())
    if not before:
        return w.op("Identity", c.x[0])
    return w.op("Pad", c.x[0], w.array([*before, *after], "int64"), w.like(c.options["value"], c.out.dtype))


@rule("tril", "triu")
def _triangle(w: Writer, c: Call) -> Any:
    return w.op("Trilu", c.x[0], w.array(c.options["k"], "int64"), upper=int(c.record.name == "triu"))


@rule("_place")
def _place(w: Writer, c: Call) -> Any:
    widths = []
    for n, size, start, step in zip(c.shape(), c.out.shape, c.options["starts"], c.options["steps"], strict=True):
        if step != 1:
            return None
        widths.append((start, size - start - n))
    before, after = zip(*widths, strict=True) if widths else ((), ())
    if not before:
        return w.op("Identity", c.x[0])
    return w.op("Pad", c.x[0], w.ints(*before, *after), w.like(0, c.out.dtype))


# Rows and places ----------------------------------------------------------------------------------------------------------


@rule("take")
def _take(w: Writer, c: Call) -> Any:
    axis, mode = c.options["axis"], c.options["mode"]
    x, i = c.x
    shape = c.shape()
    if axis is None:
        x, axis, shape = w.reshape(x, (-1,)), 0, (math.prod(shape),)
    kind, n = c.specs[1].dtype, shape[axis]  # type: ignore[union-attr]
    if mode in ("raise", "strict"):
        return w.op("Gather", x, i, axis=axis)
    zero, last = w.like(0, kind), w.like(n - 1, kind)
    if mode == "clip":
        return w.op("Gather", x, w.op("Max", w.op("Min", i, last), zero), axis=axis)
    # A row out of range is one of zeros, or of NaN.
    at = w.op("Where", w.op("Less", i, zero), w.op("Add", i, w.like(n, kind)), i)
    inside = w.op("And", w.op("GreaterOrEqual", at, zero), w.op("LessOrEqual", at, last))
    rows = w.op("Gather", x, w.op("Max", w.op("Min", at, last), zero), axis=axis)
    behind = len(shape) - axis - 1
    if behind:
        rank = len(c.shape(1))
        inside = w.unsqueeze(inside, *range(rank, rank + behind))
    return w.op("Where", inside, rows, w.like(math.nan if mode == "fill" else 0, c.out.dtype))


@rule("gather_row", "gather_row_ref", "gather_rows_nat", "gather_scalar", "gather_scalar_nat", "gather_vec_nat")
def _gather(w: Writer, c: Call) -> Any:
    return w.op("Gather", *c.x, axis=0)


@rule("_take_at")
def _take_at(w: Writer, c: Call) -> Any:
    # The index counts elements of the array as one row of blocks: along the axis, others stay.
    return (
        w.op("GatherElements", *c.x, axis=c.options["axis"])
        if len(c.shape()) == len(c.shape(1)) and c.options["axis"] is not None
        else None
    )


@rule("_one_hot")
def _one_hot(w: Writer, c: Call) -> Any:
    kind = c.dtype
    classes = w.array(np.arange(c.options["depth"]), kind)
    chosen = w.op("Equal", w.unsqueeze(c.x[0], len(c.shape())), classes)
    ignored = c.options["ignore_index"]
    if ignored is not None and 0 <= ignored < c.options["depth"]:
        chosen = w.op("And", chosen, w.op("Not", w.op("Equal", classes, w.like(ignored, kind))))
    return w.cast(chosen, c.out.dtype)


@rule("sort")
def _sort(w: Writer, c: Call) -> Any:
    x, axis, shape = c.x[0], c.options["axis"], c.shape()
    if axis is None:
        x, axis, shape = w.reshape(x, (-1,)), 0, (math.prod(shape),)
    values, places = w.op("TopK", x, w.ints(shape[axis]), axis=axis, largest=int(c.options["descending"]), outputs=2)
    return (values, w.cast(places, c.outs[1].dtype)) if len(c.outs) > 1 else values


@rule("_topk_index")
def _topk(w: Writer, c: Call) -> Any:
    o = c.options
    return w.cast(w.op("TopK", c.x[0], w.ints(o["k"]), axis=o["axis"], largest=int(o["largest"]), outputs=2)[1], c.out.dtype)


@rule("argsort")
def _argsort(w: Writer, c: Call) -> Any:
    if c.options["axis"] is None:
        return None
    n = c.shape()[c.options["axis"]]
    made = w.op("TopK", c.x[0], w.ints(n), axis=c.options["axis"], largest=int(c.options["descending"]), outputs=2)
    return w.cast(made[1], c.out.dtype)


# Arrays that are made -----------------------------------------------------------------------------------------------------


@rule("_full")
def _full(w: Writer, c: Call) -> Any:
    value = w.like(c.options["value"], c.out.dtype)
    return w.op("Expand", value, w.ints(*c.out.shape))


@rule("_iota")
def _iota(w: Writer, c: Call) -> Any:
    o = c.options
    values = o["start"] + o["step"] * np.arange(o["length"])
    if o["last"] is not None and o["length"]:
        values[-1] = o["last"]
    return w.array(values, c.out.dtype)


@rule("_eye")
def _eye(w: Writer, c: Call) -> Any:
    o = c.options
    return w.array(np.eye(o["rows"], o["columns"], o["offset"]), c.out.dtype)


# Reductions ---------------------------------------------------------------------------------------------------------------

_REDUCED = {"reduce_sum": "ReduceSum", "reduce_mean": "ReduceMean", "reduce_max": "ReduceMax", "prod": "ReduceProd"}


@rule(*_REDUCED)
def _reduce(w: Writer, c: Call) -> Any:
    axes = c.options["axis"]
    return w.reduce(_REDUCED[c.record.name], c.x[0], axes, c.options["keepdims"])


@rule("_norm")
def _norm(w: Writer, c: Call) -> Any:
    return w.reduce("ReduceL2", c.x[0], c.options["axis"], c.options["keepdims"])


@rule("sum", "mean")
def _whole(w: Writer, c: Call) -> Any:
    return w.reduce("ReduceSum" if c.record.name == "sum" else "ReduceMean", c.x[0], None, False)


@rule("logsumexp")
def _logsumexp(w: Writer, c: Call) -> Any:
    axis = c.options["axis"]
    axes = (axis,) if isinstance(axis, int) else axis
    return w.reduce("ReduceLogSumExp", c.x[0], axes, False) if c.shape() else w.op("Identity", c.x[0])


@rule("all", "any")
def _truth(w: Writer, c: Call) -> Any:
    kind = "ReduceMin" if c.record.name == "all" else "ReduceMax"
    flags = c.x[0] if c.dtype == "bool" else w.cast(c.x[0], "bool")
    return w.cast(w.reduce(kind, w.cast(flags, "int32"), c.options["axis"], c.options["keepdims"]), "bool")


@rule("argmax", "_max_index")
def _argmax(w: Writer, c: Call) -> Any:
    axes, keep = c.options["axis"], c.options["keepdims"]
    shape = c.shape()
    x = c.x[0]
    if axes is None or len(axes) == len(shape):
        if not shape:
            return None
        made = w.op("ArgMax", w.reshape(x, (-1,)), axis=0, keepdims=0)
        return w.cast(w.reshape(made, c.out.shape) if keep else made, c.out.dtype)
    if len(axes) != 1:
        return None
    made = w.op("ArgMax", x, axis=axes[0], keepdims=int(keep))
    return made if c.out.dtype == "int64" else w.cast(made, c.out.dtype)


@rule("cumsum", "_reverse_cumsum")
def _cumsum(w: Writer, c: Call) -> Any:
    x, axis = c.x[0], c.options["axis"]
    if axis is None:
        x, axis = w.reshape(x, (-1,)), 0
    return w.op("CumSum", x, w.array(axis, "int64"), reverse=int(c.record.name != "cumsum"))
