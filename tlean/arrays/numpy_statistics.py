"""NumPy's statistics that are made of several ops: averages, covariances, and reductions that leave out NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.errors import OptionError, ShapeError

from . import methods
from .methods import refuse
from .numpy_functions import lifted, ops_of


def _kept(keepdims: Any) -> bool:
    return keepdims is True


def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    return a.ops.count_nonzero(a, axis, _kept(keepdims))


def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    refuse("np.ptp", {"out": out})
    keep = _kept(keepdims)
    return a.max(axis=axis, keepdims=keep) - a.min(axis=axis, keepdims=keep)


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    ops, keep = ops_of((a, weights)), _kept(keepdims)
    a = lifted(ops, a)
    if weights is None:
        mean = a.mean(axis=axis, keepdims=keep)
        return (mean, methods.like(mean, float(math.prod(a.shape) / max(1, math.prod(mean.shape))))) if returned else mean
    weights = lifted(ops, weights)
    if tuple(weights.shape) != tuple(a.shape):
        if len(weights.shape) != 1 or not isinstance(axis, int | np.integer) or weights.shape[0] != a.shape[axis]:
            raise ShapeError(
                f"np.average: weights must have the shape of a, or one axis and the length of a's axis, got {tuple(weights.shape)}"
                f" with a of shape {tuple(a.shape)} and axis={axis!r}"
            )
        weights = weights.reshape(-1, *(1,) * (len(a.shape) - 1 - axis % len(a.shape)))
    weights = ops.broadcast_to(weights, tuple(a.shape))
    total = weights.sum(axis=axis, keepdims=keep)
    mean = (a * weights).sum(axis=axis, keepdims=keep) / total
    return (mean, total) if returned else mean


def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    if dtype is not None:
        raise OptionError(f"np.cov: dtype must be left out, got {dtype!r}")
    ops = ops_of((m, y, fweights, aweights))
    arrays = (None if v is None else lifted(ops, v) for v in (y, fweights, aweights))
    y, fweights, aweights = arrays
    return ops.cov(lifted(ops, m), y, rowvar, float(ddof if ddof is not None else 0 if bias else 1), fweights, aweights)


def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    if dtype is not None:
        raise OptionError(f"np.corrcoef: dtype must be left out, got {dtype!r}")
    ops = ops_of((x, y))
    return ops.corrcoef(lifted(ops, x), None if y is None else lifted(ops, y), rowvar)


# Without NaN ------------------------------------------------------------------------------------------------------------


def _without_nan(name: str) -> Callable[..., Any]:
    # The reduction of that name.
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **unused: Any) -> Any:
        refuse(f"np.{name}", {"dtype": dtype, "out": out, **unused})
        return getattr(a.ops, name)(a, axis, _kept(keepdims))

    return run


def _extreme(name: str) -> Callable[..., Any]:
    reduced = _without_nan(name)
    return lambda a, axis=None, out=None, keepdims=False, **unused: reduced(a, axis, None, out, keepdims, **unused)


def _moment(name: str) -> Callable[..., Any]:
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, **unused: Any) -> Any:
        ddof = unused.pop("correction", ddof)
        refuse(f"np.{name}", {"dtype": dtype, "out": out, **unused})
        return getattr(a.ops, name)(a, axis, _kept(keepdims), float(ddof))

    return run


def _running(method: str, nothing: float) -> Callable[..., Any]:
    # What changes nothing in the place of NaN.
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        refuse(f"np.nan{method}", {"dtype": dtype, "out": out})
        return getattr(a.ops.where(np.isnan(a), nothing, a), method)(axis=axis)

    return run


def _nanquantile(scale: float) -> Callable[..., Any]:
    def run(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
            keepdims: Any = False, **unused: Any) -> Any:  # fmt: skip
        refuse("np.nanquantile", {"out": out, **{k: v for k, v in unused.items() if k != "weights" or v is not None}})
        if method != "linear" or np.ndim(q):
            raise OptionError(f"np.nanquantile: method must be 'linear' and q one number, got {method!r} and {q!r}")
        return a.ops.nanquantile(a, float(q) / scale, axis, _kept(keepdims))

    return run


def _nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    refuse("np.nanmedian", {"out": out})
    return a.ops.nanmedian(a, axis, _kept(keepdims))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.count_nonzero: _count_nonzero,
    np.ptp: _ptp,
    np.average: _average,
    np.cov: _cov,
    np.corrcoef: _corrcoef,
    **{getattr(np, n): _without_nan(n) for n in ("nansum", "nanprod", "nanmean")},
    **{getattr(np, n): _extreme(n) for n in ("nanmax", "nanmin")},
    **{getattr(np, n): _moment(n) for n in ("nanvar", "nanstd")},
    np.nancumsum: _running("cumsum", 0.0),
    np.nancumprod: _running("cumprod", 1.0),
    np.nanmedian: _nanmedian,
    np.nanquantile: _nanquantile(1.0),
    np.nanpercentile: _nanquantile(100.0),
}
