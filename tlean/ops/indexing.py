"""Ops that take parts of an array by position, or put parts into one."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from ..dtypes import ANY, IntegerForm
from ..errors import IndexRangeError, OptionError, ShapeError
from ..shapes import Shape, as_shape, size
from .layout import MOVED, row_strides, strided_numbers
from .registry import defop, linear_jvp
from .rows.take import at, at_one, rows_numbers
from .samples import Arr, bad, good

# Slices and padding --------------------------------------------------------------------------------------------------------


def place_numbers(shape: Shape, target: Shape, starts: Shape, steps: Shape, value: float) -> tuple[tuple[int, ...], tuple[float]]:
    """The numbers of kernel `place`: (axes, in sizes…, out sizes…, starts…, steps…), (value,), with as few axes (at least 2) as
    describe the same.

    Input element (i0, …) lands at (starts + i·steps) of an output filled with `value`. An axis that is covered whole is merged into the
    one before it.
    """
    axes: list[list[int]] = []
    for n, m, start, step in zip(shape, target, starts, steps, strict=True):
        if axes and n == m and axes[-1][3] == 1:
            axes[-1] = [axes[-1][0] * n, axes[-1][1] * n, axes[-1][2] * n, 1]
        else:
            axes.append([n, m, start, step])
    while len(axes) < 2:
        axes.insert(0, [1, 1, 0, 1])
    return (len(axes), *(a[k] for k in range(4) for a in axes)), (value,)


def _per_axis(values: Sequence[int], x: Shape, name: str) -> Shape:
    try:
        entries = tuple(index(v) for v in values)
    except TypeError:
        raise OptionError(f"{name} must be a sequence of ints") from None
    if len(entries) != len(x):
        raise OptionError(f"{name} must have one entry for each of the {len(x)} axes of x")
    return entries


@defop("slice_range0", kernel="strided_copy", dtypes=MOVED, out_dtype=ANY, samples=lambda: [
    good((5, 3), start=1, length=3), good((5,), start=0, length=5), good((4, 2, 2), start=4, length=0), good((4, 2), start=3, length=1),
    bad("IndexRangeError", (5, 3), start=3, length=3), bad("IndexRangeError", (5, 3), start=-1, length=2),
    bad("IndexRangeError", (5,), start=0, length=-1), bad("ShapeError", (), start=0, length=0),
])  # fmt: skip
class SliceRange0:
    """`length` consecutive entries of the first axis, from `start`."""

    def options(x, *, start, length):
        return {"start": index(start), "length": index(length)}

    def shape(x, *, start, length):
        if not x:
            raise ShapeError("x must have at least one axis")
        if start < 0 or length < 0 or start + length > x[0]:
            raise IndexRangeError(f"0 <= start, 0 <= length and start + length <= {x[0]}")
        return (length, *x[1:])

    def kernel_params(x, *, start, length):
        return strided_numbers((length, *x[1:]), row_strides(x), start * size(x[1:]))

    def vjp(ops, g, y, x, *, start, length):
        rest = len(x.shape) - 1
        return (ops._place(g, shape=x.shape, starts=(start,) + (0,) * rest, steps=(1,) * (rest + 1)),)

    jvp = linear_jvp("slice_range0")


@defop("slice", kernel="strided_copy", dtypes=MOVED, out_dtype=ANY, samples=lambda: [
    good((5, 4), starts=(1, 0), stops=(4, 2)), good((5, 4), starts=(0, 1), stops=(5, 4), steps=(2, 3)), good((5,), starts=(2,), stops=(5,)),
    good((), starts=(), stops=()), good((3, 4), starts=(1, 2), stops=(1, 3)), good((2, 3, 4), starts=(0, 1, 0), stops=(2, 2, 3)),
    good((7, 2), starts=(1, 0), stops=(7, 2), steps=(3, 1)), good((5, 4), starts=(4, 0), stops=(-1, 4), steps=(-1, 1)),
    good((5, 4), starts=(3, 3), stops=(0, -1), steps=(-2, -3)), good((2, 3, 4), starts=(1, 0, 3), stops=(-1, 3, -1), steps=(-1, 1, -1)),
    good((90, 80), starts=(89, 79), stops=(-1, -1), steps=(-1, -2)), good((3,), starts=(1,), stops=(1,), steps=(-1,)),
    bad("IndexRangeError", (5,), starts=(5,), stops=(0,), steps=(-1,)), bad("IndexRangeError", (5,), starts=(1,), stops=(2,), steps=(-1,)),
    bad("IndexRangeError", (5,), starts=(4,), stops=(-2,), steps=(-1,)),
    bad("IndexRangeError", (5, 4), starts=(0, 0), stops=(6, 4)), bad("IndexRangeError", (5,), starts=(3,), stops=(2,)),
    bad("IndexRangeError", (5,), starts=(-1,), stops=(5,)), bad("OptionError", (5, 4), starts=(0,), stops=(5,)),
    bad("OptionError", (5,), starts=(0,), stops=(5,), steps=(0,)), bad("OptionError", (5,), starts=0, stops=5),
])  # fmt: skip
class Slice:
    """A box of entries: along axis i those at starts[i], starts[i] + steps[i], … before stops[i]; steps are 1 by default.

    A negative step goes down to the entry above stops[i], which is -1 where the first entry is taken.

    Raises: IndexRangeError unless 0 ≤ start ≤ stop ≤ size along every axis, and -1 ≤ stop ≤ start < size where the step is negative.
    """

    def options(x, *, starts, stops, steps=None):
        first, ends = _per_axis(starts, x, "starts"), _per_axis(stops, x, "stops")
        strides = (1,) * len(x) if steps is None else _per_axis(steps, x, "steps")
        if 0 in strides:
            raise OptionError("steps must not be 0")
        if not all(0 <= a <= b <= n if s > 0 else -1 <= b <= a < n for a, b, s, n in zip(first, ends, strides, x, strict=True)):
            rule = "0 <= start <= stop <= size along every axis"
            raise IndexRangeError(rule if min(strides) > 0 else f"{rule}, and -1 <= stop <= start < size where the step is negative")
        # One form for every call that takes the same entries: nothing from 0 on, one entry by a step of 1, no further than the last entry.
        runs = [_run(a, b, s) for a, b, s in zip(first, ends, strides, strict=True)]
        return dict(zip(("starts", "stops", "steps"), (tuple(v) for v in zip(*runs, strict=True)) if runs else ((), (), ()), strict=True))

    def shape(x, *, starts, stops, steps):
        return _box(starts, stops, steps)

    def kernel_params(x, *, starts, stops, steps):
        strides = row_strides(x)
        offset = sum(a * s for a, s in zip(starts, strides, strict=True))
        return strided_numbers(_box(starts, stops, steps), tuple(a * s for a, s in zip(steps, strides, strict=True)), offset)

    def vjp(ops, g, y, x, *, starts, stops, steps):
        if any(s < 0 for s in steps):
            # The same entries upwards, of the cotangent turned round.
            box, down = g.shape, [s < 0 for s in steps]
            first = tuple(n - 1 if d else 0 for n, d in zip(box, down, strict=True))
            g = ops.slice(g, first, tuple(-1 if d else n for n, d in zip(box, down, strict=True)), tuple(-1 if d else 1 for d in down))
            starts = tuple(a + (n - 1) * s if s < 0 else a for a, n, s in zip(starts, box, steps, strict=True))
        return (ops._place(g, shape=x.shape, starts=starts, steps=tuple(abs(s) for s in steps)),)

    jvp = linear_jvp("slice")


def _box(starts: Shape, stops: Shape, steps: Shape) -> Shape:
    return tuple(len(range(a, b, s)) for a, b, s in zip(starts, stops, steps, strict=True))


def _run(start: int, stop: int, step: int) -> tuple[int, int, int]:
    run = range(start, stop, step)
    if not run:
        return (min(start, stop), min(start, stop), 1) if step < 0 else (start, start, step)
    return (start, start + 1, 1 if step < 0 else step) if len(run) == 1 else (start, run[-1] + (1 if step > 0 else -1), step)


@defop("_place", kernel="place", dtypes=MOVED, out_dtype=ANY, samples=lambda: [
    good((2, 2), shape=(4, 5), starts=(1, 2), steps=(1, 1)), good((2, 2), shape=(5, 5), starts=(1, 0), steps=(3, 2)),
    good((3,), shape=(3,), starts=(0,), steps=(1,)), good((), shape=(), starts=(), steps=()),
    good((0, 2), shape=(3, 2), starts=(1, 0), steps=(1, 1)),
])  # fmt: skip
class Place:
    """The adjoint of `slice`: x at (starts + i·steps) of an array of zeros."""

    def options(x, *, shape, starts, steps):
        return {"shape": as_shape(shape), "starts": tuple(starts), "steps": tuple(steps)}

    def shape(x, *, shape, starts, steps):
        return shape

    def kernel_params(x, *, shape, starts, steps):
        return place_numbers(x, shape, starts, steps, 0.0)

    def vjp(ops, g, y, x, *, shape, starts, steps):
        stops = tuple(a + (n - 1) * s + 1 if n else a for a, n, s in zip(starts, x.shape, steps, strict=True))
        return (ops.slice(g, starts=starts, stops=stops, steps=steps),)

    jvp = linear_jvp("_place")


@defop("pad", kernel="place", dtypes=MOVED, out_dtype=ANY, samples=lambda: [
    good((2, 3), widths=((1, 0), (0, 2))), good((2, 3), widths=((1, 1), (2, 2)), value=-1.5), good((3,), widths=((0, 0),)),
    good((), widths=()),
    good((0,), widths=((2, 1),), value=3.0), good((2, 3, 3), widths=((0, 0), (1, 1), (1, 1))),
    bad("OptionError", (2, 3), widths=((1, 1),)), bad("OptionError", (2,), widths=((-1, 1),)),
    bad("OptionError", (2,), widths=((1, 1, 1),)), bad("OptionError", (2,), widths=1),
])  # fmt: skip
class Pad:
    """x with `value` around it: widths[i] = (before, after) along axis i."""

    def options(x, *, widths, value=0.0):
        try:
            pairs = tuple(tuple(index(v) for v in pair) for pair in widths)
        except TypeError:
            raise OptionError("widths must be a sequence of pairs of ints") from None
        if len(pairs) != len(x) or any(len(p) != 2 or min(p) < 0 for p in pairs):
            raise OptionError(f"widths must have one pair (before, after) of numbers of at least 0 for each of the {len(x)} axes of x")
        return {"widths": pairs, "value": float(value)}

    def shape(x, *, widths, value):
        return tuple(before + n + after for n, (before, after) in zip(x, widths, strict=True))

    def kernel_params(x, *, widths, value):
        target = tuple(before + n + after for n, (before, after) in zip(x, widths, strict=True))
        return place_numbers(x, target, tuple(p[0] for p in widths), (1,) * len(x), value)

    def vjp(ops, g, y, x, *, widths, value):
        starts = tuple(p[0] for p in widths)
        return (ops.slice(g, starts=starts, stops=tuple(a + n for a, n in zip(starts, x.shape, strict=True))),)

    def jvp(ops, t, y, x, *, widths, value):
        return None if t[0] is None else ops.pad(t[0], widths=widths)


# Entries and rows by number ---------------------------------------------------------------------------------------------------
# One kernel takes rows and one adds rows: a vector is a matrix with rows of one element, a single index is a list of one.


def _need(shape: Shape, axes: int, name: str) -> None:
    if len(shape) != axes:
        raise ShapeError(f"{name} must have {axes} {'axis' if axes == 1 else 'axes'}")


#: The dtypes of a gather: rows are moved, whatever they hold.
_ROWS: dict[str, Any] = {"dtypes": {"x": ANY, "i": "int64", "idx": "int64"}, "out_dtype": ANY}


class _Gather:
    # Linear in x; the adjoint adds each row of g to the row it came from.
    def vjp(ops, g, y, x, i):
        return (ops._scatter_rows(g, i, shape=x.shape), None)


@defop("gather_scalar", kernel="gather_rows", **_ROWS, samples=lambda: [
    good((5,), at_one(0)), good((5,), at_one(4)), bad("IndexRangeError", (5,), at_one(5)), bad("IndexRangeError", (5,), at_one(-1)),
    bad("IndexRangeError", (0,), at_one(0)), bad("ShapeError", (5, 2), at_one(0)), bad("ShapeError", (5,), at(1, 2)),
])  # fmt: skip
class GatherScalar(_Gather):
    """One element of a vector: x[i].

    Raises: IndexRangeError unless 0 ≤ i < n.
    """

    def shape(x, i):
        _need(x, 1, "x")
        _need(i, 0, "i")
        return ()

    def kernel_params(x, i):
        return rows_numbers(x, i, "strict")

    jvp = linear_jvp("gather_scalar")


@defop("gather_row", kernel="gather_rows", **_ROWS, samples=lambda: [
    good((5, 3), at_one(0)), good((5, 3), at_one(4)), bad("IndexRangeError", (5, 3), at_one(5)), bad("IndexRangeError", (5, 3), at_one(-1)),
    bad("ShapeError", (5,), at_one(0)),
])  # fmt: skip
class GatherRow(_Gather):
    """One row of a matrix: x[i, :].

    Raises: IndexRangeError unless 0 ≤ i < r.
    """

    def shape(x, i):
        _need(x, 2, "x")
        _need(i, 0, "i")
        return (x[1],)

    def kernel_params(x, i):
        return rows_numbers(x, i, "strict")

    jvp = linear_jvp("gather_row")


@defop("gather_scalar_nat", kernel="gather_rows", **_ROWS, aliases=("gather_scalar_ref",), samples=lambda: [
    good((5,), at_one(2)), good((5,), at_one(5)), good((5,), at_one(-1)), good((0,), at_one(0)), bad("ShapeError", (5, 2), at_one(0)),
])  # fmt: skip
class GatherScalarNat(_Gather):
    """One element of a vector, or 0 where the index is out of range."""

    def shape(x, i):
        _need(x, 1, "x")
        _need(i, 0, "i")
        return ()

    def kernel_params(x, i):
        return rows_numbers(x, i, "drop")

    jvp = linear_jvp("gather_scalar_nat")


@defop("gather_row_ref", kernel="gather_rows", **_ROWS, samples=lambda: [
    good((5, 3), at_one(2)), good((5, 3), at_one(5)), good((5, 3), at_one(-1)), bad("ShapeError", (5,), at_one(0)),
])  # fmt: skip
class GatherRowRef(_Gather):
    """One row of a matrix, or a zero row where the index is out of range."""

    def shape(x, i):
        _need(x, 2, "x")
        _need(i, 0, "i")
        return (x[1],)

    def kernel_params(x, i):
        return rows_numbers(x, i, "drop")

    jvp = linear_jvp("gather_row_ref")


@defop("gather_vec_nat", kernel="gather_rows", **_ROWS, aliases=("gather_vec_ref",), samples=lambda: [
    good((5,), at(0, 4, 0)), good((5,), at(-1, 5, 2)), good((5,), Arr((0,), "int", 0, 5)), good((3,), at(*range(3), *range(3), 9)),
    bad("ShapeError", (5, 2), at(0)), bad("ShapeError", (5,), at_one(0)),
])  # fmt: skip
class GatherVecNat(_Gather):
    """Elements of a vector, 0 for indices out of range: (n,), (k,) → (k,)."""

    def shape(x, idx):
        _need(x, 1, "x")
        _need(idx, 1, "idx")
        return idx

    def kernel_params(x, idx):
        return rows_numbers(x, idx, "drop")

    jvp = linear_jvp("gather_vec_nat")


@defop("gather_rows_nat", kernel="gather_rows", **_ROWS, aliases=("gather_rows_ref",), samples=lambda: [
    good((5, 3), at(0, 4, 0)), good((5, 3), at(-1, 5, 2)), good((5, 3), Arr((0,), "int", 0, 5)), good((4, 70), at(1, 1, 3, 1)),
    bad("ShapeError", (5,), at(0)), bad("ShapeError", (5, 3), at_one(0)),
])  # fmt: skip
class GatherRowsNat(_Gather):
    """Rows of a matrix, zero rows for indices out of range: (r, c), (k,) → (k, c). An embedding table's look-up."""

    def shape(x, idx):
        _need(x, 2, "x")
        _need(idx, 1, "idx")
        return (idx[0], x[1])

    def kernel_params(x, idx):
        return rows_numbers(x, idx, "drop")

    jvp = linear_jvp("gather_rows_nat")


_GATHERS = {(1, 0): "gather_scalar_nat", (1, 1): "gather_vec_nat", (2, 0): "gather_row_ref", (2, 1): "gather_rows_nat"}


def _gather(ops: Any, x: Any, i: Any) -> Any:
    # The gather without an error that fits these shapes.
    return ops.apply(_GATHERS[len(x.shape), len(i.shape)], (x, i), {})


class _ScatterAdd:
    # y = x + scatter(v): linear in x and in v.
    def kernel_params(x, v, i):
        return rows_numbers(x, i, "strict")

    def vjp(ops, g, y, x, v, i):
        return (g, _gather(ops, g, i), None)

    def jvp(ops, t, y, x, v, i):
        if t[1] is None:
            return t[0]
        added = ops._scatter_rows(t[1], i, shape=x.shape)
        return added if t[0] is None else ops.add(t[0], added)


@defop("scatter_add_vec", kernel="scatter_into_rows", dtypes={"i": "int64"}, integers=IntegerForm(), samples=lambda: [
    good((5,), (), at_one(2)), bad("IndexRangeError", (5,), (), at_one(5)), bad("IndexRangeError", (5,), (), at_one(-1)),
    bad("ShapeError", (5,), (1,), at_one(2)), bad("ShapeError", (5, 2), (), at_one(2)),
])  # fmt: skip
class ScatterAddVec(_ScatterAdd):
    """A copy of the vector x with v added to its element i.

    Raises: IndexRangeError unless 0 ≤ i < n.
    """

    def shape(x, v, i):
        _need(x, 1, "x")
        _need(v, 0, "v")
        _need(i, 0, "i")
        return x


@defop("scatter_add_row", kernel="scatter_into_rows", dtypes={"i": "int64"}, integers=IntegerForm(), samples=lambda: [
    good((5, 3), (3,), at_one(2)), bad("IndexRangeError", (5, 3), (3,), at_one(5)), bad("IndexRangeError", (5, 3), (3,), at_one(-1)),
    bad("ShapeError", (5, 3), (2,), at_one(2)), bad("ShapeError", (5,), (), at_one(2)),
])  # fmt: skip
class ScatterAddRow(_ScatterAdd):
    """A copy of the matrix x with the vector v added to its row i.

    Raises: IndexRangeError unless 0 ≤ i < r.
    """

    def shape(x, v, i):
        _need(x, 2, "x")
        _need(i, 0, "i")
        if v != x[1:]:
            raise ShapeError(f"v must be one row of x, of shape {x[1:]}")
        return x
