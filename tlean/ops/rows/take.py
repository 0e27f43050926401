"""Entries and rows by number: taking them, and writing or adding to them.

`gather_rows` takes rows and `set_rows` writes them, whatever they hold; `scatter_into_rows` combines them with what is there
(`scatter_rows` with zeros). A vector is a matrix with rows of one element, an axis inside makes blocks of rows, several axes
side by side are one. What fits no such form becomes positions first, by `_locate`.
"""

from __future__ import annotations

from operator import index
from typing import Any

from ...dtypes import ANY, IntegerForm
from ...errors import IndexRangeError, OptionError, ShapeError
from ...shapes import Shape, as_shape, normalize_axis, size
from ..registry import defop, linear_jvp, no_gradient, no_tangent
from ..samples import Arr, bad, good

#: What an index out of range does, with the kernels' codes. "drop" and "strict" refuse negative ones too.
MODES = {"drop": 0, "strict": 1, "raise": 2, "clip": 3, "fill": 4}
#: What a scatter does where a row falls, with the kernels' codes. Setting is a separate op, which takes any dtype.
WRITES = {"add": 0, "set": 1, "max": 2, "min": 3}


def geometry(x: Shape, axis: int | None) -> tuple[int, int, int]:
    """An array as blocks of rows along an axis, of all axes as one where it is None: (blocks, rows, elements in a row)."""
    return (1, size(x), 1) if axis is None else (size(x[:axis]), x[axis], size(x[axis + 1 :]))


def rows_numbers(x: Shape, at: Shape, mode: str, axis: int | None = 0, what: str = "add") -> tuple[tuple[int, ...], tuple[()]]:
    """The numbers of kernels `gather_rows`, `set_rows`, `scatter_rows` and `scatter_into_rows`.

    (rows of x, elements in a row, rows taken, mode, blocks, what a scatter does).
    """
    blocks, rows, length = geometry(x, axis)
    return (rows, length, size(at), MODES[mode], blocks, WRITES[what]), ()


def taken(x: Shape, at: Shape, axis: int | None) -> Shape:
    """The shape of the rows that indices take."""
    return at if axis is None else (*x[:axis], *at, *x[axis + 1 :])


def checked_rows(x: Shape, at: Shape, axis: Any, mode: Any) -> tuple[int | None, str]:
    """The axis counted from 0, and the mode. Raises: OptionError, IndexRangeError."""
    if not isinstance(mode, str) or mode not in MODES:
        raise OptionError(f"mode must be one of {', '.join(MODES)}")
    k = None if axis is None else normalize_axis(axis, len(x))
    if mode == "clip" and size(at) and not geometry(x, k)[1]:
        raise IndexRangeError("there must be an entry for an index to be clipped to")
    return k, mode


def at(*values: int) -> Arr:
    """A vector of indices with these values."""
    return Arr((len(values),), "values", data=values)


def at_one(value: int) -> Arr:
    """One index with this value."""
    return Arr((), "values", data=value)


# Taking and adding ---------------------------------------------------------------------------------------------------------


def take_samples() -> list[Any]:
    several = Arr((2, 3), "values", data=(0, -1, 2, 1, -4, 3))
    return [
        good((4,), several, axis=0), good((4, 5), several), good((4, 3), several, axis=0), good((3, 4), several, axis=1),
        good((2, 4, 3), several, axis=1), good((2, 4, 16), several, axis=1), good((4,), at_one(-1), axis=-1), good((4, 0), at(1), axis=0),
        good((4,), at(5, -7, 2, -1), axis=0, mode="clip"), good((4,), at(5, -7, 2, -1), axis=0, mode="fill"),
        good((4,), at(5, -7, 2, -1), axis=0, mode="drop"), good((3, 4, 2), at(1, 4, -9), axis=1, mode="fill"),
        good((0, 3), Arr((0,), "int"), axis=0), good((4, 70), at(1, 1, 3, -2), axis=0), good((3,), at(*range(3), *range(-3, 3)), axis=0),
        good((1500, 33), Arr((4000,), "int", low=-1500, high=1500), axis=0, smooth=False),
        bad("IndexRangeError", (4,), at(4), axis=0), bad("IndexRangeError", (4, 2), at(0, -5), axis=0),
        bad("IndexRangeError", (4,), at(-1), axis=0, mode="strict"), bad("IndexRangeError", (0, 2), at(0), axis=0, mode="clip"),
        bad("IndexRangeError", (0, 2), at(0), axis=0), bad("IndexRangeError", (4,), at(0), axis=1),
        bad("OptionError", (4,), at(0), axis=0, mode="wrap"),
    ]  # fmt: skip


@defop("take", kernel="gather_rows", dtypes={"x": ANY, "indices": "int64"}, out_dtype=ANY, samples=take_samples)
class Take:
    """Entries along an axis by number, or of the whole array in row-major order where axis is None; negative ones count from the end."""

    def options(x, indices, *, axis=None, mode="raise"):
        axis, mode = checked_rows(x, indices, axis, mode)
        return {"axis": axis, "mode": mode}

    def shape(x, indices, *, axis, mode):
        return taken(x, indices, axis)

    def kernel_params(x, indices, *, axis, mode):
        return rows_numbers(x, indices, mode, axis)

    def vjp(ops, g, y, x, indices, *, axis, mode):
        return (ops._scatter_rows(g, indices, shape=x.shape, axis=axis, mode=mode), None)

    jvp = linear_jvp("take")


def scatter_samples() -> list[Any]:
    several = Arr((2, 3), "values", data=(0, -1, 2, 2, -4, 3))
    return [
        good((), at_one(2), shape=(5,)), good((3,), at(1, 1, 0), shape=(4,)), good((3, 2), at(3, -1, 3), shape=(4, 2)),
        good((2,), at_one(7), shape=(4, 2)), good((0, 2), Arr((0,), "int", 0, 4), shape=(4, 2)),
        good((2, 3, 3), several, shape=(4, 3), axis=0, mode="raise"), good((5, 2, 3), several, shape=(5, 4), axis=1, mode="fill"),
        good((2, 3), several, shape=(2, 2), axis=None, mode="raise"), good((3, 2), at(9, 1, -9), shape=(3, 2), axis=0, mode="clip"),
        good((4000, 33), Arr((4000,), "int", low=-3, high=1500), shape=(1500, 33), smooth=False),
    ]  # fmt: skip


@defop("_scatter_rows", kernel="scatter_rows", dtypes={"i": "int64"}, integers=IntegerForm(), samples=scatter_samples)
class ScatterRows:
    """The adjoint of taking: zeros of `shape`, with each row of v added at its index, in index order; none where it is out of range."""

    def options(v, i, *, shape, axis=0, mode="drop"):
        target = as_shape(shape)
        axis, mode = checked_rows(target, i, axis, mode)
        if v != taken(target, i, axis):
            raise ShapeError(f"v must have the shape {taken(target, i, axis)} of the rows that the indices name")
        return {"shape": target, "axis": axis, "mode": mode}

    def shape(v, i, *, shape, axis, mode):
        return shape

    def kernel_params(v, i, *, shape, axis, mode):
        return rows_numbers(shape, i, mode, axis)

    def vjp(ops, g, y, v, i, *, shape, axis, mode):
        return (ops.take(g, i, axis=axis, mode=mode), None)

    jvp = linear_jvp("_scatter_rows")


# Positions ------------------------------------------------------------------------------------------------------------------


def locate_samples() -> list[Any]:
    pairs = Arr((2, 2), "values", data=(0, -1, 2, 1))
    return [
        good(at(0, -1, 2), None, shape=(3,), size=3), good(at(0, 1), at(4, 8), shape=(2,), size=2, step=3),
        good(Arr((2, 1), "values", data=(1, -1)), at(0, 3, 6), shape=(2, 3), size=3), good(pairs, None, shape=(2,), pick=1, size=2, step=5),
        good(at(1, 0), None, shape=(3, 2), size=2, step=1, along=(2, 0)), good(at_one(-1), None, shape=(), size=2, wrap=4, mode="clip"),
        good(at(5, -5, 1), at(1, 2, -1), shape=(3,), size=3, mode="fill"), good(Arr((0,), "int"), None, shape=(0,), size=0),
        bad("IndexRangeError", at(3), None, shape=(1,), size=3), bad("ShapeError", at(1, 2), None, shape=(3,), size=3),
    ]  # fmt: skip


def _spread_strides(i: Shape, shape: Shape, name: str) -> Shape:
    # The strides of a dense i that is broadcast to a shape.
    if len(i) > len(shape) or any(d not in (1, n) for d, n in zip(reversed(i), reversed(shape), strict=False)):
        raise ShapeError(f"{name} must broadcast to {shape}")
    strides, step = [], 1
    for d, n in zip(reversed(i), reversed(shape), strict=False):
        strides.append(step if d == n else 0)
        step *= d
    return (0,) * (len(shape) - len(i)) + tuple(reversed(strides))


@defop(
    "_locate",
    kernel="locate",
    dtypes={"i": "int64", "prior": "int64"},
    optional=("prior",),
    out_dtype="int64",
    differentiable=False,
    samples=locate_samples,
)
class Locate:
    """Positions in a dense array, made of indices of one of its axes: step·i + along·p at position p of `shape`, plus `prior`.

    `pick` reads one entry of the last axis of i. `size` is what i counts, `wrap` what a negative one counts from; -1 says that an index is
    out of range, and stays.
    """

    def options(i, prior, *, shape, size, pick=None, wrap=None, step=1, along=None, mode="raise"):
        _, mode = checked_rows((size,), i, 0, mode)
        target = as_shape(shape)
        along = (0,) * len(target) if along is None else tuple(index(a) for a in along)
        wrap = size if wrap is None else index(wrap)
        return {"shape": target, "size": index(size), "pick": pick, "wrap": wrap, "step": index(step), "along": along, "mode": mode}

    def shape(i, prior, *, shape, size, pick, wrap, step, along, mode):
        if prior is not None:
            _spread_strides(prior, shape, "prior")
        _spread_strides(i if pick is None else i[:-1], shape, "i")
        return shape

    def kernel_params(i, prior, *, shape, size, pick, wrap, step, along, mode):
        # (axes, positions, size, wrap, step, mode, first, sizes…, strides of i…, strides of prior…, along…)
        count, inner = 1, 1 if pick is None else i[-1]
        for d in shape:
            count *= d
        strides = tuple(s * inner for s in _spread_strides(i if pick is None else i[:-1], shape, "i"))
        before = (0,) * len(shape) if prior is None else _spread_strides(prior, shape, "prior")
        return (len(shape), count, size, wrap, step, MODES[mode], pick or 0, *shape, *strides, *before, *along), ()

    vjp = no_gradient
    jvp = no_tangent
