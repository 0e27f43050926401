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
    return (a != 0).sum(axis=axis, keepdims=_kept(keepdims))


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
    if fweights is not None or aweights is not None or dtype is not None:
        raise OptionError("np.cov: fweights, aweights and dtype must be left out, got one of them")
    ops = ops_of((m, y))
    x = _observations(lifted(ops, m), rowvar)
    if y is not None:
        x = ops.concat([x, _observations(lifted(ops, y), rowvar)], 0)
    n = x.shape[1] - (ddof if ddof is not None else 0 if bias else 1)
    x = x - x.mean(axis=1, keepdims=True)
    product = x @ x.T / float(max(n, 0))
    return product.reshape(()) if product.shape == (1, 1) else product


def _observations(x: Any, rowvar: bool) -> Any:
    # One variable a row.
    if len(x.shape) > 2:
        raise ShapeError(f"np.cov: at most two axes are needed, got shape {tuple(x.shape)}")
    x = x.reshape(1, -1) if len(x.shape) < 2 else x
    return x if rowvar or x.shape[0] == 1 else x.T


def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = _cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return c / c
    deviation = np.sqrt(c.ops.diagonal(c))
    return np.clip(c / deviation[:, None] / deviation[None, :], -1.0, 1.0)


# Without NaN ------------------------------------------------------------------------------------------------------------


def _without_nan(method: str, nothing: float) -> Callable[..., Any]:
    # A reduction, with what changes nothing in the place of NaN; of NaN alone a maximum is NaN.
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **unused: Any) -> Any:
        refuse(f"np.nan{method}", {"dtype": dtype, "out": out, **unused})
        missing, options = np.isnan(a), {"axis": axis, **({} if method.startswith("cum") else {"keepdims": _kept(keepdims)})}
        result = getattr(a.ops.where(missing, nothing, a), method)(**options)
        return result if math.isfinite(nothing) else a.ops.where(missing.all(**options), math.nan, result)

    return run


def _nan_extreme(method: str, nothing: float) -> Callable[..., Any]:
    reduced = _without_nan(method, nothing)
    return lambda a, axis=None, out=None, keepdims=False, **unused: reduced(a, axis, None, out, keepdims, **unused)


def _nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **unused: Any) -> Any:
    refuse("np.nanmean", {"dtype": dtype, "out": out, **unused})
    missing, options = np.isnan(a), {"axis": axis, "keepdims": _kept(keepdims)}
    return a.ops.where(missing, 0.0, a).sum(**options) / (~missing).sum(**options)


def _nanvar(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False, **unused: Any) -> Any:
    ddof = unused.pop("correction", ddof)
    refuse("np.nanvar", {"dtype": dtype, "out": out, **unused})
    missing, options = np.isnan(a), {"axis": axis, "keepdims": _kept(keepdims)}
    distance = a.ops.where(missing, 0.0, a - _nanmean(a, axis, keepdims=True))
    count = (~missing).sum(**options) - ddof
    return a.ops.where(count <= 0, math.nan, np.square(distance).sum(**options) / count)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.count_nonzero: _count_nonzero,
    np.ptp: _ptp,
    np.average: _average,
    np.cov: _cov,
    np.corrcoef: _corrcoef,
    np.nansum: _without_nan("sum", 0.0),
    np.nanprod: _without_nan("prod", 1.0),
    np.nancumsum: _without_nan("cumsum", 0.0),
    np.nancumprod: _without_nan("cumprod", 1.0),
    np.nanmax: _nan_extreme("max", -math.inf),
    np.nanmin: _nan_extreme("min", math.inf),
    np.nanmean: _nanmean,
    np.nanvar: _nanvar,
    np.nanstd: lambda *args, **options: np.sqrt(_nanvar(*args, **options)),
}
