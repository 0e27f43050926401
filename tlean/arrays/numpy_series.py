"""NumPy's functions along a line that are made of several ops: interpolation, polynomials, convolutions, differences, integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean.errors import OptionError, ShapeError

from . import methods
from .numpy_functions import axis_of, ends_of, lifted, ops_of


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    ops = ops_of((x, xp, fp))
    if period is not None:
        raise OptionError(f"np.interp: period must be None, got {period!r}; take x % period and an xp that covers it")
    x, xp, fp = (lifted(ops, v) for v in (x, xp, fp))
    n = xp.shape[0] if len(xp.shape) == 1 else 0
    if not n or tuple(fp.shape) != (n,):
        raise ShapeError(f"np.interp: xp and fp must have one axis of equal length, not 0, got {tuple(xp.shape)} and {tuple(fp.shape)}")
    result = fp[0] + ops.zeros_like(x) if n == 1 else None
    if result is None:
        j = np.clip(ops.searchsorted(xp, x, "right") - 1, 0, n - 2)
        slopes = np.diff(fp) / np.diff(xp)
        result = slopes[j] * (x - xp[j]) + fp[j]
        result = ops.where(x == xp[-1], fp[-1], result)
    result = ops.where(x < xp[0], fp[0] if left is None else left, result)
    return ops.where(x > xp[-1], fp[-1] if right is None else right, result)


def _sinc(x: Any) -> Any:
    # At 0 the quotient, whose branch is not taken, is one of other numbers.
    y = x.ops.where(x == 0, 1.0, x) * math.pi
    return x.ops.where(x == 0, 1.0, np.sin(y) / y)


def _unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    d = np.diff(p, axis=axis)
    half = period / 2
    shifted = np.remainder(d + half, period) - half
    shifted = p.ops.where((shifted == -half) & (d > 0), half, shifted)
    correction = p.ops.where(np.abs(d) < max(half, half if discont is None else discont), 0.0, shifted - d)
    axis = axis_of("unwrap", p, axis)
    first = p[(*(slice(None),) * axis, slice(None, 1))]
    return p.ops.concat([first, ends_of(p, axis)[1] + correction.cumsum(axis=axis)], axis)


def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    ops = ops_of((x, bins))
    if np.any(np.diff(np.asarray(bins)) < 0):
        raise OptionError("np.digitize: bins must ascend in a program, got others; see searchsorted")
    return ops.searchsorted(lifted(ops, bins), lifted(ops, x), "left" if right else "right")


def _polyval(p: Any, x: Any) -> Any:
    ops = ops_of((p, x))
    result = ops.zeros_like(lifted(ops, x))
    for coefficient in p:
        result = result * x + coefficient
    return result


def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    count = x.shape[0] if N is None else N
    powers = [x.ops.ones_like(x)]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return x.ops.stack(powers[:count] if increasing else powers[:count][::-1], 1)


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    ops = ops_of((a, v))
    a, v = lifted(ops, a), lifted(ops, v)
    n, m = (x.shape[0] if len(x.shape) == 1 else 0 for x in (a, v))
    if not n or not m:
        raise ShapeError(f"np.convolve: two arrays of one axis that is not empty are needed, got {tuple(a.shape)} and {tuple(v.shape)}")
    if mode not in ("full", "same", "valid"):
        raise OptionError(f"np.convolve: mode must be 'full', 'same' or 'valid', got {mode!r}")
    a, v, n, m = (a, v, n, m) if n >= m else (v, a, m, n)
    # A convolution of layers slides the array turned round.
    kernel = ops.flip(v).reshape(1, 1, m)
    full = ops.conv(kernel, None, a.reshape(1, 1, n), padding=m - 1).reshape(n + m - 1)
    start = {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]
    return full[start : n + m - 1 - start] if mode != "same" else full[start : start + n]


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    ops = ops_of((a, v))
    return _convolve(a, ops.flip(lifted(ops, v)), mode)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    ops = ops_of((y, x))
    y = lifted(ops, y)
    axis = axis_of("trapezoid", y, axis)
    low, high = ends_of(y, axis)
    if x is not None:
        dx = np.diff(lifted(ops, x), axis=-1 if len(methods.shape_of(x)) == 1 else axis)
        if len(dx.shape) == 1:
            dx = dx.reshape(-1, *(1,) * (len(y.shape) - 1 - axis))
    return (dx * (low + high) / 2.0).sum(axis=axis)


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
    parts = [to_begin, np.diff(lifted(ops, ary).ravel()), to_end]
    return ops.concat([lifted(ops, p).ravel() for p in parts if p is not None], 0)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sinc: _sinc,
    np.unwrap: _unwrap,
    np.digitize: _digitize,
    np.interp: _interp,
    np.polyval: _polyval,
    np.vander: _vander,
    np.convolve: _convolve,
    np.correlate: _correlate,
    np.trapezoid: _trapezoid,
    np.gradient: _gradient,
    np.ediff1d: _ediff1d,
}
