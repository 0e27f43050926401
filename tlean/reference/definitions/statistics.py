"""Definitions of products, variances, norms, running reductions and order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from .scalars import exp, number, sqrt


def _count(x: Any, axis: Any) -> Any:
    return number(int(np.prod([x.shape[a] for a in axis], dtype=int)), x)


def prod(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return np.prod(x, axis=axis, keepdims=keepdims)


def var(x: Any, *, axis: Any, keepdims: bool, correction: Any) -> Any:
    n = _count(x, axis)
    deviation = x - np.sum(x, axis=axis, keepdims=True) / n
    return np.sum(deviation * deviation, axis=axis, keepdims=keepdims) / max(n - number(correction, x), number(0, x))


def norm(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


# Running reductions: along an axis, or over all elements in row-major order where it is None.


def _along(x: Any, axis: Any) -> Any:
    # The array with its axis first, and how to bring a result back; elements that are one array have one axis.
    if axis is None:
        return x.reshape(-1), lambda y: y
    return np.moveaxis(x, axis, 0), lambda y: np.moveaxis(y, 0, axis)


def recurrence(a: Any, b: Any, *, axis: Any, lagged: Any, reverse: Any) -> Any:
    (a, _), (b, back) = _along(a, axis), _along(b, axis)
    y = b.copy()
    order = list(range(len(b)))[:: -1 if reverse else 1]
    for before, j in pairwise(order):
        y[j] = b[j] + (a[before] if lagged else a[j]) * y[before]
    return back(y)


def running_product(x: Any, *, axis: Any, exclusive: bool = False, reverse: bool = False) -> Any:
    x, back = _along(x, axis)
    if x.dtype.kind in "bi":
        x = x.astype(np.int64)
    y = np.full(x.shape, number(1, x), dtype=x.dtype)
    total = number(1, x)
    for j in list(range(len(x)))[:: -1 if reverse else 1]:
        product = total * x[j]
        y[j] = total if exclusive else product
        total = product
    return back(y)


def _cummax_places(x: Any, axis: Any) -> Any:
    places, back = _along(np.arange(x.size).reshape(x.shape), axis)
    x, _ = _along(x, axis)
    best = np.array(places)
    for i in np.ndindex(x.shape[1:]):
        top = 0
        for j in range(len(x)):
            v, t = x[(j, *i)], x[(top, *i)]
            if v > t or (v != v and t == t):
                top = j
            best[(j, *i)] = places[(top, *i)]
    return back(best)


def cummax(x: Any, *, axis: Any) -> Any:
    places = _cummax_places(x, axis)
    return x.reshape(-1)[places.reshape(-1)].reshape(places.shape)


def cummax_index(x: Any, *, axis: Any) -> Any:
    return _cummax_places(x, axis)


def cumlogsumexp(x: Any, *, axis: Any) -> Any:
    x, back = _along(x, axis)
    exp(x[:0])
    return back(np.logaddexp.accumulate(x, axis=0)) if x.size else back(x)


# Order: NaN is the greatest, and equal elements stay in their order. Descending, the greatest come first.


def argsort(x: Any, *, axis: Any, descending: bool) -> Any:
    x, back = _along(x, axis)
    y = np.empty(x.shape, dtype=np.int64)
    for i in np.ndindex(x.shape[1:]):
        line = x[(slice(None), *i)]
        ranks = [_rank(value) for value in line]
        y[(slice(None), *i)] = sorted(range(len(line)), key=ranks.__getitem__, reverse=descending)
    return back(y)


def _rank(v: Any) -> Any:
    return (1, 0) if v != v else (0, v)


def sort(x: Any, *, axis: Any, descending: bool) -> Any:
    index = argsort(x, axis=axis, descending=descending)
    return x.reshape(-1)[index] if axis is None else np.take_along_axis(x, index, axis)


def topk_index(x: Any, *, k: Any, axis: Any, largest: Any) -> Any:
    return np.take(argsort(x, axis=axis, descending=largest), range(k), axis=axis)


def searchsorted(a: Any, v: Any, *, side: Any) -> Any:
    # By halves: so there is one answer where a is not sorted, too.
    find = bisect_left if side == "left" else bisect_right
    keys = [_rank(w) for w in a]
    return np.array([find(keys, _rank(u)) for u in v.flat], dtype=np.int64).reshape(v.shape)


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "sort": sort,
    "argsort": argsort,
    "_topk_index": topk_index,
    "searchsorted": searchsorted,
    "prod": prod,
    "var": var,
    "_norm": norm,
    "_recurrence": recurrence,
    "_running_product": running_product,
    "cumprod": running_product,
    "cummax": cummax,
    "_cummax_index": cummax_index,
    "cumlogsumexp": cumlogsumexp,
}
