"""Ops that move elements, make arrays, or reduce axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean.shapes import broadcast_axes

from .places import apart
from .rules import Call, rule
from .writer import Writer


@rule("reshape", "flatten", direct=True)
def _reshape(w: Writer, c: Call) -> Any:
    return w.reshape(c.x[0], c.out.shape)


@rule("permute", direct=True)
def _permute(w: Writer, c: Call) -> Any:
    return w.op("Transpose", c.x[0], perm=list(c.options["axes"])) if c.shape() else w.op("Identity", c.x[0])


@rule("transpose2d", "transpose3d_first_to_last", "transpose3d_last_to_first", "transpose3d_last_two", "swap_adjacent_at_depth")
def _transpose(w: Writer, c: Call) -> Any:
    n = len(c.shape())
    depth = c.options.get("depth", 0)
    order = {
        "transpose2d": [1, 0],
        "transpose3d_first_to_last": [1, 2, 0],
        "transpose3d_last_to_first": [2, 0, 1],
        "transpose3d_last_two": [0, 2, 1],
    }.get(c.record.name)
    if order is None:
        order = list(range(n))
        if 0 <= depth < n - 1:
            order[depth : depth + 2] = depth + 1, depth
    if not order:
        return w.op("Identity", c.x[0])
    return w.op("Transpose", c.x[0], perm=order)


@rule("broadcast_to")
def _broadcast_to(w: Writer, c: Call) -> Any:
    target = c.out.shape
    if not c.out.size:
        return w.filled(c.out)
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
    x, axis, shape = c.x[0], c.options["axis"], c.shape()
    if axis is None:
        x, axis, shape = w.reshape(x, (-1,)), 0, (math.prod(shape),)
    made = w.op("TopK", x, w.ints(shape[axis]), axis=axis, largest=int(c.options["descending"]), outputs=2)
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
    axes = c.options["axis"]
    if not c.shape() or (axes is not None and not axes):
        return w.op("Abs", c.x[0])
    return w.reduce("ReduceL2", c.x[0], axes, c.options["keepdims"])


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
    if 0 in c.shape():
        return w.op("Expand", w.like(c.record.name == "all", "bool"), w.ints(*c.out.shape))
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
            return w.filled(c.out)
        made = w.op("ArgMax", w.reshape(x, (-1,)), axis=0, keepdims=0)
        return w.cast(w.reshape(made, c.out.shape) if keep else made, c.out.dtype)
    if len(axes) == 1:
        made = w.op("ArgMax", x, axis=axes[0], keepdims=int(keep))
    else:
        order, others, count = apart(shape, axes)
        rows = w.reshape(w.op("Transpose", x, perm=order), (*others, count))
        made = w.reshape(w.op("ArgMax", rows, axis=len(others), keepdims=0), c.out.shape)
    return made if c.out.dtype == "int64" else w.cast(made, c.out.dtype)


@rule("cumsum", "_reverse_cumsum")
def _cumsum(w: Writer, c: Call) -> Any:
    x, axis = c.x[0], c.options["axis"]
    if axis is None:
        x, axis = w.reshape(x, (-1,)), 0
    return w.op("CumSum", x, w.array(axis, "int64"), reverse=int(c.record.name != "cumsum"))
