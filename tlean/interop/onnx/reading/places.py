"""Operators that read and write places by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean.loops import scan

from .registry import Call, axis_of, reads


def _wrapped(c: Call, i: Any, size: int) -> Any:
    # Indices from -size on count from the end.
    if isinstance(i, np.ndarray):
        return np.where(i < 0, i + size, i)
    zero, n = (c.ref(np.array(v, str(i.dtype))) for v in (0, size))
    return c.ops.where(c.ops.less(i, zero), c.ops.add(i, n), i)


@reads("Gather")
def _gather(c: Call, x: Any, i: Any) -> Any:
    return c.ops.take(x, i, axis=axis_of(c.get("axis", 0), len(x.shape)))


@reads("GatherElements")
def _gather_elements(c: Call, x: Any, i: Any) -> Any:
    axis = axis_of(c.get("axis", 0), len(x.shape))
    # Along other axes the indices may name fewer places.
    x = c.ops.slice(x, (0,) * len(x.shape), tuple(n if k == axis else i.shape[k] for k, n in enumerate(x.shape)))
    return c.ops.take_along_axis(x, i, axis=axis)


@reads("GatherND")
def _gather_nd(c: Call, x: Any, i: Any) -> Any:
    b = c.get("batch_dims", 0)
    if b:
        lead = np.stack(np.meshgrid(*(np.arange(n) for n in x.shape[:b]), indexing="ij"), -1).astype(np.int64)
        lead = lead.reshape(*x.shape[:b], *[1] * (len(i.shape) - 1 - b), b)
        i = c.ops.concat([c.ref(np.broadcast_to(lead, (*i.shape[:-1], b)).copy()), c.cast(i, "int64")], axis=-1)
    return c.ops.gather_nd(x, i)


_HOW = {"none": "set", "add": "add", "max": "max", "min": "min"}


def _written(c: Call, table: Any, values: Any, rows: Any, how: str) -> Any:
    # The rows of a table with others set, added, or the larger or smaller of both; factors go in one after another.
    if how == "none":
        return c.ops._set_rows(table, values, rows, axis=0)
    if how != "mul":
        return c.ops._scatter_into(table, values, rows, axis=0, what=how)

    def step(ops: Any, carry: Any, x: Any) -> Any:
        at, factor = x
        at = ops.reshape(at, (1,))
        row = ops.mul(ops.take(carry, at, axis=0), ops.reshape(factor, (1, *factor.shape)))
        return ops._set_rows(carry, row, at, axis=0), ()

    return scan(step, table, (rows, values))[0]


@reads("ScatterElements", "Scatter")
def _scatter_elements(c: Call, x: Any, i: Any, values: Any) -> Any:
    axis = axis_of(c.get("axis", 0), len(x.shape))
    how = c.get("reduction", "none")
    if how == "mul":
        # Each element is a row.
        places = c.ref(np.arange(int(np.prod(x.shape)), dtype=np.int64).reshape(tuple(x.shape)))
        part = c.ops.slice(places, (0,) * len(x.shape), tuple(n if k == axis else i.shape[k] for k, n in enumerate(x.shape)))
        at = c.ops.flatten(c.ops.take_along_axis(part, i, axis=axis))
        return c.ops.reshape(_written(c, c.ops.flatten(x), c.ops.flatten(values), at, how), tuple(x.shape))
    part = tuple(n if k == axis else i.shape[k] for k, n in enumerate(x.shape))
    if part == tuple(x.shape):
        return c.ops.put_along_axis(x, i, values, axis=axis, how=_HOW[how])
    inside = c.ops.put_along_axis(c.ops.slice(x, (0,) * len(part), part), i, values, axis=axis, how=_HOW[how])
    # The rest of the array stays.
    wide = tuple((0, n - m) for n, m in zip(x.shape, part, strict=True))
    kept = c.ref(np.pad(np.ones(part, bool), wide))
    return c.ops.where(kept, c.ops.pad(inside, wide, value=0), x)


@reads("ScatterND")
def _scatter_nd(c: Call, x: Any, i: Any, values: Any) -> Any:
    how = c.get("reduction", "none")
    depth = i.shape[-1]
    lead = x.shape[:depth]
    rows = int(np.prod(lead))
    strides = np.cumprod([1, *lead[:0:-1]])[::-1].astype(np.int64)
    at = c.cast(i, "int64")
    at = _wrapped_each(c, at, lead)
    flat = c.ops.sum(c.ops.mul(at, c.ref(strides)), axis=-1)
    count = int(np.prod(i.shape[:-1]))
    rest = x.shape[depth:]
    table, rows_of = c.ops.reshape(x, (rows, *rest)), c.ops.reshape(values, (count, *rest))
    flat = c.ops.reshape(flat, (count,))
    return c.ops.reshape(_written(c, table, rows_of, flat, how), tuple(x.shape))


def _wrapped_each(c: Call, at: Any, sizes: Any) -> Any:
    zero, n = c.ref(np.int64(0)), c.ref(np.array(sizes, np.int64))
    return c.ops.where(c.ops.less(at, zero), c.ops.add(at, n), at)


@reads("Compress", known=(1,))
def _compress(c: Call, x: Any, condition: Any) -> Any:
    axis = c.get("axis")
    places = np.flatnonzero(np.asarray(condition)).astype(np.int64)
    return c.ops.take(x, c.ref(places), axis=None if axis is None else axis_of(axis, len(x.shape)))


def _never(c: Call, *xs: Any) -> Any:
    raise c.refuse("of what is computed from data")


# The shapes of their results depend on numbers: only of arrays that are known, whose results ONNX's own evaluator says.
reads("NonZero", "Unique", known=(0,))(_never)
reads("MelWeightMatrix", known=(0, 1, 2, 3, 4))(_never)


@reads("TensorScatter")
def _tensor_scatter(c: Call, past: Any, update: Any, starts: Any = None) -> Any:
    rank = len(past.shape)
    axis = axis_of(c.get("axis", -2), rank)
    n, count = past.shape[axis], update.shape[axis]
    places = c.ref(np.arange(n, dtype=np.int64).reshape([n if k == axis else 1 for k in range(rank)]))
    at = places if starts is None else c.ops.sub(places, c.ops.reshape(c.cast(starts, "int64"), (-1, *[1] * (rank - 1))))
    if c.get("mode", "linear") == "circular":
        at = c.ops.remainder(at, c.ref(np.int64(n)))
    inside = c.ops.logical_and(c.ops.greater_equal(at, c.ref(np.int64(0))), c.ops.less(at, c.ref(np.int64(count))))
    near = c.ops.max(c.ops.min(at, c.ref(np.int64(count - 1))), c.ref(np.int64(0)))
    shape = tuple(past.shape)
    return c.ops.where(inside, c.ops.take_along_axis(update, c.ops.broadcast_to(near, shape), axis=axis), past)


@reads("TopK", known=(1,))
def _top_k(c: Call, x: Any, k: Any = None) -> Any:
    n = c.get("k") if k is None else int(np.asarray(k).reshape(-1)[0])
    axis = axis_of(c.get("axis", -1), len(x.shape))
    values, places = c.ops.topk(x, n, axis=axis, largest=bool(c.get("largest", 1)))
    return values, c.cast(places, "int64")


@reads("ArrayFeatureExtractor")
def _array_feature_extractor(c: Call, x: Any, i: Any) -> Any:
    made = c.ops.take(x, c.ops.reshape(i, (int(np.prod(i.shape)),)), axis=len(x.shape) - 1)
    return made if len(x.shape) > 1 else c.ops.reshape(made, (1, *made.shape))
