"""Indexing, gathers, scatters and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

import tlean as tl

from ..compare import Known
from ..samples import Skip
from .common import is_bool, is_float, rank


def _places(shape: Any, dim: int, index: Any) -> tuple[Any, ...]:
    # The places that `index` names along an axis, the others counted up.
    n = len(shape)
    return tuple(index if k == dim else np.arange(shape[k]).reshape(-1, *(1,) * (n - 1 - k)) for k in range(n))


def _scalars(x: Any, *others: Any) -> Any:
    return tuple(tl.reshape(v, (1,)) if hasattr(v, "shape") and not v.shape else v for v in (x, *others))


def _gather(x: Any, dim: int, index: Any, sparse_grad: bool = False) -> Any:
    if not x.shape or not index.shape:
        x, index, shape = *_scalars(x, index), index.shape
        return tl.reshape(x[index], shape)
    return x[_places(index.shape, dim % len(x.shape), index)]


def _write(how: str) -> Any:
    def call(x: Any, dim: int, index: Any, src: Any, *, reduce: Any = None, include_self: bool = True) -> Any:
        shape = x.shape
        x, index, src = _scalars(x, index, src) if not x.shape or not index.shape else (x, index, src)
        if 0 in index.shape:
            return tl.reshape(x, shape)
        if rank(src):
            src = src[tuple(slice(d) for d in index.shape)]
        named = {None: how, "add": "add", "sum": "add", "multiply": "mul", "prod": "mul", "amax": "max", "amin": "min", "mean": "mean"}[
            reduce
        ]
        key = _places(index.shape, dim % len(x.shape), index)
        return tl.reshape(_combined(x, key, src, named, include_self), shape)

    return call


def _scatter_reduced(x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    return _write("add")(x, dim, index, src, reduce=reduce, include_self=include_self)


_NEUTRAL = {"add": 0.0, "mul": 1.0, "max": -np.inf, "min": np.inf, "mean": 0.0}


def _combined(x: Any, key: Any, v: Any, how: str, include_self: bool = True) -> Any:
    if how == "set":
        _number(x, v)
        return x.at[key].set(v)
    if not is_float(x):
        raise Skip("integers that are combined: the result is a float")
    start = x if include_self else x.at[key].set(_NEUTRAL[how])
    if how != "mean":
        return getattr(start.at[key], how)(v)
    total = start.at[key].add(v)
    count = (tl.ones_like(x) if include_self else tl.ones_like(x).at[key].set(0.0)).at[key].add(1.0)
    return total / tl.maximum(count, 1.0)


def _along(x: Any, dim: int, index: Any) -> Any:
    return (slice(None),) * (dim % max(len(x.shape), 1)) + (index,)


def _index(how: str) -> Any:
    def call(x: Any, dim: int, index: Any, v: Any, reduce: Any = None, *, alpha: Any = 1, include_self: bool = True) -> Any:
        named = {None: how, "mean": "mean", "prod": "mul", "amax": "max", "amin": "min"}[reduce]
        shape = x.shape
        x, index = _scalars(x, index)
        if not shape and rank(v) == 0 and not isinstance(v, int | float | bool):
            v = tl.reshape(v, (1,))
        elif rank(v) < len(x.shape) and not isinstance(v, int | float | bool) and rank(v) == 0 and how == "set" and len(shape):
            pass
        v = v if alpha == 1 else v * alpha
        return tl.reshape(_combined(x, _along(x, dim, index), v, named, include_self), shape)

    return call


def _index_select(x: Any, dim: int, index: Any) -> Any:
    if not x.shape:
        return x
    return tl.take(x, tl.reshape(index, (-1,)), dim)


def _take(x: Any, index: Any) -> Any:
    return tl.take(tl.flatten(x), index)


def _put(x: Any, index: Any, v: Any, accumulate: bool = False) -> Any:
    key, flat, v = tl.reshape(index, (-1,)), tl.flatten(x), tl.reshape(v, (-1,))
    if not key.shape[0]:
        return x
    return tl.reshape(_combined(flat, key, v, "add" if accumulate else "set"), x.shape)


def _index_put(x: Any, indices: Any, v: Any, accumulate: bool = False) -> Any:
    return _combined(x, tuple(indices), v, "add" if accumulate else "set")


def _take_along(x: Any, index: Any, dim: Any = None) -> Any:
    if dim is None:
        return tl.take(tl.flatten(x), tl.flatten(index))
    lead = np.broadcast_shapes(*(tuple(d if k != dim % len(v.shape) else 1 for k, d in enumerate(v.shape)) for v in (x, index)))
    sizes = [tuple(v.shape[k] if k == dim % len(lead) else d for k, d in enumerate(lead)) for v in (x, index)]
    return tl.take_along_axis(tl.broadcast_to(x, sizes[0]), tl.broadcast_to(index, sizes[1]), dim)


def _number(x: Any, v: Any) -> Any:
    if not is_float(x) and isinstance(v, int | float) and v != (bool(v) if is_bool(x) else int(v)):
        raise Skip("a number that the array's dtype cannot hold")
    return v


def _masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    shape = np.broadcast_shapes(tuple(x.shape), tuple(mask.shape))
    flags = tl.reshape(tl.broadcast_to(mask, shape), (-1,))
    places = tl.maximum(tl.cumsum(tl.astype(flags, int), 0) - 1, 0)
    return tl.where(tl.broadcast_to(mask, shape), tl.reshape(tl.take(tl.flatten(source), places), shape), x)


def _embedding(w: Any, i: Any, **options: Any) -> Any:
    if options.get("max_norm") is not None or options.get("scale_grad_by_freq"):
        raise Skip("an embedding that renormalises its table, or scales gradients by how often a row is read")
    padding = options.get("padding_idx")
    if padding is not None:
        rows = np.arange(w.shape[0])[:, None] == padding % w.shape[0]
        w = tl.where(rows, tl.stop_gradient(w), w)
    return tl.take(w, i, 0)


def _one_hot(i: Any, num_classes: int = -1) -> Any:
    count = int(np.max(i, initial=-1)) + 1 if num_classes == -1 else num_classes
    return tl.one_hot(i, count, dtype=int)


def _segments(
    x: Any, reduce: str, *, lengths: Any = None, offsets: Any = None, axis: int = 0, unsafe: bool = False, initial: Any = None
) -> Any:
    if axis or (lengths is not None and np.ndim(lengths) > 1) or (offsets is not None and np.ndim(offsets) > 1):
        raise Skip("segments along several axes")
    counts = np.diff(offsets) if lengths is None else np.asarray(lengths)
    x = x[: int(np.sum(counts))]
    ids = np.repeat(np.arange(len(counts)), counts)
    empty = np.reshape(counts == 0, (-1,) + (1,) * (len(x.shape) - 1))
    y = getattr(tl, f"segment_{reduce}")(x, ids, len(counts)) if reduce != "prod" else None
    if y is None:
        y = tl.ones((len(counts), *x.shape[1:])).at[ids].mul(x)
        return y if initial is None else y * initial
    if reduce == "sum":
        return y if initial is None else y + initial
    if reduce == "mean":
        return tl.where(
            empty,
            np.nan if initial is None else initial,
            y if initial is None else y + initial / np.maximum(counts, 1).reshape(empty.shape),
        )
    best = tl.maximum if reduce == "max" else tl.minimum
    bottom = -np.inf if reduce == "max" else np.inf
    y = tl.where(empty, bottom if initial is None else initial, y)
    return y if initial is None else best(y, initial)


ADAPTERS = {
    "__getitem__": Known(lambda x, key: x[key]),
    "_segment_reduce.lengths": Known(_segments),
    "_segment_reduce.offsets": Known(_segments),
    "gather": _gather,
    "scatter": _write("set"),
    "scatter_add": _write("add"),
    **{f"scatter_reduce.{how}": _scatter_reduced for how in ("sum", "prod", "mean", "amin", "amax")},
    "index_add": _index("add"),
    "index_copy": _index("set"),
    "index_fill": _index("set"),
    **{f"index_reduce.{how}": _index("add") for how in ("mean", "prod", "amin", "amax")},
    "index_put": Known(_index_put),
    "index_select": _index_select,
    "masked_fill": lambda x, mask, v: tl.where(mask, _number(x, v), x),
    "masked_scatter": _masked_scatter,
    "masked_select": Known(lambda x, mask: _selected(x, mask)),
    "take": _take,
    "put": _put,
    "take_along_dim": _take_along,
    "nn.functional.embedding": _embedding,
    "nn.functional.one_hot": Known(_one_hot, 0),
}  # fmt: skip


def _selected(x: Any, mask: Any) -> Any:
    shape = np.broadcast_shapes(tuple(x.shape), tuple(mask.shape))
    x = tl.broadcast_to(x, shape) if not isinstance(x, np.ndarray) else np.broadcast_to(x, shape)
    return x[np.broadcast_to(mask, shape)]
