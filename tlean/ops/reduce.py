"""Sums, means, maxima and running sums along axes."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..shapes import Shape, normalize_axes, reduced, size
from .registry import defop, linear_jvp
from .samples import bad, good


def runs_numbers(shape: Shape, axes: Shape) -> tuple[int, ...]:
    """The integers of the reduction kernels: (runs, whether the first is reduced, sizes…).

    Axes of size 1 are dropped and neighbours of one kind merged, so that kept and reduced runs alternate.
    """
    sizes: list[int] = []
    kinds: list[bool] = []
    for i, d in enumerate(shape):
        if d == 1:
            continue
        kind = i in axes
        if kinds and kinds[-1] == kind:
            sizes[-1] *= d
        else:
            sizes.append(d)
            kinds.append(kind)
    return (len(sizes), int(bool(kinds) and kinds[0]), *sizes)


def reduced_count(shape: Shape, axes: Shape) -> int:
    """How many elements go into one element of the result."""
    return size([shape[a] for a in axes])


def _axis_options(x, *, axis, keepdims=False):
    return {"axis": normalize_axes(axis, len(x)), "keepdims": bool(keepdims)}


def spread(ops: Any, g: Any, shape: Shape, axis: Shape, keepdims: bool) -> Any:
    """The adjoint of a sum over `axis`: g repeated along those axes of `shape`."""
    if keepdims:
        return ops.broadcast_to(g, shape=shape)
    return ops.broadcast_to(g, shape=shape, axis_map=tuple(i for i in range(len(shape)) if i not in axis))


def _need_elements(x: Shape, axis: Shape) -> None:
    if reduced_count(x, axis) == 0:
        raise ShapeError("takes at least one element along the reduced axes")


def reduce_samples(empty_ok: bool) -> list:
    empty = (
        [good((2, 0), axis=1), good((0, 3), axis=0)] if empty_ok else [bad("ShapeError", (2, 0), axis=1), bad("ShapeError", (0, 3), axis=0)]
    )
    return [
        good((3, 4), axis=0), good((3, 4), axis=1), good((3, 4), axis=(0, 1)), good((3, 4), axis=-1, keepdims=True),
        good((2, 3, 4), axis=(0, 2)),
        good((2, 3, 4, 5), axis=(0, 2)), good((2, 3, 4, 5), axis=(1, 3), keepdims=True), good((4,), axis=0), good((3, 1, 2), axis=1),
        good((2, 3), axis=()), good((5, 130), axis=1), good((70, 3), axis=0), good((0, 3), axis=1), *empty,
        bad("IndexRangeError", (3, 4), axis=2), bad("IndexRangeError", (3, 4), axis=-3), bad("OptionError", (3, 4), axis=(0, -2)),
    ]  # fmt: skip


# Sums and means ------------------------------------------------------------------------------------------------------------


@defop("reduce_sum", samples=lambda: reduce_samples(True))
class ReduceSum:
    """Sum over the given axes (an int or a tuple); a sum of nothing is 0."""

    options = _axis_options

    def shape(x, *, axis, keepdims):
        return reduced(x, axis, keepdims)

    def numbers(x, *, axis, keepdims):
        return runs_numbers(x, axis), (1.0,)

    def vjp(ops, g, y, x, *, axis, keepdims):
        return (spread(ops, g, x.shape, axis, keepdims),)

    jvp = linear_jvp("reduce_sum")


@defop("reduce_mean", kernel="reduce_sum", samples=lambda: reduce_samples(False))
class ReduceMean:
    """Mean over the given axes (an int or a tuple).

    Raises: ShapeError for a mean over nothing.
    """

    options = _axis_options

    def shape(x, *, axis, keepdims):
        _need_elements(x, axis)
        return reduced(x, axis, keepdims)

    def numbers(x, *, axis, keepdims):
        return runs_numbers(x, axis), (float(reduced_count(x, axis)),)

    def vjp(ops, g, y, x, *, axis, keepdims):
        return (spread(ops, ops.scale(g, c=1.0 / reduced_count(x.shape, axis)), x.shape, axis, keepdims),)

    jvp = linear_jvp("reduce_mean")


@defop("sum", kernel="reduce_sum", samples=lambda: [good((3, 4)), good(()), good((0, 3)), good((7, 41)), good((1,))])
class Sum:
    """Sum of every element; a sum of nothing is 0."""

    def shape(x):
        return ()

    def numbers(x):
        return runs_numbers(x, tuple(range(len(x)))), (1.0,)

    def vjp(ops, g, y, x):
        return (ops.broadcast_to(g, shape=x.shape),)

    jvp = linear_jvp("sum")


@defop("mean", kernel="reduce_sum", samples=lambda: [good((3, 4)), good(()), good((7, 41)), bad("ShapeError", (0, 3))])
class Mean:
    """Mean of every element.

    Raises: ShapeError for a mean of nothing.
    """

    def shape(x):
        if size(x) == 0:
            raise ShapeError("takes at least one element")
        return ()

    def numbers(x):
        return runs_numbers(x, tuple(range(len(x)))), (float(size(x)),)

    def vjp(ops, g, y, x):
        return (ops.broadcast_to(ops.scale(g, c=1.0 / size(x.shape)), shape=x.shape),)

    jvp = linear_jvp("mean")
