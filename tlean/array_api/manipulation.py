"""Manipulation and indexing: the same elements in another arrangement."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean.errors import OptionError, ShapeError
from tlean.shapes import broadcast_shapes, normalize_axis

from .calls import by_value, listed, required, run


def broadcast_arrays(*arrays: Any) -> Any:
    """The arrays, stretched to one shape."""
    listed(arrays)
    shape = broadcast_shapes([f"arrays[{k}]" for k in range(len(arrays))], [tuple(x.shape) for x in arrays])
    return [broadcast_to(x, shape) for x in arrays]


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """An array, stretched to a shape."""
    return run(lambda ops, x: ops.broadcast_to(x, shape), x)


def concat(arrays: Any, /, *, axis: Any = 0) -> Any:
    """Arrays one after another along an axis; with None all elements of each."""
    if axis is None:
        return run(lambda ops, xs: ops.concat([ops.flatten(x) for x in xs], 0), listed(arrays))
    return run(lambda ops, xs: ops.concat(xs, axis), listed(arrays))


def expand_dims(x: Any, /, *, axis: Any = 0) -> Any:
    """A new axis of size 1."""
    return run(lambda ops, x: ops.expand_dims(x, axis), x)


def flip(x: Any, /, *, axis: Any = None) -> Any:
    """The entries in reverse order along axes, all by default."""
    return run(lambda ops, x: ops.flip(x, axis), x)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """Axes moved to other places."""
    return run(lambda ops, x: ops.moveaxis(x, source, destination), x)


def permute_dims(x: Any, /, axes: Any) -> Any:
    """The axes in another order."""
    return run(lambda ops, x: ops.permute(x, axes), x)


def repeat(x: Any, repeats: Any, /, *, axis: Any = None) -> Any:
    """Each entry so many times; counts in an array must be known."""
    counts = repeats if isinstance(repeats, int) else by_value("repeat", np.asarray, repeats).tolist()
    return run(lambda ops, x: ops.repeat(x, counts, axis), x)


def reshape(x: Any, /, shape: Any, *, copy: Any = None) -> Any:
    """The elements in row-major order under another shape."""
    return run(lambda ops, x: ops.reshape(x, shape), x)


def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """The entries moved along axes, those that leave at one end entering at the other."""
    return run(lambda ops, x: ops.roll(x, shift, axis), x)


def squeeze(x: Any, /, axis: Any) -> Any:
    """An array without these axes of size 1."""
    return run(lambda ops, x: ops.squeeze(x, axis), x)


def stack(arrays: Any, /, *, axis: int = 0) -> Any:
    """Arrays side by side along a new axis."""
    return run(lambda ops, xs: ops.stack(xs, axis), listed(arrays))


def tile(x: Any, repetitions: Any, /) -> Any:
    """The array so many times along each axis."""
    return run(lambda ops, x: ops.tile(x, repetitions), x)


def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """The entries along an axis, each as an array, in a tuple."""
    if not required(x).shape:
        raise ShapeError("unstack: an axis is required, got an array of shape ()")
    n = x.shape[normalize_axis(axis, len(x.shape))]
    return tuple(run(lambda ops, x, k=k: ops.squeeze(ops.take(x, [k], axis), axis), x) for k in range(n))


def take(x: Any, indices: Any, /, *, axis: Any = None) -> Any:
    """The entries at these places along an axis, which may be left out for a vector."""
    if axis is None and len(required(x).shape) != 1:
        raise OptionError(f"take: axis must be given for an array of shape {tuple(x.shape)}")
    return run(lambda ops, x, i: ops.take(x, i, 0 if axis is None else axis), x, indices)


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """Of each line along an axis the entries at these places."""
    return run(lambda ops, x, i: ops.take_along_axis(x, i, axis), x, indices)


def nonzero(x: Any, /) -> Any:
    """The places of the elements that are not zero, an array for each axis, where values are known."""
    if not required(x).shape:
        raise ShapeError("nonzero: an axis is required, got an array of shape ()")
    return by_value("nonzero", lambda a: tuple(np.nonzero(a)), x)
