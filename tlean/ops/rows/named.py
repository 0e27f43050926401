"""Gathers, scatters, reductions of segments and slices by run-time starts, made of positions and of the ops on rows."""

from __future__ import annotations

import math
from typing import Any

from ...dtypes import INTEGERS, SIZES
from ...errors import IndexRangeError, OptionError, ShapeError, completing
from ...shapes import Shape, as_shape, normalize_axis, size
from ..layout import row_strides
from ..registry import array, composite, whole
from .take import MODES
from .write import full_like, written


def index_shape(i: Any, name: str = "indices") -> Shape:
    """The shape of indices: of a reference, an array, or nested sequences of ints. Raises: ShapeError for ragged sequences."""
    if isinstance(getattr(i, "shape", None), tuple):
        return i.shape
    if not isinstance(i, list | tuple):
        return ()
    inner = {index_shape(e, name) for e in i}
    if len(inner) > 1:
        raise ShapeError(f"{name} must be an array, not sequences of different lengths")
    return (len(i), *(inner.pop() if inner else ()))


def _after(mode: str) -> str:
    # Positions are checked where they are made; -1 is left where an index names none.
    return "drop" if mode in ("fill", "drop") else "strict"


def _mode(mode: Any) -> str:
    if not isinstance(mode, str) or mode not in MODES:
        raise OptionError(f"mode must be one of {', '.join(MODES)}")
    return mode


def _value_of(ops: Any, x: Any, v: Any, shape: Shape, name: str) -> Any:
    # A number, an array or a reference in a shape that it broadcasts to.
    if type(v) in (int, float, bool):
        return full_like(ops, x, shape, v)
    v = array(ops, v, name)
    return v if tuple(v.shape) == shape else ops.broadcast_to(v, shape)


# Along an axis --------------------------------------------------------------------------------------------------------------


def _along(ops: Any, x: Any, indices: Any, axis: int, mode: str) -> Any:
    # The positions in x that indices along an axis name, at every place along the others.
    own, other = tuple(x.shape), index_shape(indices)
    if len(other) != len(own):
        raise ShapeError(f"indices must have the {len(own)} axes of x")
    if any(d != e and 1 not in (d, e) for k, (d, e) in enumerate(zip(own, other, strict=True)) if k != axis):
        raise ShapeError(f"indices must broadcast against x along every axis but axis {axis}")
    shape = tuple(e if k == axis or d == 1 else d for k, (d, e) in enumerate(zip(own, other, strict=True)))
    strides = row_strides(own)
    along = tuple(0 if k == axis or d == 1 else s for k, (d, s) in enumerate(zip(own, strides, strict=True)))
    return ops._locate(indices, None, shape=shape, size=own[axis], step=strides[axis], along=along, mode=mode)


@composite
def take_along_axis(ops: Any, x: Any, indices: Any, axis: int = -1, mode: str = "raise", *, name: str | None = None) -> Any:
    """The entries of x that indices name along an axis, each at its own place along the others."""
    x = array(ops, x, "take_along_axis: x")
    with completing("take_along_axis", x=x, indices=indices, axis=axis, mode=mode):
        places = _along(ops, x, indices, normalize_axis(axis, len(x.shape)), _mode(mode))
        return ops.take(x, places, axis=None, mode=_after(mode), name=name)


@composite
def put_along_axis(
    ops: Any, x: Any, indices: Any, values: Any, axis: int = -1, how: str = "set", mode: str = "raise", *, name: str | None = None
) -> Any:
    """A copy of x with values written where indices name an entry along an axis, each at its own place along the others."""
    x = array(ops, x, "put_along_axis: x")
    with completing("put_along_axis", x=x, indices=indices, axis=axis, how=how, mode=mode):
        places = _along(ops, x, indices, normalize_axis(axis, len(x.shape)), _mode(mode))
        v = _value_of(ops, x, values, tuple(places.shape), "put_along_axis: values")
        return written(ops, x, v, places, None, _after(mode), how, name)


def _summed(ops: Any, x: Any) -> Any:
    # What is summed up: sums of integers and of Booleans are int64.
    return ops.astype(x, "int64") if str(x.dtype) in ("int32", "bool") else x


# By tuples of indices --------------------------------------------------------------------------------------------------------


def _tuples(ops: Any, indices: Any, sizes: Shape, mode: str) -> tuple[Any, Shape, int]:
    # The positions that the tuples along the last axis of indices name in an array of these sizes, their shape, and the length of a tuple.
    shape = index_shape(indices)
    if not shape or not 1 <= shape[-1] <= len(sizes):
        raise ShapeError(f"the last axis of indices must hold between 1 and {len(sizes)} indices")
    k, places = shape[-1], None
    for a in range(k):
        places = ops._locate(indices, places, shape=shape[:-1], pick=a, size=sizes[a], step=size(sizes[a + 1 : k]), mode=mode)
    return places, shape[:-1], k


@composite
def gather_nd(ops: Any, x: Any, indices: Any, mode: str = "raise", *, name: str | None = None) -> Any:
    """The parts of x that tuples of indices name: y[…] = x[indices[…, 0], …, indices[…, k − 1]]."""
    x = array(ops, x, "gather_nd: x")
    with completing("gather_nd", x=x, indices=indices, mode=mode):
        own = tuple(x.shape)
        places, _, k = _tuples(ops, indices, own, _mode(mode))
        return ops.take(ops.reshape(x, (size(own[:k]), *own[k:])), places, axis=0, mode=_after(mode), name=name)


@composite
def scatter_nd(ops: Any, updates: Any, indices: Any, shape: Any, mode: str = "raise", *, name: str | None = None) -> Any:
    """Zeros of a shape with the updates added at the parts that tuples of indices name, in their order."""
    updates = array(ops, updates, "scatter_nd: updates")
    with completing("scatter_nd", updates=updates, indices=indices, shape=shape, mode=mode):
        target = as_shape(shape)
        places, batch, k = _tuples(ops, indices, target, _mode(mode))
        if tuple(updates.shape) != (*batch, *target[k:]):
            raise ShapeError(f"updates must have the shape {(*batch, *target[k:])} of the parts that the indices name")
        total = ops._scatter_rows(_summed(ops, updates), places, shape=(size(target[:k]), *target[k:]), axis=0, mode=_after(mode))
        return ops.reshape(total, target, name=name)


# Segments -------------------------------------------------------------------------------------------------------------------


def _segments(x: Any, ids: Any, count: Any) -> Shape:
    # The shape of the result.
    own, named = tuple(x.shape), index_shape(ids, "ids")
    if not named or own[: len(named)] != named:
        raise ShapeError("ids must have the shape of the first axes of x")
    return (*as_shape((whole("count", count),)), *own[len(named) :])


@composite
def segment_sum(ops: Any, x: Any, ids: Any, count: int, mode: str = "strict", *, name: str | None = None) -> Any:
    """The sum of the rows of each segment, in their order; 0 for an empty one."""
    x = array(ops, x, "segment_sum: x")
    with completing("segment_sum", x=x, ids=ids, count=count, mode=mode):
        options = {"shape": _segments(x, ids, count), "axis": 0, "mode": _mode(mode)}
        return ops.apply("_scatter_rows", (_summed(ops, x), ids), options, name)


@composite
def segment_mean(ops: Any, x: Any, ids: Any, count: int, mode: str = "strict", *, name: str | None = None) -> Any:
    """The mean of the rows of each segment; 0 for an empty one."""
    x = array(ops, x, "segment_mean: x")
    with completing("segment_mean", x=x, ids=ids, count=count, mode=mode):
        shape = _segments(x, ids, count)
        total = ops._scatter_rows(_summed(ops, x), ids, shape=shape, axis=0, mode=_mode(mode))
        rows = ops._scatter_rows(full_like(ops, x, index_shape(ids, "ids"), 1.0), ids, shape=shape[:1], axis=0, mode=mode)
        rows = ops.max(rows, full_like(ops, x, shape[:1], 1.0))
        each = ops.broadcast_to(ops.reshape(rows, (*shape[:1], *(1,) * (len(shape) - 1))), shape)
        return ops.div(total, each, name=name)


def _least(dtype: str) -> float:
    # What no element is less than.
    return False if dtype == "bool" else -(1 << (8 * SIZES[dtype] - 1)) if dtype in INTEGERS else -math.inf


def _greatest(dtype: str) -> float:
    return True if dtype == "bool" else (1 << (8 * SIZES[dtype] - 1)) - 1 if dtype in INTEGERS else math.inf


def _extremum(ops: Any, op: str, x: Any, ids: Any, count: Any, mode: Any, name: str | None, what: str) -> Any:
    x = array(ops, x, f"{op}: x")
    with completing(op, x=x, ids=ids, count=count, mode=mode):
        base = full_like(ops, x, _segments(x, ids, count), _least(str(x.dtype)) if what == "max" else _greatest(str(x.dtype)))
        return written(ops, base, x, ids, 0, _mode(mode), what, name)


@composite
def segment_max(ops: Any, x: Any, ids: Any, count: int, mode: str = "strict", *, name: str | None = None) -> Any:
    """The greatest of the rows of each segment; −∞, or the least integer, for an empty one."""
    return _extremum(ops, "segment_max", x, ids, count, mode, name, "max")


@composite
def segment_min(ops: Any, x: Any, ids: Any, count: int, mode: str = "strict", *, name: str | None = None) -> Any:
    """The smallest of the rows of each segment; ∞, or the greatest integer, for an empty one."""
    return _extremum(ops, "segment_min", x, ids, count, mode, name, "min")


# Boxes by run-time starts ----------------------------------------------------------------------------------------------------


def _start(ops: Any, starts: Any, x: Shape, box: Shape, mode: str) -> Any:
    # The position of the first element of a box, and nowhere (-1) where it is out of range and the mode allows that.
    if len(box) != len(x) or any(b > n for b, n in zip(box, x, strict=True)):
        raise ShapeError(f"a box must have {len(x)} axes, none longer than x")
    several = isinstance(starts, list | tuple)
    if (several and len(starts) != len(x)) or (not several and index_shape(starts, "starts") != (len(x),)):
        raise IndexRangeError(f"starts must hold one index for each of the {len(x)} axes of x")
    place = None
    for a, (n, b, step) in enumerate(zip(x, box, row_strides(x), strict=True)):
        options = {"shape": (), "size": n - b + 1, "wrap": n, "step": step, "mode": mode}
        place = ops._locate(starts[a], place, **options) if several else ops._locate(starts, place, pick=a, **options)
    return place


@composite
def dynamic_slice(ops: Any, x: Any, starts: Any, sizes: Any, mode: str = "raise", *, name: str | None = None) -> Any:
    """A box of x of fixed sizes whose first entry is known at run time."""
    x = array(ops, x, "dynamic_slice: x")
    with completing("dynamic_slice", x=x, starts=starts, sizes=sizes, mode=mode):
        own, box = tuple(x.shape), as_shape(sizes)
        place = _start(ops, starts, own, box, _mode(mode))
        if place is None:
            return ops.reshape(x, (), name=name)
        options = {"box": box, "starts": (0,) * len(own), "steps": (1,) * len(own)}
        return ops.apply("_take_box", (x, place), options, name)


@composite
def dynamic_update_slice(ops: Any, x: Any, v: Any, starts: Any, mode: str = "raise", *, name: str | None = None) -> Any:
    """A copy of x with v written to a box whose first entry is known at run time."""
    x, v = array(ops, x, "dynamic_update_slice: x"), array(ops, v, "dynamic_update_slice: v")
    with completing("dynamic_update_slice", x=x, v=v, starts=starts, mode=mode):
        own = tuple(x.shape)
        place = _start(ops, starts, own, tuple(v.shape), _mode(mode))
        return ops.apply("_set_box", (x, v, place), {"starts": (0,) * len(own), "steps": (1,) * len(own)}, name)
