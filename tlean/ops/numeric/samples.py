"""What is read off samples: covariances, counts, histograms."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError, completing
from ..elementwise import number
from ..registry import array, composite, whole
from .elements import constant


def _rows(ops: Any, x: Any, rowvar: bool, what: str) -> Any:
    # One variable a row.
    if len(x.shape) > 2:
        raise ShapeError(f"{what} must have at most two axes")
    x = x if len(x.shape) == 2 else ops.reshape(x, (1, x.shape[0] if x.shape else 1))
    return x if rowvar or x.shape[0] == 1 else ops.transpose2d(x)


def _weights(ops: Any, w: Any, n: int, what: str) -> Any:
    w = array(ops, w)
    if w is not None and tuple(w.shape) != (n,):
        raise ShapeError(f"{what} must have a weight for each observation: ({n},)")
    return w


@composite
def cov(
    ops: Any,
    x: Any,
    y: Any = None,
    rowvar: bool = True,
    correction: float = 1.0,
    fweights: Any = None,
    aweights: Any = None,
    *,
    name: str | None = None,
) -> Any:
    """The covariances of variables, from their observations."""
    x, y = array(ops, x, "cov: x"), array(ops, y)
    with completing("cov", x=x, rowvar=rowvar, correction=correction):
        less = number(correction, "correction")
        x = _rows(ops, x, rowvar, "x")
        if y is not None:
            x = ops.concat([x, _rows(ops, y, rowvar, "y")], 0)
        n = x.shape[1]
        counts, shares = _weights(ops, fweights, n, "fweights"), _weights(ops, aweights, n, "aweights")
    if counts is None and shares is None:
        centred = ops.sub(x, ops.mean(x, 1, True))
        product = ops.matmul(centred, ops.transpose2d(centred))
        left = max(n - less, 0.0)
        y = ops.scale(product, 1.0 / left) if left else ops.div(product, constant(ops, product, 0.0))
    else:
        w = shares if counts is None else counts if shares is None else ops.mul(counts, shares)
        total = ops.sum(w)
        row = ops.reshape(w, (1, n))
        centred = ops.sub(x, ops.div(ops.sum(ops.mul(x, row), 1, True), total))
        product = ops.matmul(ops.mul(centred, row), ops.transpose2d(centred))
        gone = constant(ops, product, less)
        if shares is not None:
            gone = ops.mul(gone, ops.div(ops.sum(ops.mul(w, shares)), total))
        y = ops.div(product, ops.maximum(ops.sub(total, gone), constant(ops, product, 0.0)))
    return ops.reshape(y, () if tuple(y.shape) == (1, 1) else tuple(y.shape), name=name)


@composite
def corrcoef(ops: Any, x: Any, y: Any = None, rowvar: bool = True, *, name: str | None = None) -> Any:
    """The correlations of variables, from their observations."""
    c = ops.cov(x, y, rowvar)
    if not c.shape:
        return ops.div(c, c, name=name)
    n = c.shape[0]
    deviation = ops.sqrt(ops.diagonal(c))
    scaled = ops.div(ops.div(c, ops.reshape(deviation, (n, 1))), ops.reshape(deviation, (1, n)))
    return ops.clamp(scaled, -1.0, 1.0, name=name)


@composite
def bincount(ops: Any, x: Any, length: int, weights: Any = None, *, name: str | None = None) -> Any:
    """How often each of the numbers 0, 1, … occurs, or the sum of the weights where it does."""
    x = array(ops, x, "bincount: x") if not isinstance(x, list | tuple) else ops._own_constant(x)
    with completing("bincount", x=x, length=length):
        if len(x.shape) != 1:
            raise ShapeError("x must have one axis")
        if whole("length", length) < 0:
            raise OptionError("length must be at least 0")
        if weights is None:
            # Sums of ones are whole numbers, which float32 has up to 2^24.
            ones = ops.ones((x.shape[0],), dtype="float32" if x.shape[0] <= 1 << 24 else "float64")
            return ops.astype(ops.segment_sum(ones, x, length), "int64", name=name)
        weights = array(ops, weights)
        if tuple(weights.shape) != tuple(x.shape):
            raise ShapeError("weights must have the shape of x")
    return ops.segment_sum(weights, x, length, name=name)


def _edges(ops: Any, x: Any, bins: Any, range: Any) -> tuple[Any, int]:
    if hasattr(bins, "shape") or isinstance(bins, list | tuple):
        edges = array(ops, bins)
        if len(edges.shape) != 1 or edges.shape[0] < 2:
            raise ShapeError("bins must be a number, or the edges in order, at least two")
        return edges, edges.shape[0] - 1
    count = whole("bins", bins)
    if count < 1:
        raise OptionError("bins must be at least 1")
    if range is not None:
        low, high = (number(v, "range") for v in range)
        if not low <= high:
            raise OptionError("range must be two finite numbers in order")
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        return ops.linspace(low, high, count + 1, dtype=str(x.dtype) if str(x.dtype).startswith("float") else None), count
    if not x.shape[0]:
        return ops.linspace(0.0, 1.0, count + 1), count
    x = ops.add(x, constant(ops, x, 0.0))
    low, high = ops.min(x), ops.max(x)
    alone = ops.equal(low, high)
    low, high = ops.where(alone, ops.shift(low, -0.5), low), ops.where(alone, ops.shift(high, 0.5), high)
    steps = ops.arange(0, count + 1, dtype=str(x.dtype))
    inner = ops.add(ops.mul(steps, ops.scale(ops.sub(high, low), 1.0 / count)), low)
    return ops.concat([ops.slice(inner, (0,), (count,)), ops.reshape(high, (1,))], 0), count


@composite
def histogram(ops: Any, x: Any, bins: Any = 10, range: Any = None, weights: Any = None, *, name: str | None = None) -> tuple[Any, Any]:
    """How many elements each bin between two edges has, or the sum of their weights, and the edges."""
    x = array(ops, x, "histogram: x")
    with completing("histogram", x=x, bins=bins, range=range):
        x = ops.flatten(x) if len(x.shape) != 1 else x
        edges, count = _edges(ops, x, bins, range)
        weights = array(ops, weights)
        if weights is not None:
            weights = ops.flatten(weights) if len(weights.shape) != 1 else weights
            if tuple(weights.shape) != tuple(x.shape):
                raise ShapeError("weights must have the shape of x")
    # A bin has its lower edge, the last one both. What lies outside goes to one more bin, which is left out.
    last = ops.reshape(ops.slice(edges, (count,), (count + 1,)), ())
    place = ops.sub(ops.searchsorted(edges, x, "right"), 1)
    place = ops.where(ops.equal(x, last), constant(ops, place, count - 1), place)
    inside = ops.logical_and(ops.greater_equal(place, constant(ops, place, 0)), ops.less_equal(x, last))
    place = ops.where(inside, place, constant(ops, place, count))
    total = ops.bincount(place, count + 1, weights)
    return ops.slice(total, (0,), (count,), name=name), edges
