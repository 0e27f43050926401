"""Definitions of the ops that arrange numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .scalars import filled


def detach(x: Any) -> Any:
    return x


def identity(x: Any) -> Any:
    return x


def flatten(x: Any) -> Any:
    return x.reshape(-1)


def reshape(x: Any, *, shape: Any) -> Any:
    return x.reshape(shape)


def transpose2d(x: Any) -> Any:
    return x.transpose(1, 0)


def transpose3d_first_to_last(x: Any) -> Any:
    return x.transpose(1, 2, 0)


def transpose3d_last_to_first(x: Any) -> Any:
    return x.transpose(2, 0, 1)


def transpose3d_last_two(x: Any) -> Any:
    return x.transpose(0, 2, 1)


def swap_adjacent_at_depth(x: Any, *, depth: int) -> Any:
    return x.swapaxes(depth, depth + 1) if 0 <= depth < x.ndim - 1 else x


def permute(x: Any, *, axes: Any) -> Any:
    return x.transpose(axes)


def broadcast_to(x: Any, *, shape: Any, axis_map: Any = None) -> Any:
    where = range(len(shape) - x.ndim, len(shape)) if axis_map is None else axis_map
    y = np.empty(shape, dtype=x.dtype)
    for i in np.ndindex(*shape):
        # An axis of size 1 is read at 0 for every index of the axis that it becomes.
        y[i] = x[tuple(i[a] if n > 1 else 0 for a, n in zip(where, x.shape, strict=True))]
    return y


def concat_vectors(a: Any, b: Any) -> Any:
    return np.concatenate([a, b])


def concat_dim0(a: Any, b: Any) -> Any:
    return np.concatenate([a, b])


def concat(*xs: Any, axis: Any) -> Any:
    return np.concatenate(xs, axis=axis)


def stack(*xs: Any, axis: Any) -> Any:
    return np.stack(xs, axis=axis)


def slice_range0(x: Any, *, start: Any, length: Any) -> Any:
    return x[start : start + length]


def slice_(x: Any, *, starts: Any, stops: Any, steps: Any = None) -> Any:
    steps = steps or (1,) * x.ndim
    # A stop of -1 under a negative step lies before the first entry, which Python writes as None.
    return x[
        tuple(slice(a, None if s < 0 and b < 0 else b, s) if a != b else slice(0) for a, b, s in zip(starts, stops, steps, strict=True))
    ]


def tril(x: Any, *, k: Any = 0) -> Any:
    return _where_kept(x, lambda i, j: j - i <= k)


def triu(x: Any, *, k: Any = 0) -> Any:
    return _where_kept(x, lambda i, j: j - i >= k)


def _where_kept(x: Any, kept: Any) -> Any:
    y = filled(x.shape, 0, x)
    for i, j in np.ndindex(*x.shape[-2:]):
        if kept(i, j):
            y[..., i, j] = x[..., i, j]
    return y


def pad(x: Any, *, widths: Any, value: float = 0.0) -> Any:
    y = filled(tuple(before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)), value, x)
    box: Any = (*(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)), ...)
    y[box] = x
    return y


DEFINITIONS: dict[str, Callable[..., Any]] = {"_identity": identity} | {
    f.__name__.rstrip("_"): f
    for f in (
        detach, flatten, reshape, transpose2d, transpose3d_first_to_last, transpose3d_last_to_first, transpose3d_last_two,
        swap_adjacent_at_depth, permute, broadcast_to, concat_vectors, concat_dim0, concat, stack, slice_range0, slice_, tril, triu, pad,
    )
}  # fmt: skip
