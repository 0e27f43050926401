"""Sums, means, maxima and running sums along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import truth
from ..dtypes import INTEGERS, IntegerForm
from ..errors import ShapeError
from ..shapes import Shape, normalize_axes, normalize_axis, reduced, size
from .registry import Spec, defop, linear_jvp, no_gradient, no_tangent
from .samples import Arr, bad, good


def runs_params(shape: Shape, axes: Shape) -> tuple[int, ...]:
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


def _axis_options(x: Any, *, axis: Any, keepdims: bool = False) -> Any:
    return {"axis": normalize_axes(axis, len(x)), "keepdims": truth("keepdims", keepdims)}


def spread(ops: Any, g: Any, shape: Shape, axis: Shape, keepdims: bool) -> Any:
    """The adjoint of a sum over `axis`: g repeated along those axes of `shape`."""
    if keepdims:
        return ops.broadcast_to(g, shape=shape)
    return ops.broadcast_to(g, shape=shape, axis_map=tuple(i for i in range(len(shape)) if i not in axis))


def _need_elements(x: Shape, axis: Shape) -> None:
    if reduced_count(x, axis) == 0:
        raise ShapeError("takes at least one element along the reduced axes")


def reduce_samples(empty_ok: bool) -> list[Any]:
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


#: Sums and products of integers and Booleans are int64.
TOTAL = IntegerForm(result="int64")


# Sums and means ------------------------------------------------------------------------------------------------------------


@defop("reduce_sum", integers=TOTAL, samples=lambda: reduce_samples(True))
class ReduceSum:
    """Sum over the given axes (an int or a tuple); a sum of nothing is 0."""

    options = _axis_options

    def shape(x: Any, *, axis: Any, keepdims: bool) -> Any:
        return reduced(x, axis, keepdims)

    def kernel_params(x: Any, *, axis: Any, keepdims: bool) -> Any:
        return runs_params(x, axis), (1.0,)

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
        return (spread(ops, g, x.shape, axis, keepdims),)

    jvp = linear_jvp("reduce_sum")


@defop("reduce_mean", kernel="reduce_sum", samples=lambda: reduce_samples(False))
class ReduceMean:
    """Mean over the given axes (an int or a tuple).

    Raises: ShapeError for a mean over nothing.
    """

    options = _axis_options

    def shape(x: Any, *, axis: Any, keepdims: bool) -> Any:
        _need_elements(x, axis)
        return reduced(x, axis, keepdims)

    def kernel_params(x: Any, *, axis: Any, keepdims: bool) -> Any:
        return runs_params(x, axis), (float(reduced_count(x, axis)),)

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
        return (spread(ops, ops.scale(g, c=1.0 / reduced_count(x.shape, axis)), x.shape, axis, keepdims),)

    jvp = linear_jvp("reduce_mean")


@defop("sum", kernel="reduce_sum", integers=TOTAL, samples=lambda: [good((3, 4)), good(()), good((0, 3)), good((7, 41)), good((1,))])
class Sum:
    """Sum of every element; a sum of nothing is 0."""

    def shape(x: Any) -> Any:
        return ()

    def kernel_params(x: Any) -> Any:
        return runs_params(x, tuple(range(len(x)))), (1.0,)

    def vjp(ops: Any, g: Any, y: Any, x: Any) -> Any:
        return (ops.broadcast_to(g, shape=x.shape),)

    jvp = linear_jvp("sum")


@defop("mean", kernel="reduce_sum", samples=lambda: [good((3, 4)), good(()), good((7, 41)), bad("ShapeError", (0, 3))])
class Mean:
    """Mean of every element.

    Raises: ShapeError for a mean of nothing.
    """

    def shape(x: Any) -> Any:
        if size(x) == 0:
            raise ShapeError("takes at least one element")
        return ()

    def kernel_params(x: Any) -> Any:
        return runs_params(x, tuple(range(len(x)))), (float(size(x)),)

    def vjp(ops: Any, g: Any, y: Any, x: Any) -> Any:
        return (ops.broadcast_to(ops.scale(g, c=1.0 / size(x.shape)), shape=x.shape),)

    jvp = linear_jvp("mean")


# Maxima --------------------------------------------------------------------------------------------------------------------
# The first maximum takes the gradient, so the rules carry its position: an int32 that counts along the reduced axes in row-major order.


def _need_indexable(x: Shape, axis: Shape) -> None:
    _need_elements(x, axis)
    if reduced_count(x, axis) >= 2**31:
        raise ShapeError("takes fewer than 2**31 elements along the reduced axes")


def max_samples() -> list[Any]:
    return [
        good(Arr((3, 4), "distinct"), axis=0), good(Arr((3, 4), "distinct"), axis=1), good(Arr((3, 4), "distinct"), axis=(0, 1)),
        good(Arr((3, 4), "distinct"), axis=-1, keepdims=True), good(Arr((2, 3, 4), "distinct"), axis=(0, 2)),
        good(Arr((2, 3, 4, 5), "distinct"), axis=(1, 3)), good(Arr((3, 1, 2), "distinct"), axis=1), good(Arr((2, 3), "distinct"), axis=()),
        good(Arr((2, 130), "distinct"), axis=1), good((0, 3), axis=1),
        good(Arr((4,), "values", data=(1.0, 2.0, 2.0, 0.0)), axis=0, smooth=False),
        bad("ShapeError", (2, 0), axis=1), bad("IndexRangeError", (3, 4), axis=2), bad("OptionError", (3, 4), axis=(0, -2)),
    ]  # fmt: skip


class _Maximum:
    options = _axis_options

    def shape(x: Any, *, axis: Any, keepdims: bool) -> Any:
        _need_indexable(x, axis)
        return reduced(x, axis, keepdims)

    def kernel_params(x: Any, *, axis: Any, keepdims: bool) -> Any:
        return runs_params(x, axis), ()


@defop("reduce_max", residuals=("index",), integers=IntegerForm(), samples=max_samples)
class ReduceMax(_Maximum):
    """Maximum over the given axes (an int or a tuple); NaN where an element is NaN.

    The first maximum in row-major order takes the gradient (the first NaN, where there is one).

    Raises: ShapeError for a maximum over nothing.
    """

    def residual_specs(x: Any, *, axis: Any, keepdims: bool) -> Any:
        return [Spec(reduced(x, axis, keepdims), "int32")]

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any, keepdims: bool, index: Any) -> Any:
        return (ops._place_at(g, index, shape=x.shape, axis=axis),)

    def jvp(ops: Any, t: Any, y: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
        return None if t[0] is None else ops._take_at(t[0], ops._max_index(x, axis=axis, keepdims=keepdims), axis=axis)


@defop("_max_index", kernel="max_index", out_dtype="int32", integers=IntegerForm(result="int32"), differentiable=False, samples=max_samples)
class MaxIndex(_Maximum):
    """The position of the first maximum (or the first NaN) over the given axes, counted along them in row-major order."""

    vjp = no_gradient
    jvp = no_tangent


@defop("argmax", out_dtype="int64", integers=TOTAL, differentiable=False, samples=lambda: [
    good(Arr((3, 4), "distinct")), good(Arr((3, 4), "distinct"), axis=0), good(Arr((2, 3, 4), "distinct"), axis=1),
    good(Arr((5,), "values", data=(1.0, 3.0, 3.0, 0.0, 3.0)), axis=0), good((3, 1)), good((0, 3)),
    good(Arr((3, 4), "distinct"), axis=None), good(Arr((3, 4), "distinct"), axis=None, keepdims=True), good((), axis=None),
    good(Arr((2, 3, 4), "distinct"), axis=(0, 2)), good(Arr((2, 3, 4), "distinct"), axis=1, keepdims=True),
    bad("ShapeError", (3, 0)), bad("IndexRangeError", (3,), axis=1), bad("IndexRangeError", ()),
])  # fmt: skip
class Argmax:
    """Index of the first maximum over the given axes (of the first NaN, where there is one), int64; it has no gradient.

    Over several axes (None: all) it counts along them in row-major order.

    Raises: ShapeError for a maximum over nothing.
    """

    def options(x: Any, *, axis: Any = -1, keepdims: bool = False) -> Any:
        return {"axis": normalize_axes(axis, len(x)), "keepdims": truth("keepdims", keepdims)}

    def shape(x: Any, *, axis: Any, keepdims: bool) -> Any:
        _need_indexable(x, axis)
        return reduced(x, axis, keepdims)

    def kernel_params(x: Any, *, axis: Any, keepdims: bool) -> Any:
        return runs_params(x, axis), ()

    vjp = no_gradient
    jvp = no_tangent


def _points_axis(x: Shape, axis: int | tuple[int, ...], index: Shape) -> Shape:
    axes = normalize_axes(axis, len(x))
    if size(index) != size(reduced(x, axes, False)):
        raise ShapeError("index must have one entry for each element left after reducing over axis")
    return axes


def positions(count: int, *shape: int) -> Arr:
    """Positions along reduced axes of `count` elements."""
    return Arr(shape, "int32", 0, count)


@defop("_take_at", kernel="take_at", dtypes={"index": "int32"}, samples=lambda: [
    good((3, 4), positions(4, 3), axis=1), good((3, 4), positions(3, 1, 4), axis=0), good((2, 3, 4), positions(8, 3), axis=(0, 2)),
    good((3,), positions(3), axis=0), bad("ShapeError", (3, 4), positions(4, 2), axis=1),
])  # fmt: skip
class TakeAt:
    """From each slice of x along `axis` the element at its position, an int32 that counts along those axes in row-major order."""

    def options(x: Any, index: Any, *, axis: Any) -> Any:
        return {"axis": _points_axis(x, axis, index)}

    def shape(x: Any, index: Any, *, axis: Any) -> Any:
        return index

    def kernel_params(x: Any, index: Any, *, axis: Any) -> Any:
        return runs_params(x, axis), ()

    def vjp(ops: Any, g: Any, y: Any, x: Any, index: Any, *, axis: Any) -> Any:
        return (ops._place_at(g, index, shape=x.shape, axis=axis), None)

    jvp = linear_jvp("_take_at")


@defop("_place_at", kernel="place_at", dtypes={"index": "int32"}, samples=lambda: [
    good((3,), positions(4, 3), shape=(3, 4), axis=1), good((1, 4), positions(3, 1, 4), shape=(3, 4), axis=0),
    good((3,), positions(8, 3), shape=(2, 3, 4), axis=(0, 2)), bad("ShapeError", (4,), positions(4, 3), shape=(3, 4), axis=1),
])  # fmt: skip
class PlaceAt:
    """The adjoint of `_take_at`: zeros of `shape`, with each element of v at its position along `axis`."""

    def options(v: Any, index: Any, *, shape: Any, axis: Any) -> Any:
        return {"shape": tuple(shape), "axis": _points_axis(tuple(shape), axis, index)}

    def shape(v: Any, index: Any, *, shape: Any, axis: Any) -> Any:
        if v != index:
            raise ShapeError("v and index must have one shape")
        return shape

    def kernel_params(v: Any, index: Any, *, shape: Any, axis: Any) -> Any:
        return runs_params(shape, axis), ()

    def vjp(ops: Any, g: Any, y: Any, v: Any, index: Any, *, shape: Any, axis: Any) -> Any:
        return (ops._take_at(g, index, axis=axis), None)

    jvp = linear_jvp("_place_at")


# Running sums --------------------------------------------------------------------------------------------------------------


class Running:
    """What is computed along one axis, or of all elements in row-major order where it is None, and has an entry for each of them."""

    def options(x: Any, *, axis: Any) -> Any:
        return {"axis": None if axis is None else normalize_axis(axis, len(x))}

    def shape(x: Any, *, axis: Any) -> Any:
        return (size(x),) if axis is None else x


def lines_of(x: Shape, axis: int | None) -> tuple[int, int, int]:
    """An array as (outer, length, inner) with the axis in the middle; as one line where it is None."""
    return (1, size(x), 1) if axis is None else (size(x[:axis]), x[axis], size(x[axis + 1 :]))


def in_lines(ops: Any, x: Any, axis: int | None) -> Any:
    """The array that an axis of None means: its elements as one."""
    return ops.flatten(x) if axis is None else x


def cumsum_samples() -> list[Any]:
    return [
        good((5,), axis=0), good((3, 4), axis=0), good((3, 4), axis=-1), good((2, 3, 4), axis=1), good((0, 3), axis=0),
        good((2, 1), axis=1), good((2, 3), axis=None), good((), axis=None),
        bad("IndexRangeError", (3,), axis=1), bad("IndexRangeError", (), axis=0),
    ]  # fmt: skip


@defop("cumsum", integers=TOTAL, samples=cumsum_samples)
class Cumsum(Running):
    """Running sum along an axis: y[j] = x[0] + … + x[j]; where it is None, of all elements in row-major order."""

    def kernel_params(x: Any, *, axis: Any) -> Any:
        return (*lines_of(x, axis), 0), ()

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any) -> Any:
        dx = ops._reverse_cumsum(g, axis=axis)
        return (dx if axis is not None else ops.reshape(dx, shape=x.shape),)

    jvp = linear_jvp("cumsum")


@defop("_reverse_cumsum", kernel="cumsum", integers=TOTAL, samples=cumsum_samples)
class ReverseCumsum(Running):
    """Running sum from the end, the adjoint of `cumsum`: y[j] = x[j] + x[j + 1] + …"""

    def kernel_params(x: Any, *, axis: Any) -> Any:
        return (*lines_of(x, axis), 1), ()

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any) -> Any:
        dx = ops.cumsum(g, axis=axis)
        return (dx if axis is not None else ops.reshape(dx, shape=x.shape),)

    jvp = linear_jvp("_reverse_cumsum")


def reversing(ops: Any, x: Any) -> Callable[..., Any]:
    """The op that reverses the order of such numbers: of integers it inverts the bits, as the least one has no negative."""
    return ops.bitwise_not if getattr(x, "dtype", None) in INTEGERS else ops.neg
