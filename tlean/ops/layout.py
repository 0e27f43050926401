"""Ops that rearrange, repeat, join or convert elements. Those that move them run one kernel, `strided_copy` (or `concat`), on collapsed
axes; views run none.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from ..dtypes import ANY, FLOATS, SIZES
from ..errors import OptionError, ShapeError
from ..shapes import Shape, as_shape, broadcast_axes, normalize_axis, resolve_reshape, size
from .registry import OpDef, defop, linear_jvp, no_gradient, no_tangent
from .samples import Arr, bad, good

#: The kinds of the inputs of an op that moves x.
MOVED = {"x": ANY}


def row_strides(shape: Shape) -> Shape:
    """Elements between neighbours along each axis of a dense row-major array."""
    strides, step = [], 1
    for d in reversed(shape):
        strides.append(step)
        step *= d
    return tuple(reversed(strides))


def strided_numbers(sizes: Shape, strides: Shape, offset: int = 0) -> tuple[tuple[int, ...], tuple[()]]:
    """The numbers of kernel `strided_copy`: (offset, axes, sizes…, strides…), with as few axes as describe the same copy.

    The output is dense with those sizes and element (i0, i1, …) is input[offset + Σ ik·stridek]. Axes of size 1 are dropped; an axis is
    merged with the next where stepping along it is stepping over the whole of the next.
    """
    axes: list[list[int]] = []
    for n, s in zip(sizes, strides, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * s:
            axes[-1] = [axes[-1][0] * n, s]
        else:
            axes.append([n, s])
    axes = axes or [[1, 1]]
    if 0 in sizes:
        axes = [[0, 1]]
    return (offset, len(axes), *(n for n, _ in axes), *(s for _, s in axes)), ()


def permute_params(shape: Shape, axes: Shape) -> tuple[tuple[int, ...], tuple[()]]:
    """The numbers of `strided_copy` for a permutation of axes: output axis i is input axis axes[i]."""
    strides = row_strides(shape)
    return strided_numbers(tuple(shape[a] for a in axes), tuple(strides[a] for a in axes))


# Views -------------------------------------------------------------------------------------------------------------------


def reshape_samples() -> list[Any]:
    return [
        good((2, 3, 4), shape=(6, 4)), good((2, 3, 4), shape=(3, -1)), good((), shape=(1, 1)), good((1,), shape=()),
        good((0, 3), shape=(0,)),
        good((6,), shape=-1), bad("ShapeError", (2, 3), shape=(4,)), bad("ShapeError", (2, 3), shape=(-1, -1)),
        bad("ShapeError", (2, 3), shape=(4, -1)), bad("ShapeError", (0, 3), shape=(0, -1)),
    ]  # fmt: skip


@defop("reshape", view=True, dtypes=MOVED, out_dtype=ANY, samples=reshape_samples)
class Reshape:
    """The same elements in row-major order under another shape; one size may be -1 and is then worked out."""

    def options(x, *, shape):
        return {"shape": resolve_reshape(x, shape)}

    def shape(x, *, shape):
        return shape

    def vjp(ops, g, y, x, *, shape):
        return (ops.reshape(g, shape=x.shape),)

    jvp = linear_jvp("reshape")


@defop("flatten", view=True, dtypes=MOVED, out_dtype=ANY, samples=lambda: [good((2, 3, 4)), good(()), good((5,)), good((0, 3))])
class Flatten:
    """All elements in row-major order as one vector."""

    def shape(x):
        return (size(x),)

    def vjp(ops, g, y, x):
        return (ops.reshape(g, shape=x.shape),)

    jvp = linear_jvp("flatten")


# Permutations of axes ----------------------------------------------------------------------------------------------------


def _fixed_permutation(name: str, axes: Shape, inverse: str, samples: Callable[[], list[Any]], text: str) -> OpDef:
    """Declare the op that brings axes into this order; `inverse` is the op that undoes it."""

    class Permutation:
        __doc__ = text

        def shape(x):
            if len(x) != len(axes):
                raise ShapeError(f"x must have {len(axes)} axes")
            return tuple(x[a] for a in axes)

        def kernel_params(x):
            return permute_params(x, axes)

        def vjp(ops, g, y, x):
            return (ops.apply(inverse, (g,), {}),)

        jvp = linear_jvp(name)

    return defop(name, kernel="strided_copy", dtypes=MOVED, out_dtype=ANY, samples=samples)(Permutation)


def transpose2d_samples() -> list[Any]:
    return [good((3, 5)), good((1, 4)), good((37, 70)), good((0, 3)), bad("ShapeError", (3,)), bad("ShapeError", (2, 3, 4))]


def transpose3d_samples() -> list[Any]:
    return [good((2, 3, 4)), good((1, 5, 1)), good((3, 0, 2)), bad("ShapeError", (3, 4)), bad("ShapeError", ())]


_fixed_permutation("transpose2d", (1, 0), "transpose2d", transpose2d_samples, "Rows become columns: (m, n) → (n, m).")
_fixed_permutation(
    "transpose3d_first_to_last",
    (1, 2, 0),
    "transpose3d_last_to_first",
    transpose3d_samples,
    "The first axis becomes the last: (a, b, c) → (b, c, a).",
)
_fixed_permutation(
    "transpose3d_last_to_first",
    (2, 0, 1),
    "transpose3d_first_to_last",
    transpose3d_samples,
    "The last axis becomes the first: (a, b, c) → (c, a, b).",
)
_fixed_permutation(
    "transpose3d_last_two",
    (0, 2, 1),
    "transpose3d_last_two",
    transpose3d_samples,
    "The last two axes change places: (a, b, c) → (a, c, b).",
)


def _swap_axes(ndim: int, depth: int) -> Shape:
    axes = list(range(ndim))
    if 0 <= depth < ndim - 1:
        axes[depth], axes[depth + 1] = depth + 1, depth
    return tuple(axes)


@defop("swap_adjacent_at_depth", kernel="strided_copy", dtypes=MOVED, out_dtype=ANY, samples=lambda: [
    good((2, 3, 4), depth=0), good((2, 3, 4), depth=1), good((2, 3, 4), depth=2), good((5,), depth=0), good((), depth=0),
    good((2, 3), depth=9),
])  # fmt: skip
class SwapAdjacentAtDepth:
    """Axes `depth` and `depth + 1` change places; x unchanged where it has no such pair."""

    def options(x, *, depth):
        return {"depth": index(depth)}

    def shape(x, *, depth):
        return tuple(x[a] for a in _swap_axes(len(x), depth))

    def kernel_params(x, *, depth):
        return permute_params(x, _swap_axes(len(x), depth))

    def vjp(ops, g, y, x, *, depth):
        return (ops.swap_adjacent_at_depth(g, depth=depth),)

    jvp = linear_jvp("swap_adjacent_at_depth")


def permute_samples() -> list[Any]:
    return [
        good((2, 3, 4), axes=(2, 0, 1)), good((2, 3, 4, 5), axes=(0, 2, 1, 3)), good((2, 3), axes=(-1, 0)), good((), axes=()),
        good((2, 3, 4, 5), axes=(3, 2, 1, 0)), good((2, 0, 3), axes=(2, 1, 0)), good((2, 19, 21), axes=(0, 2, 1)),
        bad("OptionError", (2, 3), axes=(0, 0)), bad("OptionError", (2, 3), axes=(0,)), bad("OptionError", (2, 3), axes=(0, 2)),
        bad("OptionError", (2, 3), axes=1),
    ]  # fmt: skip


@defop("permute", kernel="strided_copy", dtypes=MOVED, out_dtype=ANY, samples=permute_samples)
class Permute:
    """Axes in another order: output axis i is input axis axes[i]."""

    def options(x, *, axes):
        try:
            order = tuple(index(a) + len(x) if a < 0 else index(a) for a in axes)
        except TypeError:
            raise OptionError("axes must be a sequence of ints") from None
        if sorted(order) != list(range(len(x))):
            raise OptionError(f"axes must be a permutation of the {len(x)} axes of x")
        return {"axes": order}

    def shape(x, *, axes):
        return tuple(x[a] for a in axes)

    def kernel_params(x, *, axes):
        return permute_params(x, axes)

    def vjp(ops, g, y, x, *, axes):
        return (ops.permute(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))),)

    jvp = linear_jvp("permute")


# Broadcasting ------------------------------------------------------------------------------------------------------------


def broadcast_samples() -> list[Any]:
    return [
        good((), shape=(2, 3)), good((3,), shape=(2, 3)), good((2, 1), shape=(2, 3)), good((3,), shape=(2, 3, 4), axis_map=(1,)),
        good((2, 3), shape=(3, 2), axis_map=(1, 0)), good((3, 1), shape=(2, 5, 3), axis_map=(2, 0)), good((2, 3), shape=(2, 3)),
        good((1,), shape=(0,)), good((4, 1, 2), shape=(3, 4, 5, 2)),
        bad("ShapeError", (3,), shape=(2, 4)), bad("ShapeError", (2, 3), shape=(3,)),
        bad("OptionError", (2, 3), shape=(2, 3), axis_map=(0, 0)),
    ]  # fmt: skip


@defop("broadcast_to", kernel="strided_copy", dtypes=MOVED, out_dtype=ANY, samples=broadcast_samples)
class BroadcastTo:
    """Repeats x along new axes and along axes of size 1.

    By default axes are aligned at the right, as in NumPy; `axis_map[i]` names the output axis that input axis i becomes.
    """

    def options(x, *, shape, axis_map=None):
        target = as_shape(shape)
        return {"shape": target, "axis_map": broadcast_axes(x, target, axis_map)[0]}

    def shape(x, *, shape, axis_map):
        return shape

    def kernel_params(x, *, shape, axis_map):
        strides = [0] * len(shape)
        for a, d, s in zip(axis_map, x, row_strides(x), strict=True):
            strides[a] = s if d == shape[a] else 0
        return strided_numbers(shape, tuple(strides))

    def vjp(ops, g, y, x, *, shape, axis_map):
        expanded = broadcast_axes(x.shape, shape, axis_map)[1]
        dx = ops.reduce_sum(g, axis=expanded) if expanded else g
        # What is left are the kept axes in the output's order; `order` puts them in the input's.
        kept = [a for a in axis_map if a not in expanded]
        order = tuple(sorted(kept).index(a) for a in kept)
        if order != tuple(range(len(order))):
            dx = ops.permute(dx, axes=order)
        return (dx if dx.shape == x.shape else ops.reshape(dx, shape=x.shape),)

    jvp = linear_jvp("broadcast_to")


# Joining -----------------------------------------------------------------------------------------------------------------


def _concat_shape(xs: tuple[Shape, ...], axis: int) -> Shape:
    first = xs[0]
    for x in xs[1:]:
        if len(x) != len(first) or any(i != axis and d != e for i, (d, e) in enumerate(zip(x, first, strict=True))):
            raise ShapeError(f"inputs must have equal sizes along every axis but axis {axis}")
    return (*first[:axis], sum(x[axis] for x in xs), *first[axis + 1 :])


def concat_numbers(xs: tuple[Shape, ...], axis: int) -> tuple[tuple[int, ...], tuple[()]]:
    """The numbers of kernel `concat`: (outer, inputs, widths…); row o of the output is row o of every input, one after the other."""
    return (size(xs[0][:axis]), len(xs), *(size(x[axis:]) for x in xs)), ()


def _concat_vjp(ops: Any, g: Any, xs: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    parts, at = [], 0
    for x in xs:
        starts = tuple(at if i == axis else 0 for i in range(len(x.shape)))
        at += x.shape[axis]
        parts.append(ops.slice(g, starts=starts, stops=tuple(at if i == axis else d for i, d in enumerate(g.shape))))
    return tuple(parts)


def _with_zeros(ops: Any, t: tuple[Any, ...], xs: tuple[Any, ...]) -> list[Any]:
    # Tangents with explicit zeros, for an op that needs all of its inputs.
    return [ops._full(shape=x.shape, value=0.0) if d is None else d for d, x in zip(t, xs, strict=True)]


def concat_samples() -> list[Any]:
    return [
        good((2, 3), (4, 3), axis=0), good((2, 3), (2, 1), (2, 4), axis=1), good((2, 3), axis=-1), good((2, 0), (2, 3), axis=1),
        good((2,), (3,)),
        bad("ShapeError", (2, 3), (4, 2), axis=0), bad("ShapeError", (2, 3), (3,), axis=0), bad("IndexRangeError", (2,), (3,), axis=1),
        bad("ShapeError", axis=0),
    ]  # fmt: skip


@defop("concat", dtypes={"xs": ANY}, out_dtype=ANY, samples=concat_samples)
class Concat:
    """Joins arrays along an axis that they have."""

    def options(*xs, axis=0):
        if not xs:
            raise ShapeError("takes at least one input")
        return {"axis": normalize_axis(axis, len(xs[0]))}

    def shape(*xs, axis):
        return _concat_shape(xs, axis)

    def kernel_params(*xs, axis):
        return concat_numbers(xs, axis)

    def vjp(ops, g, y, *xs, axis):
        return _concat_vjp(ops, g, xs, axis)

    def jvp(ops, t, y, *xs, axis):
        return None if all(d is None for d in t) else ops.concat(_with_zeros(ops, t, xs), axis=axis)


@defop("stack", kernel="concat", dtypes={"xs": ANY}, out_dtype=ANY, samples=lambda: [
    good((2, 3), (2, 3), axis=0), good((2, 3), (2, 3), (2, 3), axis=-1), good((), ()), good((4,), axis=1), good((2, 3), (2, 3), axis=1),
    bad("ShapeError", (2, 3), (3, 2)), bad("IndexRangeError", (2,), (2,), axis=3), bad("ShapeError"),
])  # fmt: skip
class Stack:
    """Joins arrays of one shape along a new axis."""

    def options(*xs, axis=0):
        if not xs:
            raise ShapeError("takes at least one input")
        return {"axis": normalize_axis(axis, len(xs[0]) + 1)}

    def shape(*xs, axis):
        if any(x != xs[0] for x in xs):
            raise ShapeError("inputs must have one shape")
        return (*xs[0][:axis], len(xs), *xs[0][axis:])

    def kernel_params(*xs, axis):
        return concat_numbers(xs, axis)

    def vjp(ops, g, y, *xs, axis):
        parts = []
        for k, x in enumerate(xs):
            starts = tuple(k if i == axis else 0 for i in range(len(g.shape)))
            part = ops.slice(g, starts=starts, stops=tuple(k + 1 if i == axis else d for i, d in enumerate(g.shape)))
            parts.append(ops.reshape(part, shape=x.shape))
        return tuple(parts)

    def jvp(ops, t, y, *xs, axis):
        return None if all(d is None for d in t) else ops.stack(_with_zeros(ops, t, xs), axis=axis)


class _ConcatPair:
    # The rules of a pair joined along axis 0.
    def kernel_params(a, b):
        return concat_numbers((a, b), 0)

    def vjp(ops, g, y, a, b):
        return _concat_vjp(ops, g, (a, b), 0)

    def jvp(ops, t, y, a, b):
        return None if t[0] is None and t[1] is None else ops.concat(_with_zeros(ops, t, (a, b)), axis=0)


@defop(
    "concat_vectors",
    kernel="concat",
    dtypes={"a": ANY, "b": ANY},
    out_dtype=ANY,
    samples=lambda: [good((2,), (3,)), good((0,), (3,)), bad("ShapeError", (2,), (2, 1))],
)
class ConcatVectors(_ConcatPair):
    """One vector after the other: (n,), (m,) → (n + m,)."""

    def shape(a, b):
        if len(a) != 1 or len(b) != 1:
            raise ShapeError("a and b must be vectors")
        return (a[0] + b[0],)


@defop("concat_dim0", kernel="concat", dtypes={"a": ANY, "b": ANY}, out_dtype=ANY, samples=lambda: [
    good((2, 3), (4, 3)), good((1, 2, 2), (0, 2, 2)), good((2,), (1,)), bad("ShapeError", (2, 3), (2, 4)), bad("ShapeError", (), ()),
])  # fmt: skip
class ConcatDim0(_ConcatPair):
    """Joins two arrays along their first axis: (n, *s), (m, *s) → (n + m, *s)."""

    def shape(a, b):
        if not a:
            raise ShapeError("a and b must have at least one axis")
        return _concat_shape((a, b), 0)


# Values as they are --------------------------------------------------------------------------------------------------------


@defop(
    "detach",
    view=True,
    dtypes={"x": ANY},
    out_dtype=ANY,
    aliases=("stop_gradient",),
    samples=lambda: [good((2, 3), smooth=False), good((), smooth=False)],
    differentiable=False,
)
class Detach:
    """The same value, through which no gradient flows."""

    def shape(x: Shape) -> Shape:
        return x

    vjp = no_gradient
    jvp = no_tangent


# Conversions between dtypes ---------------------------------------------------------------------------------------------------
# One op for each dtype that is converted to.


def conversion_op(dtype: str) -> str:
    """The name of the op that converts to a dtype."""
    return f"_as_{dtype}"


def converted(ops: Any, x: Any, dtype: str | None) -> Any:
    """A reference in a dtype: itself where it has it, and where one of both is None."""
    return x if x is None or dtype is None or x.dtype == dtype else ops.apply(conversion_op(dtype), (x,), {})


def _conversion(dtype: str) -> OpDef:
    class Conversion:
        def shape(x: Shape) -> Shape:
            return x

        def kernel_params(x: Shape) -> tuple[tuple[int, ...], tuple[()]]:
            """Ints: elements."""
            return (size(x),), ()

        def vjp(ops: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
            return (converted(ops, g, x.dtype) if x.dtype in FLOATS else None,)

        def jvp(ops: Any, t: Any, y: Any, x: Any) -> Any:
            return None if t[0] is None else converted(ops, t[0], dtype)

    Conversion.__doc__ = (
        f"The elements as {dtype}: rounded to the nearest where it is a float dtype, towards 0 from floats to integers; True where not 0."
    )
    return defop(
        conversion_op(dtype),
        dtypes={"x": ANY},
        out_dtype=dtype,
        kernel=f"as_{dtype}",
        algebraic=False,
        differentiable=dtype in FLOATS,
        samples=lambda: [good(Arr(s), smooth=False) for s in ((3, 5), (), (0, 2), (70_001,))],
    )(Conversion)


#: The ops that convert.
CONVERSIONS = frozenset(_conversion(dtype).name for dtype in SIZES)
