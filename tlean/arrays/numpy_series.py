"""NumPy's functions along a line that are made of several ops: interpolation, polynomials, convolutions, differences, integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.errors import OptionError, ShapeError

from . import methods
from .numpy_functions import axis_of, ends_of, lifted, newer, ops_of


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    ops = ops_of((x, xp, fp))
    if period is not None:
        raise OptionError(f"np.interp: period must be None, got {period!r}; take x % period and an xp that covers it")
    return ops.interp(*(lifted(ops, v) for v in (x, xp, fp)), left, right)


def _unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    return p.ops.unwrap(p, discont, axis, period)


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    ops = ops_of((x, bins))
    if np.any(np.diff(np.asarray(bins)) < 0):
        raise OptionError("np.digitize: bins must ascend in a program, got others; see searchsorted")
    return ops.searchsorted(lifted(ops, bins), lifted(ops, x), "left" if right else "right")


def _polyval(p: Any, x: Any) -> Any:
    ops = ops_of((p, x))
    return ops.polyval(lifted(ops, p), lifted(ops, x))


def _vector(name: str, mode: str) -> Callable[..., Any]:
    def run(a: Any, v: Any, mode: str = mode) -> Any:
        ops = ops_of((a, v))
        return getattr(ops, name)(lifted(ops, a), lifted(ops, v), mode)

    return run


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    ops = ops_of((y, x, dx))
    if methods.shape_of(dx):
        raise OptionError("np.trapezoid: dx must be a plain number, got an array")
    return ops.trapezoid(lifted(ops, y), None if x is None else lifted(ops, x), float(dx), axis)


def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = tuple(range(len(f.shape))) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    steps = varargs if len(varargs) == len(axes) else varargs * len(axes) if len(varargs) == 1 else (1.0,) * len(axes)
    if edge_order != 1 or any(methods.shape_of(h) for h in steps) or len(varargs) not in (0, 1, len(axes)):
        raise OptionError("np.gradient: equal steps and edge_order=1 are needed, got others")
    results = []
    for a, h in zip(axes, steps, strict=True):
        k = axis_of("gradient", f, a)
        if f.shape[k] < 2:
            raise ShapeError(f"np.gradient: two entries of axis {a} are needed, got shape {tuple(f.shape)}")
        before = (slice(None),) * k
        low, high = ends_of(f, k)
        middle = (f[(*before, slice(2, None))] - f[(*before, slice(None, -2))]) / 2.0
        ends = [(high - low)[(*before, s)] for s in (slice(None, 1), slice(-1, None))]
        results.append(f.ops.concat([ends[0], middle, ends[1]], k) / h)
    return results[0] if len(results) == 1 else tuple(results)


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    ops = ops_of((ary, to_end, to_begin))
    return ops.ediff1d(lifted(ops, ary), *(v if v is None else lifted(ops, v) for v in (to_end, to_begin)))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sinc: lambda x: x.ops.sinc(x),
    np.unwrap: _unwrap,
    np.digitize: _digitize,
    np.interp: _interp,
    np.polyval: _polyval,
    np.vander: lambda x, N=None, increasing=False: x.ops.vander(x, N, increasing),
    np.convolve: _vector("convolve", "full"),
    np.correlate: _vector("correlate", "valid"),
    newer.trapezoid: _trapezoid,
    np.gradient: _gradient,
    np.ediff1d: _ediff1d,
}
