"""Layout: shapes, axes, cuts, joins, and places in an array."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch

import tlean as tl

from ..compare import Known
from ..samples import Skip
from .common import rank


def _expand(x: Any, *sizes: Any) -> Any:
    sizes = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    given = (1,) * (len(sizes) - len(x.shape)) + tuple(x.shape)
    return tl.broadcast_to(x, tuple(d if n == -1 else n for d, n in zip(given, sizes, strict=True)))


def _squeeze(x: Any, dim: Any = None) -> Any:
    if dim is None:
        return tl.squeeze(x)
    named = {d % max(len(x.shape), 1) for d in ((dim,) if isinstance(dim, int) else dim)}
    return tl.squeeze(x, tuple(d for d in named if d < len(x.shape) and x.shape[d] == 1))


def _cat(xs: Any, dim: int = 0) -> Any:
    some = [x for x in xs if tuple(x.shape) != (0,)] or list(xs)[:1]
    return tl.concat(some, dim)


def _pieces(x: Any, sizes: Any, dim: int = 0) -> Any:
    stops = list(itertools.accumulate(sizes))
    return [_narrow(x, dim, stop - n, n) for stop, n in zip(stops, sizes, strict=True)]


def _split(x: Any, size: Any, dim: int = 0) -> Any:
    if isinstance(size, int):
        d = x.shape[dim]
        size = [min(size, d - k) for k in range(0, d, size)] or [0] if size else [0]
    return _pieces(x, size, dim)


def _chunk(x: Any, chunks: int, dim: int = 0) -> Any:
    return _split(x, max(-(-x.shape[dim] // chunks), 1), dim)


def _tensor_split(x: Any, cuts: Any, dim: int = 0) -> Any:
    if hasattr(cuts, "shape"):
        cuts = int(cuts) if not cuts.shape else [int(c) for c in cuts]
    d = x.shape[dim]
    if isinstance(cuts, int):
        sizes = [d // cuts + (k < d % cuts) for k in range(cuts)]
        return _pieces(x, sizes, dim)
    edges = [0, *(min(c, d) if c >= 0 else max(c + d, 0) for c in cuts), d]
    return [tl.slice(x, *_range(x, dim, a, max(a, b))) for a, b in itertools.pairwise(edges)]


def _range(x: Any, dim: int, start: int, stop: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    dim %= len(x.shape)
    return tuple(start if k == dim else 0 for k in range(len(x.shape))), tuple(stop if k == dim else d for k, d in enumerate(x.shape))


def _narrow(x: Any, dim: int, start: Any, length: int) -> Any:
    if hasattr(start, "shape"):
        start = int(start)
    d = x.shape[dim]
    start = start + d if start < 0 else start
    return tl.slice(x, *_range(x, dim, start, start + length))


def _key(x: Any, dim: int, part: Any) -> Any:
    return (slice(None),) * (dim % len(x.shape)) + (part,)


def _slice(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[_key(x, dim, slice(start, end, step))]


def _set_slice(x: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x.at[_key(x, dim, slice(start, end, step))].set(src)


def _unbind(x: Any, dim: int = 0) -> Any:
    return [x[_key(x, dim, k)] for k in range(x.shape[dim])]


def _unflatten(x: Any, dim: int, sizes: Any) -> Any:
    dim %= max(len(x.shape), 1)
    return tl.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :])) if x.shape else tl.reshape(x, tuple(sizes))


def _flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    n = max(len(x.shape), 1)
    start, end = start_dim % n, end_dim % n
    shape = tuple(x.shape) or (1,)
    return tl.reshape(x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def _repeat(x: Any, *reps: Any) -> Any:
    reps = reps[0] if len(reps) == 1 and not isinstance(reps[0], int) else reps
    return tl.tile(x, tuple(reps))


def _roll(x: Any, shifts: Any, dims: Any = None) -> Any:
    return tl.roll(x, shifts, None if dims is None or dims == () else dims)


def _diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = len(x.shape) + 1
    d, e = dim1 % n, dim2 % n
    if d > e:
        d, e, offset = e, d, -offset
    return tl.moveaxis(tl.diag_embed(x, offset), (-2, -1), (d, e))


def _set_diagonal(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    moved = tl.moveaxis(x, (dim1, dim2), (-2, -1))
    n, m = moved.shape[-2:]
    own = np.arange(max(min(n + min(offset, 0), m - max(offset, 0)), 0))
    moved = moved.at[..., own - min(offset, 0), own + max(offset, 0)].set(src)
    return tl.moveaxis(moved, (-2, -1), (dim1, dim2))


def _at_least(n: int) -> Any:
    def one(x: Any) -> Any:
        k = len(x.shape)
        if k >= n:
            return x
        return tl.reshape(x, ((1, 1), (1, *x.shape))[k] if n == 2 else (1,) if n == 1 else ((1, 1, 1), (1, *x.shape, 1), (*x.shape, 1))[k])

    return lambda *xs: [one(x) for x in (xs[0] if isinstance(xs[0], list | tuple) else xs)]


def _stacked(n: int, axis: int) -> Any:
    def join(xs: Any) -> Any:
        parts = _at_least(n)(list(xs))
        return tl.concat(parts, 0 if axis == 1 and len(parts[0].shape) == 1 else axis)

    return join


def _column_stack(xs: Any) -> Any:
    return tl.concat([x if len(x.shape) > 1 else tl.reshape(x, (-1, 1)) for x in xs], 1)


def _combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Any:
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(pick(range(x.shape[0]), r)), np.int64).reshape(-1, r)
    return x[places] if r else x[:0]


def _broadcast(*xs: Any) -> Any:
    shape = np.broadcast_shapes(*(tuple(x.shape) for x in xs))
    return [tl.broadcast_to(x, shape) for x in xs]


def _constant_pad(x: Any, widths: Any, value: float = 0, mode: str = "constant") -> Any:
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (len(x.shape) - len(pairs)) + pairs
    if any(w < 0 for p in pairs for w in p):
        x = tl.slice(x, [max(-a, 0) for a, _ in pairs], [d - max(-b, 0) for d, (_, b) in zip(x.shape, pairs, strict=True)])
    return tl.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], value or 0)


def _pad(x: Any, widths: Any, mode: str = "constant", value: Any = None) -> Any:
    if mode == "constant":
        return _constant_pad(x, widths, value or 0)
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (len(x.shape) - len(pairs)) + pairs
    if mode == "replicate" and any(w < 0 for p in pairs for w in p):
        for axis, (before, after) in enumerate(pairs):
            d = x.shape[axis]
            x = tl.take(x, np.clip(np.arange(before + d + after) - before, 0, d - 1), axis)
        return x
    if any(w < 0 for p in pairs for w in p):
        raise Skip("negative widths with reflections")
    return tl.pad_by(x, pairs, {"circular": "wrap", "replicate": "edge"}.get(mode, mode))


def _windows(x: Any, dimension: int, size: int, step: int) -> Any:
    if not x.shape:
        return tl.broadcast_to(x, (size,)) if size else tl.zeros((0,), dtype=str(x.dtype))
    d = dimension % len(x.shape)
    starts = np.arange(0, x.shape[d] - size + 1, step)
    return tl.moveaxis(tl.take(x, starts[:, None] + np.arange(size), d), d + 1, -1)


def _unravel(i: Any, shape: Any) -> Any:
    shape = tuple(int(d) for d in np.atleast_1d(np.asarray(shape)))
    if not shape:
        raise Skip("an index into an array without axes")
    strides = np.append(np.cumprod(np.array(shape)[::-1])[::-1][1:], 1)
    return [i // int(s) % int(d) for s, d in zip(strides, shape, strict=True)]


def _repeat_interleave(x: Any, repeats: Any, dim: Any = None, output_size: Any = None) -> Any:
    counts = np.asarray(repeats) if hasattr(repeats, "shape") else repeats
    if isinstance(counts, np.ndarray) and counts.size == 1:
        counts = int(counts.reshape(()))
    return tl.repeat(x if x.shape else tl.reshape(x, (1,)), counts, dim)


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _triangle(f: Any) -> Any:
    return lambda row, col, offset=0, **_: np.stack(f(row, offset, col)).astype(np.int64)


def _movedim_known(x: Any, a: Any, b: Any) -> Any:
    return tl.moveaxis(x, a, b)


def _transposed(x: Any) -> Any:
    return tl.swapaxes(x, -2, -1) if rank(x) > 1 else x


def _to(x: Any, *args: Any, **kwargs: Any) -> Any:
    if any(isinstance(a, torch.device) for a in args) or "device" in kwargs:
        raise Skip("devices of PyTorch")
    return x


ADAPTERS = {
    "atleast_1d": _at_least(1),
    "atleast_2d": _at_least(2),
    "atleast_3d": _at_least(3),
    "block_diag": lambda *xs: tl.block_diag(*xs),
    "broadcast_shapes": lambda *shapes: np.array(np.broadcast_shapes(*shapes), np.int64),
    "broadcast_tensors": _broadcast,
    "broadcast_to": _expand,
    "cartesian_prod": lambda *xs: xs[0] if len(xs) == 1 else tl.cartesian_prod(*xs),
    "cat": _cat,
    "chunk": _chunk,
    "unsafe_chunk": _chunk,
    "column_stack": _column_stack,
    "combinations": _combinations,
    "constant_pad_nd": _constant_pad,
    "diag_embed": _diag_embed,
    "diagflat": lambda x, offset=0: tl.diag(tl.flatten(x), offset),
    "diagonal_scatter": _set_diagonal,
    "dsplit": lambda x, cuts: _tensor_split(x, cuts, 2),
    "hsplit": lambda x, cuts: _tensor_split(x, cuts, 1 if len(x.shape) > 1 else 0),
    "vsplit": lambda x, cuts: _tensor_split(x, cuts, 0),
    "dstack": _stacked(3, 2),
    "hstack": _stacked(1, 1),
    "vstack": _stacked(2, 0),
    "expand": _expand,
    "expand_copy": _expand,
    "expand_as": lambda x, other: tl.broadcast_to(x, other.shape),
    "fliplr": lambda x: tl.flip(x, 1),
    "flipud": lambda x: tl.flip(x, 0),
    "flatten": _flatten,
    "H": _transposed,
    "T": lambda x: tl.permute(x, tuple(range(rank(x)))[::-1]),
    "mH": _transposed,
    "mT": _transposed,
    "meshgrid.list_of_tensors": lambda xs, indexing="ij": tl.meshgrid(*xs, indexing=indexing),
    "meshgrid.variadic_tensors": lambda *xs, indexing="ij": tl.meshgrid(*xs, indexing=indexing),
    "narrow": Known(_narrow),
    "narrow_copy": Known(_narrow),
    "nn.functional.channel_shuffle": lambda x, groups: tl.channel_shuffle(x, groups),
    "nn.functional.pad.circular": _pad,
    "nn.functional.pad.constant": _pad,
    "nn.functional.pad.reflect": _pad,
    "nn.functional.pad.replicate": _pad,
    "nn.functional.pad.replicate_negative": _pad,
    "nn.functional.pixel_shuffle": lambda x, upscale_factor: tl.pixel_shuffle(x, upscale_factor),
    "nn.functional.pixel_unshuffle": lambda x, downscale_factor: tl.pixel_unshuffle(x, downscale_factor),
    "repeat": _repeat,
    "repeat_interleave": Known(_repeat_interleave),
    "reshape": lambda x, shape: tl.reshape(x, tuple(shape)),
    "reshape_as": lambda x, other: tl.reshape(x, other.shape),
    "view": lambda x, *shape: tl.reshape(x, tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape),
    "view_copy": lambda x, shape: tl.reshape(x, tuple(shape)),
    "view_as": lambda x, other: tl.reshape(x, other.shape),
    "resize_": lambda x, shape, **_: tl.reshape(x, tuple(shape)),
    "resize_as_": lambda x, other, **_: tl.reshape(x, other.shape),
    "roll": _roll,
    "rot90": lambda x, k=1, dims=(0, 1): tl.rot90(x, k, tuple(dims)),
    "select": lambda x, dim, i: x[_key(x, dim, i)],
    "select_scatter": lambda x, src, dim, index: x.at[_key(x, dim, index)].set(src),
    "slice": _slice,
    "slice_scatter": _set_slice,
    "split": _split,
    "split.list_args": _split,
    "unsafe_split": _split,
    "split_with_sizes": _pieces,
    "split_with_sizes_copy": _pieces,
    "squeeze": _squeeze,
    "squeeze.multiple": _squeeze,
    "squeeze_copy": _squeeze,
    "stack": lambda xs, dim=0: tl.stack(xs, dim),
    "t": _transposed,
    "t_copy": _transposed,
    "tensor_split": Known(_tensor_split),
    "tile": _repeat,
    "trace": lambda x: tl.trace(x),
    "tril_indices": _triangle(np.tril_indices),
    "triu_indices": _triangle(np.triu_indices),
    "tril": lambda x, diagonal=0: tl.tril(x, diagonal),
    "triu": lambda x, diagonal=0: tl.triu(x, diagonal),
    "unbind": _unbind,
    "unbind_copy": _unbind,
    "unflatten": _unflatten,
    "unfold": _windows,
    "unfold_copy": _windows,
    "unravel_index": Known(_unravel),
    "nn.functional.unfold": lambda x, kernel_size, dilation=1, padding=0, stride=1: _patches(x, kernel_size, dilation, padding, stride),
}


def _pair(v: Any) -> Any:
    return (v, v) if isinstance(v, int) else tuple(v) if len(v) == 2 else (v[0], v[0])


def _patches(x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    return tl.unfold(x, _pair(kernel), _pair(stride), _pair(padding), _pair(dilation))
