"""Definitions of products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .scalars import zeros


def matmul(a: Any, b: Any, *, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    a = a.swapaxes(-1, -2) if transpose_a else a
    b = b.swapaxes(-1, -2) if transpose_b else b
    # A vector is a row at the left and a column at the right, and has no axis in the result.
    dropped = (*((-2,) if a.ndim == 1 else ()), *((-1,) if b.ndim == 1 else ()))
    a = a[np.newaxis, :] if a.ndim == 1 else a
    b = b[:, np.newaxis] if b.ndim == 1 else b
    y = zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), a)
    for k in range(a.shape[-1]):
        # y[…, i, j] += a[…, i, k] · b[…, k, j]
        y = y + a[..., :, k, np.newaxis] * b[..., np.newaxis, k, :]
    return np.squeeze(y, axis=dropped)


def bmm(a: Any, b: Any) -> Any:
    return matmul(a, b)


def linear(w: Any, b: Any, x: Any) -> Any:
    y = zeros((*x.shape[:-1], w.shape[0]), x)
    for k in range(w.shape[1]):
        # y[…, o] += w[o, k] · x[…, k]
        y = y + x[..., k, np.newaxis] * w[:, k]
    return y if b is None else y + b


DEFINITIONS: dict[str, Callable[..., Any]] = {"matmul": matmul, "bmm": bmm, "linear": linear}
