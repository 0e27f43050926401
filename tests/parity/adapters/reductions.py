"""Reductions, running reductions, order and statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

import tlean as tl

from ..compare import Known
from ..samples import Skip
from .common import axes_of, cast, is_bool, is_float, rank
from .matrices import matrix_norm


def over(f: Any) -> Any:
    """A reduction with PyTorch's arguments: `dim`, where no axes are all, `keepdim`, `dtype`."""

    def call(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        if dtype is torch.bool:
            raise Skip("a reduction whose result is asked for as a Boolean")
        return f(cast(x, dtype), axes_of(dim), keepdim)

    return call


def _spread(f: Any) -> Any:
    def call(x: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, correction: Any = None) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None or unbiased else 0
        axis = axes_of(dim)
        count = math.prod(x.shape) if axis is None else math.prod(x.shape[a] for a in ((axis,) if isinstance(axis, int) else axis))
        if count <= correction:
            raise Skip("a variance of fewer elements than its correction: an error")
        return f(x, axis, keepdim, correction)

    return call


def _with_mean(f: Any) -> Any:
    spread = _spread(f)

    def call(x: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, correction: Any = None) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        return spread(x, dim, unbiased, keepdim, correction), tl.mean(x, axes_of(dim), keepdim)

    return call


def _arg(f: Any) -> Any:
    return lambda x, dim=None, keepdim=False: f(x, dim, keepdim)


def _extreme(f: Any, place: Any) -> Any:
    def call(x: Any, dim: Any, keepdim: bool = False) -> Any:
        if not x.shape:
            return x, tl.zeros((), dtype=int)
        return f(x, axis=dim, keepdims=keepdim), place(x, dim, keepdim)

    return call


def _aminmax(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return tl.min(x, axis=dim, keepdims=keepdim), tl.max(x, axis=dim, keepdims=keepdim)


def _running(best: Any) -> Any:
    def call(x: Any, dim: int) -> Any:
        if 0 in x.shape:
            raise Skip("an axis without elements: an error")
        y = best(x, dim)
        shape = tuple(x.shape[dim] if k == dim % len(x.shape) else 1 for k in range(len(x.shape)))
        places = tl.where(x == y, tl.reshape(tl.arange(x.shape[dim]), shape), -1)
        return y, tl.astype(tl.cummax(places, dim), int)

    return call


def _diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    return tl.diff(x, n, dim, prepend, append)


def _dist(a: Any, b: Any, p: float = 2) -> Any:
    return tl.norm(a - b, p)


def _vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    x, axis = cast(x, dtype), axes_of(dim)
    if ord == 0:
        return tl.sum(tl.astype(x != 0, str(x.dtype)), axis, keepdim)
    return tl.norm(x, ord, axis, keepdim)


def _norm(x: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return _vector_norm(x, 2 if p in ("fro", None) else p, dim, keepdim, dtype)


def _any_norm(x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if ord is None:
        return _vector_norm(x, 2, dim, keepdim, dtype)
    if isinstance(ord, str) or (rank(x) == 2 if dim is None else not isinstance(dim, int) and len(dim) == 2):
        return matrix_norm(x, ord, (-2, -1) if dim is None else dim, keepdim, dtype)
    return _vector_norm(x, ord, dim, keepdim, dtype)


def _norm_at_zero(x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if ord == "nuc" or (ord in (2, -2) and (dim is None or not isinstance(dim, int)) and rank(x) > 1):
        raise Skip("singular values that are all 0: which derivative there is, is a choice")
    return _any_norm(x, ord, dim, keepdim, dtype)


def _quantile(x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
    if isinstance(q, tl.Ref):
        raise Skip("a quantile whose place is an array of the program")
    return tl.quantile(x, q, dim, keepdim, method=interpolation)


def _sorted(x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    if not x.shape:
        return x, tl.zeros((), dtype=int)
    return tl.sort(x, dim, descending), tl.argsort(x, dim, descending)


def _topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if not x.shape:
        return x, tl.zeros((), dtype=int)
    if not sorted:
        raise Skip("an order that is not defined (sorted=False)")
    return tl.topk(x, k, dim, largest)


def _kth(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return tl.kthvalue(x, k, dim, keepdim) if x.shape else (x, tl.zeros((), dtype=int))


def _median(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    # PyTorch's is the lower of the two in the middle; without NaN.
    if dim is None:
        flat = tl.flatten(x)
        return tl.sort(flat)[(flat.shape[0] - 1) // 2]
    return _kth(x, (x.shape[dim] - 1) // 2 + 1 if x.shape else 1, dim, keepdim)


def _nanmedian(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    # PyTorch's is the lower of the two in the middle.
    if not is_float(x):
        return _median(x, dim, keepdim)
    all_of_it, scalar = dim is None, not x.shape
    x, dim = (tl.reshape(x, (-1,)), 0) if all_of_it or scalar else (x, dim)
    place = tl.maximum((tl.sum(~tl.isnan(x), dim, True) - 1) // 2, 0)
    order = tl.take_along_axis(tl.argsort(x, dim), place, dim)
    value = tl.take_along_axis(x, order, dim)
    if all_of_it or scalar or not keepdim:
        value, order = tl.squeeze(value, dim), tl.squeeze(order, dim)
    return value if all_of_it else (value, order)


def _nanquantile(x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
    if isinstance(q, tl.Ref):
        raise Skip("a quantile whose place is an array of the program")
    if interpolation != "linear":
        raise Skip("another way to lie between two elements")
    return tl.nanquantile(x, q, dim, keepdim)


def _renorm(x: Any, p: float, dim: int, maxnorm: float) -> Any:
    axes = tuple(k for k in range(rank(x)) if k != dim % rank(x))
    size = tl.norm(x, p, axes, True)
    return x * tl.where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


def _searched(a: Any, v: Any, *, out_int32: bool = False, right: bool = False, side: Any = None, sorter: Any = None) -> Any:
    if sorter is not None:
        a = tl.take_along_axis(a, sorter, -1)
    side = side or ("right" if right else "left")
    if rank(a) == 1:
        return tl.searchsorted(a, v, side)
    if 0 in a.shape or 0 in v.shape:
        return tl.zeros(v.shape, dtype=int)
    rows, wanted = tl.reshape(a, (-1, a.shape[-1])), tl.reshape(v, (-1, v.shape[-1]))
    parts = [tl.searchsorted(rows[k], wanted[k], side) for k in range(rows.shape[0])]
    return tl.reshape(tl.stack(parts), v.shape)


def _bucketize(v: Any, a: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    return tl.searchsorted(a, v, "right" if right else "left")


def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    return tl.bincount(x, max(int(np.max(x, initial=-1)) + 1, minlength), weights)


def _histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    flat = tl.flatten(x)
    if not flat.shape[0]:
        raise Skip("a histogram of nothing")
    if min == max == 0:
        low, high = tl.min(flat), tl.max(flat)
        same = low == high
        low, high = tl.where(same, low - 1, low), tl.where(same, high + 1, high)
    else:
        low, high = min, max
    place = tl.floor((flat - low) / (high - low) * bins)
    inside = (flat >= low) & (flat <= high)
    place = tl.astype(tl.where(inside, tl.minimum(place, bins - 1), bins), int)
    return tl.segment_sum(tl.ones(flat.shape), place, bins + 1)[:bins]


def _histogram(x: Any, bins: Any = 10, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    if density:
        raise Skip("densities in place of counts")
    if not x.shape or 0 in x.shape:
        raise Skip("a histogram of nothing")
    counts, edges = tl.histogram(x, bins, range, weight)
    return tl.astype(counts, str(edges.dtype)), edges


def _cov(x: Any, *, correction: float = 1, fweights: Any = None, aweights: Any = None) -> Any:
    return tl.cov(x, None, True, correction, fweights, aweights)


def _isin(a: Any, b: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    a, b = (tl.astype(v, int) if not hasattr(v, "shape") else v for v in (a, b))
    hits = tl.any(tl.expand_dims(a, -1) == tl.flatten(b), -1)
    return ~hits if invert else hits


def _sum_to(x: Any, *size: Any) -> Any:
    size = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    lead = len(x.shape) - len(size)
    if is_bool(x):
        raise Skip("a sum of Booleans, of which PyTorch's dtype depends on the shape")
    axes = (*range(lead), *(lead + k for k, d in enumerate(size) if d == 1 and x.shape[lead + k] != 1))
    return tl.reshape(tl.sum(x, axes), tuple(size)) if axes else x


def _gradient(x: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    axes = range(len(x.shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    spaces = [1.0] * len(axes) if spacing is None else [spacing] * len(axes) if not isinstance(spacing, list | tuple) else spacing
    return [_slope(x, axis, space, edge_order) for axis, space in zip(axes, spaces, strict=True)]


def _slope(x: Any, axis: int, space: Any, order: int) -> Any:
    y = tl.moveaxis(x, axis, -1)
    n = y.shape[-1]
    h = tl.diff(space) if hasattr(space, "shape") and space.shape else space * tl.ones((n - 1,))
    a, b = h[:-1], h[1:]
    inner = (y[..., 2:] * (a / b) + y[..., 1:-1] * (b / a - a / b) - y[..., :-2] * (b / a)) / (a + b)
    if order == 1:
        first, last = (y[..., 1:2] - y[..., :1]) / h[0], (y[..., -1:] - y[..., -2:-1]) / h[-1]
    else:
        first = _edge(y[..., :1], y[..., 1:2], y[..., 2:3], h[0], h[1])
        last = -_edge(y[..., -1:], y[..., -2:-1], y[..., -3:-2], h[-1], h[-2])
    return tl.moveaxis(tl.concat([first, inner, last], -1), -1, axis)


def _edge(p: Any, q: Any, r: Any, a: Any, b: Any) -> Any:
    return p * (-(2 * a + b) / (a * (a + b))) + q * ((a + b) / (a * b)) - r * (a / (b * (a + b)))


ADAPTERS = {
    "all": over(tl.all),
    "any": over(tl.any),
    "amax": over(lambda x, axis, keepdims: tl.max(x, axis=axis, keepdims=keepdims)),
    "amin": over(lambda x, axis, keepdims: tl.min(x, axis=axis, keepdims=keepdims)),
    "sum": over(tl.sum),
    "mean": over(tl.mean),
    "prod": over(tl.prod),
    "logsumexp": over(tl.logsumexp),
    "aminmax": _aminmax,
    "argmax": _arg(tl.argmax),
    "argmin": _arg(tl.argmin),
    "argsort": lambda x, dim=-1, descending=False, stable=False: tl.argsort(x, dim, descending),
    "bincount": Known(_bincount, 0),
    "bucketize": _bucketize,
    "corrcoef": lambda x: tl.corrcoef(x),
    "count_nonzero": lambda x, dim=None: tl.count_nonzero(x, axes_of(dim)),
    "cov": _cov,
    "cummax": _running(tl.cummax),
    "cummin": _running(tl.cummin),
    "cumprod": lambda x, dim, dtype=None: tl.cumprod(cast(x, dtype), dim),
    "cumsum": lambda x, dim, dtype=None: tl.cumsum(cast(x, dtype), dim),
    "cumulative_trapezoid": lambda y, x=None, *, dx=1.0, dim=-1: tl.cumulative_trapezoid(y, x, dx, dim),
    "diff": _diff,
    "dist": _dist,
    "gradient": _gradient,
    "histc": _histc,
    "histogram": _histogram,
    "nanmedian": _nanmedian,
    "nanquantile": _nanquantile,
    "isin": _isin,
    "kthvalue": _kth,
    "linalg.norm": _any_norm,
    "linalg.norm.subgradients_at_zero": _norm_at_zero,
    "linalg.vector_norm": _vector_norm,
    "max.reduction_no_dim": lambda x: tl.max(x),
    "max.reduction_with_dim": _extreme(tl.max, tl.argmax),
    "min.reduction_no_dim": lambda x: tl.min(x),
    "min.reduction_with_dim": _extreme(tl.min, tl.argmin),
    "median": _median,
    "msort": lambda x: tl.sort(x, 0),
    "nanmean": over(tl.nanmean),
    "nansum": over(tl.nansum),
    "norm": _norm,
    "norm.fro": _norm,
    "norm.inf": _norm,
    "quantile": _quantile,
    "renorm": _renorm,
    "searchsorted": _searched,
    "sort": _sorted,
    "std": _spread(tl.std),
    "std.unbiased": _spread(tl.std),
    "std_mean": _with_mean(tl.std),
    "std_mean.unbiased": _with_mean(tl.std),
    "sum_to_size": _sum_to,
    "topk": _topk,
    "trapezoid": lambda y, x=None, *, dx=1.0, dim=-1: tl.trapezoid(y, x, dx, dim),
    "trapz": lambda y, x=None, *, dx=1.0, dim=-1: tl.trapezoid(y, x, dx, dim),
    "var": _spread(tl.var),
    "var.unbiased": _spread(tl.var),
    "var_mean": _with_mean(tl.var),
    "var_mean.unbiased": _with_mean(tl.var),
}
