"""Operators that move elements, or make arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean.errors import DataError

from .registry import Call, axis_of, dtype_of, reads, whole
from .sizes import require_parts, require_size


def reshaped(shape: tuple[int, ...], target: list[int], zero: bool = False) -> tuple[int, ...]:
    """What a shape with ONNX's 0 (as it was) and -1 (the rest) means."""
    sizes = [shape[k] if n == 0 and not zero else n for k, n in enumerate(target)]
    if sizes.count(-1) > 1:
        raise DataError(f"onnx.load: Reshape: at most one size may be -1, got {target}")
    if -1 in sizes:
        rest = math.prod(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = math.prod(shape) // rest if rest else 0
    return tuple(sizes)


@reads("Reshape", known=(1,))
def _reshape(c: Call, x: Any, shape: Any = None) -> Any:
    target = whole(shape) if shape is not None else list(c.get("shape"))
    return c.ops.reshape(x, reshaped(tuple(x.shape), target, bool(c.get("allowzero", 0))))  # type: ignore[arg-type]


@reads("Flatten")
def _flatten(c: Call, x: Any) -> Any:
    axis = c.get("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    return c.ops.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@reads("Transpose")
def _transpose(c: Call, x: Any) -> Any:
    return c.ops.permute(x, tuple(c.get("perm", range(len(x.shape) - 1, -1, -1))))


@reads("Squeeze", known=(1,))
def _squeeze(c: Call, x: Any, axes: Any = None) -> Any:
    chosen = c.get("axes") if axes is None else whole(axes)
    rank = len(x.shape)
    gone = {axis_of(a, rank) for a in chosen} if chosen is not None else {k for k, n in enumerate(x.shape) if n == 1}
    return c.ops.reshape(x, tuple(n for k, n in enumerate(x.shape) if k not in gone))


@reads("Unsqueeze", known=(1,))
def _unsqueeze(c: Call, x: Any, axes: Any = None) -> Any:
    chosen: Any = c.get("axes") if axes is None else whole(axes)
    rank = len(x.shape) + len(chosen)
    sizes = list(x.shape)
    for a in sorted(axis_of(a, rank) for a in chosen):
        sizes.insert(a, 1)
    return c.ops.reshape(x, tuple(sizes))


@reads("Expand", known=(1,))
def _expand(c: Call, x: Any, shape: Any) -> Any:
    return c.ops.broadcast_to(x, np.broadcast_shapes(tuple(x.shape), tuple(whole(shape))))  # type: ignore[arg-type]


@reads("Concat")
def _concat(c: Call, *xs: Any) -> Any:
    return c.ops.concat(list(xs), axis=axis_of(c.get("axis"), len(xs[0].shape)))


@reads("Split", known=(1,))
def _split(c: Call, x: Any, split: Any = None) -> Any:
    axis = axis_of(c.get("axis", 0), len(x.shape))
    n = x.shape[axis]
    parts = c.get("split") if split is None else whole(split)
    if parts is None:
        count = c.get("num_outputs", c.outputs)
        require_parts("Split", count)
        each = -(-n // count)
        parts = [min(each, n - k * each) for k in range(count)]
    made, at = [], 0
    for size in parts:
        made.append(_part(c, x, axis, at, at + size))
        at += size
    return tuple(made)


def _part(c: Call, x: Any, axis: int, start: int, stop: int) -> Any:
    starts = tuple(start if k == axis else 0 for k in range(len(x.shape)))
    return c.ops.slice(x, starts, tuple(stop if k == axis else n for k, n in enumerate(x.shape)))


@reads("Slice", known=(1, 2, 3, 4))
def _slice(c: Call, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    first: Any = whole(starts) if starts is not None else c.get("starts")
    last: Any = whole(ends) if ends is not None else c.get("ends")
    count = len(first)
    chosen = (whole(axes) if axes is not None else c.get("axes")) or list(range(count))
    strides = whole(steps) or [1] * count
    begin, stop, by = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    for a, s, e, step in zip(chosen, first, last, strides, strict=True):
        axis = axis_of(a, len(x.shape))
        begin[axis], stop[axis], by[axis] = slice(s, e, step).indices(x.shape[axis])
        reached = range(begin[axis], stop[axis], by[axis])
        if not len(reached):
            begin[axis] = stop[axis] = 0
            by[axis] = 1
    return c.ops.slice(x, tuple(begin), tuple(stop), tuple(by))


@reads("Pad", known=(1, 2, 3))
def _pad(c: Call, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    widths = whole(pads) if pads is not None else list(c.get("pads"))
    rank = len(x.shape)
    chosen = [axis_of(a, rank) for a in whole(axes)] if axes is not None else list(range(rank))  # type: ignore[union-attr]
    half = len(chosen)
    pairs = [[0, 0] for _ in range(rank)]
    for k, a in enumerate(chosen):
        pairs[a] = [widths[k], widths[k + half]]  # type: ignore[index]
    y = c.ops.slice(x, tuple(max(-b, 0) for b, _ in pairs), tuple(n - max(-a, 0) for n, (_, a) in zip(x.shape, pairs, strict=True)))
    wide = tuple((max(b, 0), max(a, 0)) for b, a in pairs)
    mode = c.get("mode", "constant")
    if mode != "constant":
        return c.ops.pad_by(y, wide, mode=mode)
    number = np.asarray(value).item() if value is not None else c.get("value", 0.0)
    return c.ops.pad(y, wide, value=number)


@reads("Tile", known=(1,))
def _tile(c: Call, x: Any, repeats: Any) -> Any:
    return c.ops.tile(x, tuple(whole(repeats)))  # type: ignore[arg-type]


@reads("Trilu", known=(1,))
def _trilu(c: Call, x: Any, k: Any = None) -> Any:
    n = 0 if k is None else int(np.asarray(k).item())
    if 0 in x.shape:
        return x
    rows, columns = x.shape[-2:]
    kept = np.triu(np.ones((rows, columns), bool), n) if c.get("upper", 1) else np.tril(np.ones((rows, columns), bool), n)
    return c.ops.where(c.ref(kept), x, c.number(0, x))


@reads("Shape")
def _shape(c: Call, x: Any) -> Any:
    n = len(x.shape)
    start, end, _ = slice(c.get("start", 0), c.get("end"), 1).indices(n)
    return np.array(tuple(x.shape)[start:end], np.int64)


@reads("Size")
def _size(c: Call, x: Any) -> Any:
    return np.array(math.prod(x.shape), np.int64)


@reads("ConstantOfShape", known=(0,))
def _constant_of_shape(c: Call, shape: Any) -> Any:
    value = c.get("value")
    number = np.float32(0) if value is None else np.asarray(value).reshape(-1)[0]
    return np.full(tuple(whole(shape)), number)  # type: ignore[arg-type]


@reads("Range", known=(0, 1, 2))
def _range(c: Call, start: Any, limit: Any, delta: Any) -> Any:
    a, b, d = (np.asarray(v).reshape(-1)[0] for v in (start, limit, delta))
    count = max(math.ceil((float(b) - float(a)) / float(d)), 0)
    return (a + np.arange(count) * d).astype(a.dtype)


@reads("EyeLike")
def _eye_like(c: Call, x: Any) -> Any:
    kind = dtype_of(c.get("dtype")) if c.get("dtype") is not None else str(x.dtype)
    return np.eye(x.shape[0], x.shape[1], c.get("k", 0)).astype(kind)


@reads("OneHot", known=(1,))
def _one_hot(c: Call, indices: Any, depth: Any, values: Any) -> Any:
    n = int(np.asarray(depth).reshape(-1)[0])
    require_size("OneHot", n, 1 << 28)
    axis = c.get("axis", -1)
    rank = len(indices.shape) + 1
    axis = axis_of(axis, rank)
    shape = list(indices.shape)
    shape.insert(axis, 1)
    places = np.arange(n).reshape([n if k == axis else 1 for k in range(rank)])
    at = c.cast(indices, "int64")
    at = c.ops.where(c.ops.less(at, c.ref(np.int64(0))), c.ops.add(at, c.ref(np.int64(n))), at)
    chosen = c.ops.equal(c.ops.reshape(at, tuple(shape)), c.ref(places.astype(np.int64)))
    off, on = (c.ops.reshape(c.ops.slice(values, (k,), (k + 1,)), ()) for k in (0, 1))
    return c.ops.where(chosen, on, off)


@reads("DepthToSpace")
def _depth_to_space(c: Call, x: Any) -> Any:
    b, (n, depth, h, w) = c.get("blocksize"), x.shape
    if c.get("mode", "DCR") == "DCR":
        y = c.ops.permute(c.ops.reshape(x, (n, b, b, depth // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = c.ops.permute(c.ops.reshape(x, (n, depth // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return c.ops.reshape(y, (n, depth // (b * b), h * b, w * b))


@reads("SpaceToDepth")
def _space_to_depth(c: Call, x: Any) -> Any:
    b, (n, depth, h, w) = c.get("blocksize"), x.shape
    order = (0, 3, 5, 1, 2, 4) if c.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    y = c.ops.permute(c.ops.reshape(x, (n, depth, h // b, b, w // b, b)), order)
    return c.ops.reshape(y, (n, depth * b * b, h // b, w // b))


@reads("ReverseSequence", known=(1,))
def _reverse_sequence(c: Call, x: Any, lengths: Any) -> Any:
    batch, time = c.get("batch_axis", 1), c.get("time_axis", 0)
    n = x.shape[time]
    at = np.stack([np.r_[np.arange(k)[::-1], np.arange(k, n)] for k in whole(lengths)])  # type: ignore[union-attr]
    at = at if batch < time else at.T
    at = at.reshape([d if k in (batch, time) else 1 for k, d in enumerate(x.shape)])
    return c.ops.take_along_axis(x, c.ref(np.broadcast_to(at, tuple(x.shape)).astype(np.int64)), axis=time)
