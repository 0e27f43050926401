"""Axes: new ones, superfluous ones, and axes in another order."""

from __future__ import annotations

from operator import index
from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import NO_SEQUENCES, Shape, normalize_axis
from ..registry import array, composite


def ints(value: Any) -> Shape:
    """An int or a sequence of ints as a tuple. Raises: TypeError."""
    try:
        return (index(value),)
    except TypeError:
        if isinstance(value, NO_SEQUENCES):
            raise
        return tuple(index(v) for v in value)


def is_sequence(value: Any) -> bool:
    """Whether an argument is a sequence where an int may be. An array of integers has `__index__` whatever its axes."""
    return not isinstance(value, NO_SEQUENCES) and (not hasattr(value, "__index__") or bool(getattr(value, "shape", None)))


def named_axes(axis: Any, n: int) -> Shape:
    """The axes that an int or a sequence names, counted from 0, in its order. Raises: IndexRangeError; OptionError for one named twice."""
    axes = tuple(normalize_axis(a, n) for a in ints(axis))
    if len(set(axes)) < len(axes):
        raise OptionError("an axis must be named once")
    return axes


def in_order(ops: Any, x: Any, order: Shape) -> Any:
    """x with its axes in that order, as it is where they are."""
    return x if order == tuple(range(len(order))) else ops.permute(x, order)


def _permuted(ops: Any, x: Any, order: Shape, name: str | None) -> Any:
    # A view where the axes are in that order.
    return ops.reshape(x, tuple(x.shape), name=name) if order == tuple(range(len(order))) else ops.permute(x, order, name=name)


@composite
def expand_dims(ops: Any, x: Any, axis: Any, *, name: str | None = None) -> Any:
    """x with axes of size 1 at these places of the result."""
    x = array(ops, x, "expand_dims: x")
    with completing("expand_dims", x=x, axis=axis):
        n = len(x.shape) + len(ints(axis))
        added, sizes = named_axes(axis, n), iter(x.shape)
        return ops.reshape(x, tuple(1 if k in added else next(sizes) for k in range(n)), name=name)


@composite
def squeeze(ops: Any, x: Any, axis: Any = None, *, name: str | None = None) -> Any:
    """x without its axes of size 1, or without those named."""
    x = array(ops, x, "squeeze: x")
    with completing("squeeze", x=x, axis=axis):
        ones = tuple(k for k, d in enumerate(x.shape) if d == 1)
        dropped = ones if axis is None else named_axes(axis, len(x.shape))
        if not set(dropped) <= set(ones):
            raise ShapeError("an axis that is dropped must have size 1")
        return ops.reshape(x, tuple(d for k, d in enumerate(x.shape) if k not in dropped), name=name)


@composite
def moveaxis(ops: Any, x: Any, source: Any, destination: Any, *, name: str | None = None) -> Any:
    """x with some axes at other places, the rest in the order that they have."""
    x = array(ops, x, "moveaxis: x")
    with completing("moveaxis", x=x, source=source, destination=destination):
        n = len(x.shape)
        moved, places = named_axes(source, n), named_axes(destination, n)
        if len(moved) != len(places):
            raise OptionError("source and destination must name equally many axes")
        order = [k for k in range(n) if k not in moved]
        for place, k in sorted(zip(places, moved, strict=True)):
            order.insert(place, k)
        return _permuted(ops, x, tuple(order), name)


@composite
def swapaxes(ops: Any, x: Any, axis1: int, axis2: int, *, name: str | None = None) -> Any:
    """x with two axes exchanged."""
    x = array(ops, x, "swapaxes: x")
    with completing("swapaxes", x=x, axis1=axis1, axis2=axis2):
        n = len(x.shape)
        i, j = normalize_axis(axis1, n), normalize_axis(axis2, n)
        return _permuted(ops, x, tuple(j if k == i else i if k == j else k for k in range(n)), name)


@composite
def flip(ops: Any, x: Any, axis: Any = None, *, name: str | None = None) -> Any:
    """x with its entries in the opposite order along these axes, by default along all."""
    x = array(ops, x, "flip: x")
    with completing("flip", x=x, axis=axis):
        n = len(x.shape)
        turned = set(range(n) if axis is None else named_axes(axis, n))
        # Of one entry or none there is no opposite order.
        back = [k in turned and d > 1 for k, d in enumerate(x.shape)]
        starts = tuple(d - 1 if b else 0 for b, d in zip(back, x.shape, strict=True))
        stops = tuple(-1 if b else d for b, d in zip(back, x.shape, strict=True))
        return ops.slice(x, starts, stops, tuple(-1 if b else 1 for b in back), name=name)


@composite
def roll(ops: Any, x: Any, shift: Any, axis: Any = None, *, name: str | None = None) -> Any:
    """x with its entries moved along axes; those that leave at one end enter at the other."""
    x = array(ops, x, "roll: x")
    with completing("roll", x=x, shift=shift, axis=axis):
        shape = tuple(x.shape)
        if axis is None:
            x, axis = ops.flatten(x), 0
        shifts, axes = ints(shift), ints(axis)
        if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
            raise OptionError("shift must be one int, or one for each axis")
        count = max(len(shifts), len(axes)) if shifts and axes else 0
        total = [0] * len(x.shape)
        for k in range(count):
            total[normalize_axis(axes[k % len(axes)], len(x.shape))] += shifts[k % len(shifts)]
        for k, (moved, d) in enumerate(zip(total, tuple(x.shape), strict=True)):
            cut = -moved % d if d else 0
            if cut:
                x = ops.concat([_part(ops, x, k, cut, d), _part(ops, x, k, 0, cut)], k)
        return ops.reshape(x, shape, name=name)


def _part(ops: Any, x: Any, axis: int, start: int, stop: int) -> Any:
    starts = tuple(start if k == axis else 0 for k in range(len(x.shape)))
    return ops.slice(x, starts, tuple(stop if k == axis else d for k, d in enumerate(x.shape)))
