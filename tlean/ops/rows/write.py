"""Writing into a copy of an array: rows by number, and boxes. What `x.at[key].set(v)` and its like are made of."""

from __future__ import annotations

from operator import index
from typing import Any

from ...arguments import truth
from ...dtypes import ANY, INTEGERS, SIZES, IntegerForm
from ...errors import IndexRangeError, OptionError, ShapeError
from ...shapes import Shape, as_shape, normalize_axis, size
from ..elementwise import elementwise
from ..layout import row_strides, strided_numbers
from ..registry import defop, linear_jvp, no_gradient, no_tangent
from ..samples import Arr, bad, good
from .take import MODES, WRITES, at, at_one, checked_rows, geometry, rows_numbers, taken

elementwise(
    "_tied(a, b)",
    "select(a == b, 1, select(a == a, 0, select(b == b, 0, 1)))",
    None,
    "1 where a and b are equal or both NaN, else 0.",
)


def zeros_like(ops: Any, x: Any) -> Any:
    """Zeros of the shape and the float dtype of x."""
    return full_like(ops, x, x.shape, 0.0)


def full_like(ops: Any, x: Any, shape: Shape, value: float) -> Any:
    """One number everywhere, in the dtype of x; a float beside integers in the program's, and an int beside Booleans in int64."""
    # An argument may still be an array of NumPy's.
    name = str(x.dtype)
    if name in INTEGERS and type(value) is not bool:
        name = "" if type(value) is float else "int64" if name == "bool" else name
    return ops._full(shape=shape, value=value, dtype=name if name in SIZES else None)


# Rows -----------------------------------------------------------------------------------------------------------------------


def write_samples(**options: Any) -> list[Any]:
    several = Arr((2, 3), "values", data=(0, -1, 2, 2, -4, 1))
    return [
        good((5,), (), at_one(2), **options), good((4, 3), (3, 3), at(1, 1, -1), **options),
        good((4, 3), (2, 3, 3), several, **options), good((3, 4), (3, 2, 3), several, axis=1, **options),
        good((2, 2), (2, 3), several, axis=None, **options), good((3, 2), (3, 2), at(9, 1, -9), mode="fill", **options),
        good((3, 2), (3, 2), at(9, 1, -9), mode="clip", **options), good((3, 0), (2, 0), at(1, 1), **options),
        bad("IndexRangeError", (3,), (2,), at(1, 3), **options), bad("ShapeError", (3, 2), (2,), at(0, 1), **options),
    ]  # fmt: skip


def written(ops: Any, x: Any, v: Any, i: Any, axis: int | None, mode: str, what: str, name: str | None = None) -> Any:
    """A copy of x with each row of v set at its index, or combined with what is there: `what` is one of `WRITES`. Raises: OptionError."""
    if what == "set":
        return ops.apply("_set_rows", (x, v, i), {"axis": axis, "mode": mode}, name)
    return ops.apply("_scatter_into", (x, v, i), {"axis": axis, "mode": mode, "what": what}, name)


def _check_rows(x: Shape, v: Shape, i: Shape, axis: int | None) -> None:
    if v != taken(x, i, axis):
        raise ShapeError(f"v must have the shape {taken(x, i, axis)} of the entries that the indices name")


@defop("_set_rows", kernel="set_rows", dtypes={"x": ANY, "v": ANY, "i": "int64"}, out_dtype=ANY, samples=lambda: [
    *write_samples(), good((1500, 33), (4000, 33), Arr((4000,), "int", low=-3, high=1500), smooth=False),
])  # fmt: skip
class SetRows:
    """A copy of x with each row of v written to its index; the last one stays where an index is repeated, and has the gradient."""

    def options(x, v, i, *, axis=0, mode="raise"):
        axis, mode = checked_rows(x, i, axis, mode)
        return {"axis": axis, "mode": mode}

    def shape(x, v, i, *, axis, mode):
        _check_rows(x, v, i, axis)
        return x

    def kernel_params(x, v, i, *, axis, mode):
        return rows_numbers(x, i, mode, axis, "set")

    def vjp(ops, g, y, x, v, i, *, axis, mode):
        last = ops._neighbours(i, size=geometry(x.shape, axis)[1], mode=mode, which="last")
        dv = ops.reshape(ops.take(g, last, axis=axis, mode="drop"), v.shape)
        return (ops._set_rows(g, zeros_like(ops, v), i, axis=axis, mode=mode), dv, None)

    def jvp(ops, t, y, x, v, i, *, axis, mode):
        if t[0] is None and t[1] is None:
            return None
        tx, tv = (zeros_like(ops, a) if d is None else d for d, a in zip(t[:2], (x, v), strict=True))
        return ops._set_rows(tx, tv, i, axis=axis, mode=mode)


#: What `_scatter_into` does.
COMBINED = tuple(what for what in WRITES if what != "set")


@defop("_scatter_into", kernel="scatter_into_rows", dtypes={"i": "int64"}, integers=IntegerForm(), samples=lambda: [
    *(s for what in COMBINED for s in write_samples(what=what)), bad("OptionError", (3,), (1,), at(0), what="pow"),
])  # fmt: skip
class ScatterInto:
    """A copy of x with each row of v added to what is at its index, or the greater or smaller of both there, in index order.

    Of rows that are the greatest or the smallest each has an equal share of the gradient.
    """

    def options(x, v, i, *, axis=0, mode="raise", what="add"):
        axis, mode = checked_rows(x, i, axis, mode)
        if not isinstance(what, str) or what not in COMBINED:
            raise OptionError(f"what must be one of {', '.join(WRITES)}")
        return {"axis": axis, "mode": mode, "what": what}

    def shape(x, v, i, *, axis, mode, what):
        _check_rows(x, v, i, axis)
        return x

    def kernel_params(x, v, i, *, axis, mode, what):
        return rows_numbers(x, i, mode, axis, what)

    def vjp(ops, g, y, x, v, i, *, axis, mode, what):
        if what == "add":
            return (g, ops.take(g, i, axis=axis, mode=mode), None)
        stays, wins, count = _winners(ops, y, x, v, i, axis, mode)
        share = ops.div(g, count)
        return (ops.mul(share, stays), ops.mul(ops.take(share, i, axis=axis, mode=mode), wins), None)

    def jvp(ops, t, y, x, v, i, *, axis, mode, what):
        if t[0] is None and t[1] is None:
            return None
        tx, tv = (zeros_like(ops, a) if d is None else d for d, a in zip(t[:2], (x, v), strict=True))
        if what == "add":
            return ops._scatter_into(tx, tv, i, axis=axis, mode=mode, what=what)
        stays, wins, count = _winners(ops, y, x, v, i, axis, mode)
        total = ops._scatter_into(ops.mul(tx, stays), ops.mul(tv, wins), i, axis=axis, mode=mode, what="add")
        return ops.div(total, count)


def _winners(ops: Any, y: Any, x: Any, v: Any, i: Any, axis: int | None, mode: str) -> tuple[Any, Any, Any]:
    # Which entries of x and of v are the greatest (smallest), 1 or 0, and for each entry of y how many are.
    stays = ops._tied(x, y)
    wins = ops._tied(v, ops.take(y, i, axis=axis, mode=mode))
    return stays, wins, ops._scatter_into(stays, wins, i, axis=axis, mode=mode, what="add")


#: What `_neighbours` tells of an index, with the kernels' codes.
_WHICH = {"previous": 0, "next": 1, "last": 2, "first": 3, "start": 4}


def neighbours_samples() -> list[Any]:
    repeated = at(2, 0, 2, -3, 1, 2, 0)
    return [
        *(good(repeated, size=3, which=which) for which in _WHICH), good(at(7, 1, -1, 1), size=3, mode="drop", which="last"),
        good(at(7, 1, 2, 9), size=3, mode="clip", which="previous"), good(Arr((2, 2), "values", data=(1, 1, 0, 1)), size=2, which="next"),
        good(Arr((0,), "int"), size=0, which="next"), good(Arr((3000,), "int", high=40), size=40, which="previous"),
        bad("IndexRangeError", at(3), size=3, which="last"), bad("OptionError", at(0), size=3, which="middle"),
    ]  # fmt: skip


@defop("_neighbours", kernel="neighbours", dtypes={"i": "int64"}, out_dtype="int64", differentiable=False, samples=neighbours_samples)
class Neighbours:
    """For each index, in row-major order as a vector: the position of the previous or next one that names the same entry, -1 for none.

    "last": the entry itself where no later index names it, else -1; "first": where no earlier one does; "start": then its position.
    """

    def options(i, *, size, which, mode="raise"):
        _, mode = checked_rows((size,), i, 0, mode)
        if which not in _WHICH:
            raise OptionError(f"which must be one of {', '.join(_WHICH)}")
        return {"size": index(size), "which": which, "mode": mode}

    def shape(i, *, size, which, mode):
        n = 1
        for d in i:
            n *= d
        return (n,)

    def kernel_params(i, *, size, which, mode):  # (indices, entries, mode, which)
        n = 1
        for d in i:
            n *= d
        return (n, size, MODES[mode], _WHICH[which]), ()

    vjp = no_gradient
    jvp = no_tangent


def chain_samples() -> list[Any]:
    back, forth = at(-1, 0, -1, 1, 2), at(1, 3, 4, -1, -1)
    return [
        good((5,), (5,), back, axis=0), good((5, 3), (5, 3), back, axis=0), good((2, 5, 2), (2, 5, 2), back, axis=1),
        good((5, 2), (5, 2), forth, axis=0, backwards=True), good((0, 2), (0, 2), Arr((0,), "int"), axis=0),
        bad("ShapeError", (5,), (4,), back, axis=0), bad("ShapeError", (4,), (4,), back, axis=0),
    ]  # fmt: skip


@defop("_chain", kernel="chain_rows", dtypes={"link": "int64"}, integers=IntegerForm(), samples=chain_samples)
class Chain:
    """Rows that follow from others: y[j] = a[j]·y[link[j]] + b[j], and b[j] where link[j] is -1.

    A link is to an earlier row, to a later one where `backwards`; no two rows have the same.
    """

    def options(a, b, link, *, axis, backwards=False):
        return {"axis": normalize_axis(axis, len(a)), "backwards": truth("backwards", backwards)}

    def shape(a, b, link, *, axis, backwards):
        if a != b or link != (a[axis],):
            raise ShapeError("a and b must have one shape, and link an entry for each of their rows")
        return a

    def kernel_params(a, b, link, *, axis, backwards):  # (blocks, rows, elements in a row, backwards)
        return (*geometry(a, axis), int(backwards)), ()

    def vjp(ops, g, y, a, b, link, *, axis, backwards):
        # What a row gets comes from the one row that is linked to it.
        other = ops._inverse_links(link)
        db = ops._chain(ops.take(a, other, axis=axis, mode="drop"), g, other, axis=axis, backwards=not backwards)
        return (ops.mul(db, ops.take(y, link, axis=axis, mode="drop")), db, None)

    def jvp(ops, t, y, a, b, link, *, axis, backwards):
        terms = [] if t[0] is None else [ops.mul(t[0], ops.take(y, link, axis=axis, mode="drop"))]
        terms += [] if t[1] is None else [t[1]]
        if not terms:
            return None
        return ops._chain(a, terms[0] if len(terms) == 1 else ops.add(*terms), link, axis=axis, backwards=backwards)


@defop("_inverse_links", dtypes={"link": "int64"}, out_dtype="int64", differentiable=False, samples=lambda: [
    good(at(-1, 0, -1, 1, 2)), good(at(1, 3, 4, -1, -1)), good(Arr((0,), "int")),
])  # fmt: skip
class InverseLinks:
    """For each row the one that is linked to it, -1 for none."""

    def shape(link):
        return link

    def kernel_params(link):
        return (link[0],), ()

    vjp = no_gradient
    jvp = no_tangent


# Boxes ----------------------------------------------------------------------------------------------------------------------


def _check_box(x: Shape, box: Shape, starts: Shape, steps: Shape, name: str) -> None:
    if not len(box) == len(starts) == len(steps) == len(x):
        raise ShapeError(f"{name} must have the {len(x)} axes of x")
    ends = [(a, a + (n - 1) * s) for a, n, s in zip(starts, box, steps, strict=True)]
    if 0 not in box and not all(min(e) >= 0 and max(e) < n for e, n in zip(ends, x, strict=True)):
        raise IndexRangeError("the box must lie within x")


def box_numbers(x: Shape, box: Shape, starts: Shape, steps: Shape) -> tuple[tuple[int, ...], tuple[()]]:
    """The numbers of kernels `set_box` and `take_box`: (elements of x, offset, axes, sizes…, strides…), with as few axes as possible."""
    strides = row_strides(x)
    offset = sum(a * s for a, s in zip(starts, strides, strict=True))
    return (size(x), *strided_numbers(box, tuple(a * s for a, s in zip(steps, strides, strict=True)), offset)[0]), ()


@defop("_set_box", kernel="set_box", dtypes={"x": ANY, "v": ANY, "at": "int64"}, out_dtype=ANY, optional=("at",), samples=lambda: [
    good((4, 5), (2, 2), None, starts=(1, 2), steps=(1, 1)), good((5, 5), (2, 2), None, starts=(1, 4), steps=(3, -2)),
    good((3,), (3,), None, starts=(0,), steps=(1,)), good((), (), None, starts=(), steps=()),
    good((3, 2), (0, 2), None, starts=(0, 0), steps=(1, 1)), good((4, 5), (2, 2), at_one(7), starts=(0, 0), steps=(1, 1)),
    good((4, 5), (2, 2), at_one(-1), starts=(0, 0), steps=(1, 1)), good((60, 70, 9), (50, 30, 9), None, starts=(9, 3, 0), steps=(1, 2, 1)),
    bad("ShapeError", (4, 5), (2,), None, starts=(1, 2), steps=(1, 1)),
    bad("IndexRangeError", (3,), (2,), at_one(2), starts=(0,), steps=(1,)),
    bad("IndexRangeError", (4, 5), (2, 2), None, starts=(1, 0), steps=(1, -1)),
])  # fmt: skip
class SetBox:
    """A copy of x with v written to a box: element p of v to starts + p·steps, and `at` elements on from there, unless -1."""

    def options(x, v, at, *, starts, steps):
        return {"starts": tuple(starts), "steps": tuple(steps)}

    def shape(x, v, at, *, starts, steps):
        _check_box(x, v, starts, steps, "v")
        return x

    def kernel_params(x, v, at, *, starts, steps):
        return box_numbers(x, v, starts, steps)

    def vjp(ops, g, y, x, v, at, *, starts, steps):
        return (ops._set_box(g, zeros_like(ops, v), at, starts=starts, steps=steps), _boxed(ops, g, at, v.shape, starts, steps), None)

    def jvp(ops, t, y, x, v, at, *, starts, steps):
        if t[0] is None and t[1] is None:
            return None
        tx, tv = (zeros_like(ops, a) if d is None else d for d, a in zip(t[:2], (x, v), strict=True))
        return ops._set_box(tx, tv, at, starts=starts, steps=steps)


def _boxed(ops: Any, g: Any, at: Any, box: Shape, starts: Shape, steps: Shape) -> Any:
    if at is not None:
        return ops._take_box(g, at, box=box, starts=starts, steps=steps)
    if 0 in box:
        return ops._full(shape=box, value=0.0)
    ends = tuple(a + n * s for a, n, s in zip(starts, box, steps, strict=True))
    limits = tuple(min(max(b, -1), n) for b, n in zip(ends, g.shape, strict=True))
    return ops.slice(g, starts=starts, stops=limits, steps=steps)


@defop("_take_box", kernel="take_box", dtypes={"x": ANY, "at": "int64"}, out_dtype=ANY, samples=lambda: [
    good((4, 5), at_one(7), box=(2, 2), starts=(0, 0), steps=(1, 1)), good((4, 5), at_one(-1), box=(2, 2), starts=(0, 0), steps=(1, 1)),
    good((5,), at_one(2), box=(3,), starts=(0,), steps=(1,)), good((), at_one(0), box=(), starts=(), steps=()),
    good((3, 2), at_one(2), box=(0, 2), starts=(0, 0), steps=(1, 1)), good((60, 70, 20), at_one(1443), box=(50, 40, 17), starts=(0, 0, 0),
                                                                             steps=(1, 1, 1)),
])  # fmt: skip
class TakeBox:
    """The adjoint of writing a box: element p is that of x at starts + p·steps, `at` elements on; 0 if that is -1."""

    def options(x, at, *, box, starts, steps):
        return {"box": as_shape(box), "starts": tuple(starts), "steps": tuple(steps)}

    def shape(x, at, *, box, starts, steps):
        _check_box(x, box, starts, steps, "the box")
        return box

    def kernel_params(x, at, *, box, starts, steps):
        return box_numbers(x, box, starts, steps)

    def vjp(ops, g, y, x, at, *, box, starts, steps):
        return (ops._set_box(zeros_like(ops, x), g, at, starts=starts, steps=steps), None)

    jvp = linear_jvp("_take_box")
