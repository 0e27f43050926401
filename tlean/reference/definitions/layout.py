"""Definitions of the ops that arrange numbers."""

from __future__ import annotations

import numpy as np

from .scalars import filled


def detach(x):
    return x


def identity(x):
    return x


def flatten(x):
    return x.reshape(-1)


def reshape(x, *, shape):
    return x.reshape(shape)


def transpose2d(x):
    return x.transpose(1, 0)


def transpose3d_first_to_last(x):
    return x.transpose(1, 2, 0)


def transpose3d_last_to_first(x):
    return x.transpose(2, 0, 1)


def transpose3d_last_two(x):
    return x.transpose(0, 2, 1)


def swap_adjacent_at_depth(x, *, depth):
    return x.swapaxes(depth, depth + 1) if 0 <= depth < x.ndim - 1 else x


def permute(x, *, axes):
    return x.transpose(axes)


def broadcast_to(x, *, shape, axis_map=None):
    where = range(len(shape) - x.ndim, len(shape)) if axis_map is None else axis_map
    y = np.empty(shape, dtype=x.dtype)
    for i in np.ndindex(*shape):
        # An axis of size 1 is read at 0 for every index of the axis that it becomes.
        y[i] = x[tuple(i[a] if n > 1 else 0 for a, n in zip(where, x.shape, strict=True))]
    return y


def concat_vectors(a, b):
    return np.concatenate([a, b])


def concat_dim0(a, b):
    return np.concatenate([a, b])


def concat(*xs, axis):
    return np.concatenate(xs, axis=axis)


def stack(*xs, axis):
    return np.stack(xs, axis=axis)


def slice_range0(x, *, start, length):
    return x[start : start + length]


def slice_(x, *, starts, stops, steps=None):
    steps = steps or (1,) * x.ndim
    # A stop of -1 under a negative step lies before the first entry, which Python writes as None.
    return x[
        tuple(slice(a, None if s < 0 and b < 0 else b, s) if a != b else slice(0) for a, b, s in zip(starts, stops, steps, strict=True))
    ]


def tril(x, *, k=0):
    return _where_kept(x, lambda i, j: j - i <= k)


def triu(x, *, k=0):
    return _where_kept(x, lambda i, j: j - i >= k)


def _where_kept(x, kept):
    y = filled(x.shape, 0, x)
    for i, j in np.ndindex(*x.shape[-2:]):
        if kept(i, j):
            y[..., i, j] = x[..., i, j]
    return y


def pad(x, *, widths, value=0.0):
    y = filled(tuple(before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)), value, x)
    y[(*(slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)), ...)] = x
    return y


DEFINITIONS = {"_identity": identity} | {
    f.__name__.rstrip("_"): f
    for f in (
        detach, flatten, reshape, transpose2d, transpose3d_first_to_last, transpose3d_last_to_first, transpose3d_last_two,
        swap_adjacent_at_depth, permute, broadcast_to, concat_vectors, concat_dim0, concat, stack, slice_range0, slice_, tril, triu, pad,
    )
}  # fmt: skip
