"""Reductions that leave out NaN, and counts."""

from __future__ import annotations

import math
from typing import Any

from ...arguments import truth
from ...dtypes import INTEGERS
from ...errors import OptionError, ShapeError, completing
from ...shapes import normalize_axes, normalize_axis, reduced, size, stretching
from ..elementwise import number
from ..reduce import reversing
from ..registry import array, composite, whole
from .elements import constant


def _filled(ops: Any, x: Any, value: float) -> Any:
    return x if str(x.dtype) in INTEGERS else ops.where(ops.isnan(x), constant(ops, x, value), x)


def _present(ops: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    # How many elements are none of them NaN.
    return ops.sum(ops.astype(ops.logical_not(ops.isnan(x)), "int64"), axis, keepdims)


@composite
def nansum(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The sum of what is not NaN."""
    return ops.sum(_filled(ops, array(ops, x, "nansum: x"), 0.0), axis, keepdims, name=name)


@composite
def nanprod(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The product of what is not NaN."""
    return ops.prod(_filled(ops, array(ops, x, "nanprod: x"), 1.0), axis, keepdims, name=name)


def _extreme(ops: Any, op: str, nothing: float, x: Any, axis: Any, keepdims: bool, name: str | None) -> Any:
    x = array(ops, x, f"nan{op}: x")
    if str(x.dtype) in INTEGERS:
        return getattr(ops, op)(x, None, axis, keepdims, name=name)
    missing = ops.isnan(x)
    y = getattr(ops, op)(ops.where(missing, constant(ops, x, nothing), x), None, axis, keepdims)
    return ops.where(ops.all(missing, axis, keepdims), constant(ops, y, math.nan), y, name=name)


@composite
def nanmax(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The greatest of what is not NaN."""
    return _extreme(ops, "max", -math.inf, x, axis, keepdims, name)


@composite
def nanmin(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The least of what is not NaN."""
    return _extreme(ops, "min", math.inf, x, axis, keepdims, name)


@composite
def nanmean(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The mean of what is not NaN."""
    x = array(ops, x, "nanmean: x")
    return ops.div(ops.sum(_filled(ops, x, 0.0), axis, keepdims), _present(ops, x, axis, keepdims), name=name)


@composite
@stretching
def nanvar(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Any:
    """The variance of what is not NaN."""
    x = array(ops, x, "nanvar: x")
    less = number(correction, "correction")
    mean = ops.nanmean(x, axis, True)
    distance = ops.sub(x, mean)
    if str(x.dtype) not in INTEGERS:
        distance = ops.where(ops.isnan(x), constant(ops, distance, 0.0), distance)
    count = _present(ops, x, axis, keepdims)
    total = ops.sum(ops.square(distance), axis, keepdims)
    count = ops.astype(count, str(total.dtype))
    count = ops.shift(count, -less) if less else count
    none = ops.less_equal(count, constant(ops, count, 0.0))
    return ops.where(none, constant(ops, total, math.nan), ops.div(total, ops.where(none, constant(ops, count, 1.0), count)), name=name)


@composite
@stretching
def nanstd(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Any:
    """The root of the variance of what is not NaN."""
    return ops.sqrt(ops.nanvar(x, axis, keepdims, correction), name=name)


def _quantile(ops: Any, op: str, x: Any, q: float, axis: Any, keepdims: bool, name: str | None) -> Any:
    # NaN is last in order: the others are the first ones of a line, and a place among them is known when they are counted.
    x = array(ops, x, f"{op}: x")
    with completing(op, x=x, q=q, axis=axis):
        if not 0 <= number(q, "q") <= 1:
            raise OptionError("q must be between 0 and 1")
        axes = normalize_axes(axis, len(x.shape))
        target, n = reduced(tuple(x.shape), axes, truth("keepdims", keepdims)), size(tuple(x.shape[k] for k in axes))
        if not n:
            raise ShapeError("takes at least one element along the reduced axes")
    if str(x.dtype) in INTEGERS:
        return ops.quantile(x, q, axis, keepdims, name=name)
    kept = tuple(k for k in range(len(x.shape)) if k not in axes)
    lines = ops.reshape(ops.permute(x, (*kept, *axes)), (*(x.shape[k] for k in kept), n)) if x.shape else ops.reshape(x, (1,))
    ordered = ops.sort(lines)
    count = _present(ops, lines, -1, True)
    place = ops.scale(ops.astype(ops.sub(count, constant(ops, count, 1)), str(x.dtype)), float(q))
    low = ops.maximum(ops.astype(ops.floor(place), "int64"), constant(ops, count, 0))
    # At a whole place the next element has no part, were it infinite.
    high = ops.maximum(ops.astype(ops.ceil(place), "int64"), constant(ops, count, 0))
    part = ops.sub(place, ops.astype(low, str(x.dtype)))
    first, second = (ops.take_along_axis(ordered, at, -1) for at in (low, high))
    # Where both are one element, which may be infinite, nothing lies between.
    apart = ops.not_equal(first, second)
    step = ops.where(apart, ops.sub(second, first), constant(ops, first, 0.0))
    return ops.reshape(ops.add(first, ops.mul(part, step)), target, name=name)


@composite
def nanquantile(ops: Any, x: Any, q: float, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """What lies at q of the way through what is not NaN."""
    return _quantile(ops, "nanquantile", x, q, axis, keepdims, name)


@composite
def nanmedian(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The middle of what is not NaN."""
    return _quantile(ops, "nanmedian", x, 0.5, axis, keepdims, name)


# Counts and order -------------------------------------------------------------------------------------------------------


@composite
def count_nonzero(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """How many elements are not 0."""
    return ops.sum(ops.astype(array(ops, x, "count_nonzero: x"), "bool"), axis, keepdims, name=name)


@composite
def cummin(ops: Any, x: Any, axis: Any, *, name: str | None = None) -> Any:
    """The running minimum: that of the running maximum in the order that is reversed."""
    x = array(ops, x, "cummin: x")
    back = reversing(ops, x)
    return back(ops.cummax(back(x), axis), name=name)


@composite
def kthvalue(ops: Any, x: Any, k: int, axis: int = -1, keepdims: bool = False, *, name: str | None = None) -> tuple[Any, Any]:
    """The k-th of the elements in order along an axis, and its place."""
    x = array(ops, x, "kthvalue: x")
    with completing("kthvalue", x=x, k=k, axis=axis):
        at = normalize_axis(axis, len(x.shape))
        if not 1 <= whole("k", k) <= x.shape[at]:
            raise OptionError(f"k must be between 1 and the {x.shape[at]} elements of the axis")
    starts = tuple(whole("k", k) - 1 if i == at else 0 for i in range(len(x.shape)))
    stops = tuple(whole("k", k) if i == at else d for i, d in enumerate(x.shape))
    places = ops.slice(ops.argsort(x, at), starts, stops)
    target = reduced(tuple(x.shape), (at,), truth("keepdims", keepdims))
    values = ops.take_along_axis(x, places, at)
    return ops.reshape(values, target, name=name), ops.reshape(places, target)
