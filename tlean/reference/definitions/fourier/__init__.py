"""Definitions of discrete Fourier transforms, as the sums that they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..scalars import NotExactError, is_exact, zeros


def _circle(n: Any, like: Any) -> Any:
    # cos and sin of 2πk/n, k < n, reduced to an eighth of the circle.
    if is_exact(like):
        raise NotExactError("sines are not rational")
    eighths = 8 * np.arange(n)
    octant, rest = eighths // n, eighths % n
    angle = np.arctan(np.longdouble(1)) * np.where(octant % 2, n - rest, rest).astype(np.longdouble) / np.longdouble(n)
    c, s = np.cos(angle), np.sin(angle)
    swap = (octant % 4 == 1) | (octant % 4 == 2)
    c, s = np.where(swap, s, c), np.where(swap, c, s)
    return np.where((octant >= 2) & (octant < 6), -c, c).astype(like.dtype), np.where(octant >= 4, -s, s).astype(like.dtype)


def _factor(n: Any, inverse: Any, norm: Any, like: Any) -> Any:
    # The norm says which of the two has 1/n.
    if norm == "ortho":
        return like.dtype.type(1) / np.sqrt(like.dtype.type(n))
    return like.dtype.type(1) / like.dtype.type(n) if inverse == (norm == "backward") else like.dtype.type(1)


def _sums(re: Any, im: Any, n: Any, sign: Any) -> Any:
    # Σ (re[j] + i im[j]) exp(sign 2πi jk/n) along the last axis, for k < n.
    c, s = _circle(n, re)
    y = zeros((*re.shape[:-1], n, 2), re)
    k = np.arange(n)
    for j in range(re.shape[-1]):
        cj, sj = c[j * k % n], sign * s[j * k % n]
        y[..., 0] += re[..., j, np.newaxis] * cj - im[..., j, np.newaxis] * sj
        y[..., 1] += im[..., j, np.newaxis] * cj + re[..., j, np.newaxis] * sj
    return y


def fft(x: Any, *, axis: Any, inverse: bool = False, norm: str = "backward") -> Any:
    n = x.shape[axis]
    x = np.moveaxis(x, axis, -2)
    y = _sums(x[..., 0], x[..., 1], n, 1 if inverse else -1) * _factor(n, inverse, norm, x)
    return np.moveaxis(y, -2, axis)


def _counts(n: Any, like: Any) -> Any:
    # How many frequencies of −n/2 … n/2 there are of each size 0 … n//2.
    counts = np.full(n // 2 + 1, 2).astype(like.dtype)
    counts[0] = 1
    if n % 2 == 0:
        counts[-1] = 1
    return counts


def rfft(x: Any, *, axis: Any, norm: str = "backward", doubled: bool = False) -> Any:
    n = x.shape[axis]
    x = np.moveaxis(x, axis, -1)
    y = _sums(x, zeros(x.shape, x), n, -1)[..., : n // 2 + 1, :] * _factor(n, False, norm, x)
    # Of real numbers the sums over a period of sines are 0.
    y[..., 0, 1] = 0
    if n % 2 == 0:
        y[..., -1, 1] = 0
    if doubled:
        y = y * _counts(n, x)[:, np.newaxis]
    return np.moveaxis(y, -2, axis)


def irfft(x: Any, *, n: Any, axis: Any, norm: str = "backward", doubled: bool = True) -> Any:
    x = np.moveaxis(x, axis, -2)
    if doubled:
        x = x * _counts(n, x)[:, np.newaxis]
    return np.moveaxis(_sums(x[..., 0], x[..., 1], n, 1)[..., 0] * _factor(n, True, norm, x), -1, axis)


def complex_mul(a: Any, b: Any, *, conjugate: bool = False) -> Any:
    sign = -1 if conjugate else 1
    re = a[..., 0] * b[..., 0] - sign * a[..., 1] * b[..., 1]
    im = a[..., 1] * b[..., 0] + sign * a[..., 0] * b[..., 1]
    return np.stack([re, im], axis=-1)


DEFINITIONS: dict[str, Callable[..., Any]] = {"_fft": fft, "_rfft": rfft, "_irfft": irfft, "_complex_mul": complex_mul}
