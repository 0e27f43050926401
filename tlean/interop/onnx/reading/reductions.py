"""Reductions, running sums, and where the largest entry is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .registry import Call, axis_of, reads, whole


def axes_of(c: Call, x: Any, axes: Any) -> tuple[int, ...]:
    """The axes of a reduction; none means all of them, unless it is said that it means none."""
    rank = len(x.shape)
    chosen = whole(axes) if axes is not None else c.get("axes")
    if not chosen:
        return () if c.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(axis_of(a, rank) for a in chosen))


def _reduced(x: Any, axes: tuple[int, ...], keep: bool) -> tuple[int, ...]:
    return tuple(1 if k in axes else n for k, n in enumerate(x.shape) if keep or k not in axes)


@reads(
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceSumSquare", known=(1,),
)  # fmt: skip
def _reduce(c: Call, x: Any, axes: Any = None) -> Any:
    ops, kind, keep = c.ops, c.kind[6:], bool(c.get("keepdims", 1))
    chosen = axes_of(c, x, axes)
    if any(x.shape[a] == 0 for a in chosen):
        neutral = {"Prod": 1, "Max": -math.inf, "Min": math.inf, "LogSum": -math.inf, "LogSumExp": -math.inf}.get(kind, 0)
        if kind == "Mean":
            raise c.refuse("the mean of no elements")
        if not x.dtype.startswith("float") and not math.isfinite(neutral):
            neutral = (np.iinfo(str(x.dtype)).max if neutral > 0 else np.iinfo(str(x.dtype)).min) if x.dtype != "bool" else neutral > 0
        return np.full(_reduced(x, chosen, keep), neutral, str(x.dtype))
    if kind in ("Max", "Min") and x.dtype == "bool":
        return ops.any(x, axis=chosen, keepdims=keep) if kind == "Max" else ops.all(x, axis=chosen, keepdims=keep)
    if kind in ("L1", "L2", "SumSquare"):
        x = ops.abs(x) if kind == "L1" else ops.mul(x, x)
    if not chosen:
        y = x
    elif kind == "LogSumExp":
        top = ops.detach(ops.reduce_max(x, axis=chosen, keepdims=True))
        total = ops.reduce_sum(ops.exp(ops.sub(x, top)), axis=chosen, keepdims=True)
        y = ops.add(ops.log(total), top)
        return y if keep else ops.reshape(y, _reduced(x, chosen, False))
    elif kind == "Min":
        y = ops.neg(ops.reduce_max(ops.neg(x), axis=chosen, keepdims=keep))
    else:
        record = {"Mean": "reduce_mean", "Max": "reduce_max", "Prod": "prod"}.get(kind, "reduce_sum")
        y = getattr(ops, record)(x, axis=chosen, keepdims=keep)
    if kind == "L2":
        return ops.sqrt(y)
    return ops.log(y) if kind == "LogSum" else y


@reads("ArgMax", "ArgMin")
def _arg(c: Call, x: Any) -> Any:
    axis, keep = axis_of(c.get("axis", 0), len(x.shape)), bool(c.get("keepdims", 1))
    find = c.ops.argmax if c.kind == "ArgMax" else c.ops.argmin
    if not c.get("select_last_index", 0):
        return c.cast(find(x, axis=axis, keepdims=keep), "int64")
    back = find(c.ops.flip(x, axis), axis=axis, keepdims=keep)
    return c.ops.sub(c.ref(np.int64(x.shape[axis] - 1)), c.cast(back, "int64"))


@reads("Hardmax")
def _hardmax(c: Call, x: Any) -> Any:
    rank = len(x.shape)
    axis = axis_of(c.get("axis", -1), rank)
    places = np.arange(x.shape[axis]).reshape([-1 if k == axis else 1 for k in range(rank)]).astype(np.int64)
    chosen = c.ops.equal(c.cast(c.ops.argmax(x, axis=axis, keepdims=True), "int64"), c.ref(places))
    return c.cast(chosen, str(x.dtype))


@reads("CumSum", "CumProd", known=(1,))
def _running(c: Call, x: Any, axis: Any) -> Any:
    a = axis_of(int(np.asarray(axis).reshape(-1)[0]), len(x.shape))
    total = c.kind == "CumSum"
    y = c.ops.flip(x, a) if c.get("reverse", 0) else x
    if c.get("exclusive", 0):
        # All but the last, behind a neutral entry.
        y = c.ops.slice(y, (0,) * len(y.shape), tuple(n - 1 if k == a else n for k, n in enumerate(y.shape)))
        y = c.ops.pad(y, tuple((1, 0) if k == a else (0, 0) for k in range(len(y.shape))), value=0 if total else 1)
    y = c.ops.cumsum(y, axis=a) if total else c.ops.cumprod(y, axis=a)
    return c.cast(c.ops.flip(y, a) if c.get("reverse", 0) else y, str(x.dtype))
