"""Order: sorts along an axis, the first in order, places in sorted arrays, medians and quantiles."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ...arguments import truth
from ...dtypes import ANY, INTEGERS
from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, normalize_axes, normalize_axis, reduced, size
from ..layout import row_strides
from ..reduce import lines_of
from ..registry import Spec, array, composite, defop, no_gradient, no_tangent, whole
from ..samples import Arr, bad, good


def _need_short(x: Shape, axis: int | None) -> None:
    if lines_of(x, axis)[1] >= 2**32:
        raise ShapeError("takes fewer than 2**32 elements along the axis")


def _places(ops: Any, index: Any, shape: Shape, axis: int | None) -> Any:
    # The places in the whole array of places along an axis, at every place along the others.
    if axis is None:
        return index
    strides = row_strides(shape)
    along = tuple(0 if k == axis else s for k, s in enumerate(strides))
    return ops._locate(index, None, shape=tuple(index.shape), size=shape[axis], step=strides[axis], along=along, mode="strict")


class _Sorted:
    def options(x, *, axis=-1, descending=False):
        return {"axis": None if axis is None else normalize_axis(axis, len(x)), "descending": truth("descending", descending)}

    def shape(x, *, axis, descending):
        _need_short(x, axis)
        return (size(x),) if axis is None else x

    def kernel_params(x, *, axis, descending):  # ints = (outer, length, inner, descending)
        return (*lines_of(x, axis), int(descending)), ()


def _sort_samples() -> list[Any]:
    ties = Arr((2, 5), "values", data=((2.0, 1.0, 2.0, -0.0, 0.0), (0.0, -0.0, 5.0, -1.0, 5.0)))
    return [
        good(Arr((5,), "distinct")), good(Arr((3, 4), "distinct"), axis=0), good(Arr((3, 4), "distinct"), descending=True),
        good(Arr((2, 3, 4), "distinct"), axis=1), good(Arr((3, 4), "distinct"), axis=None), good((0, 3), axis=0), good((2, 0)),
        good(Arr((2, 1), "distinct")), good(Arr((2, 900), "distinct")), good(Arr((30,), "distinct"), descending=True),
        good(ties, smooth=False), good(ties, descending=True, smooth=False),
        good(Arr((4,), "values", data=(1.0, float("nan"), -2.0, 0.5)), smooth=False),
        bad("IndexRangeError", (3,), axis=1), bad("IndexRangeError", ()),
    ]  # fmt: skip


@defop("sort", dtypes={"x": ANY}, out_dtype=ANY, residuals=("index",), samples=_sort_samples)
class Sort(_Sorted):
    """The elements in order along an axis, NaN last; where it is None, all elements as one. Descending, the order is turned about.

    Equal elements stay in their order, which says which of them gets which gradient.
    """

    def residual_specs(x, *, axis, descending):
        return [Spec((size(x),) if axis is None else x, "int64")]

    def vjp(ops, g, y, x, *, axis, descending, index):
        return (ops._scatter_rows(g, _places(ops, index, x.shape, axis), shape=x.shape, axis=None, mode="strict"),)

    def jvp(ops, t, y, x, *, axis, descending):
        if t[0] is None:
            return None
        index = ops.argsort(x, axis=axis, descending=descending)
        return ops.take(t[0], _places(ops, index, x.shape, axis), axis=None, mode="strict")


@defop("argsort", dtypes={"x": ANY}, out_dtype="int64", differentiable=False, samples=_sort_samples)
class Argsort(_Sorted):
    """The places of the elements in order along an axis; where it is None, in row-major order of all elements. It has no gradient."""

    vjp = no_gradient
    jvp = no_tangent


@defop("_topk_index", kernel="topk_index", dtypes={"x": ANY}, out_dtype="int64", differentiable=False, samples=lambda: [
    good(Arr((7,), "distinct"), k=3), good(Arr((3, 4), "distinct"), k=2, axis=0, largest=False),
    good(Arr((2, 3, 4), "distinct"), k=3, axis=1),
    good(Arr((2, 1500), "distinct"), k=5), good(Arr((5,), "values", data=(1.0, 2.0, 2.0, float("nan"), 2.0)), k=3), good((3,), k=0),
    bad("OptionError", (3,), k=4), bad("OptionError", (3,), k=-1), bad("IndexRangeError", (3,), k=1, axis=1),
])  # fmt: skip
class TopkIndex:
    """The places of the k greatest elements along an axis, from the greatest on, or of the k least; of equal ones the first."""

    def options(x, *, k, axis=-1, largest=True):
        axis, k = normalize_axis(axis, len(x)), whole("k", k)
        if not 0 <= k <= x[axis]:
            raise OptionError(f"k must be between 0 and the {x[axis]} elements of the axis")
        return {"k": k, "axis": axis, "largest": truth("largest", largest)}

    def shape(x, *, k, axis, largest):
        _need_short(x, axis)
        return (*x[:axis], k, *x[axis + 1 :])

    def kernel_params(x, *, k, axis, largest):  # ints = (outer, length, inner, k, largest)
        return (*lines_of(x, axis), k, int(largest)), ()

    vjp = no_gradient
    jvp = no_tangent


@composite
def topk(ops: Any, x: Any, k: int, axis: int = -1, largest: bool = True, *, name: str | None = None) -> Any:
    """The k greatest elements along an axis and their places."""
    x = array(ops, x, "topk: x")
    index = ops._topk_index(x, k=whole("topk: k", k), axis=axis, largest=largest)
    places = _places(ops, index, tuple(x.shape), normalize_axis(axis, len(x.shape)))
    return ops.take(x, places, axis=None, mode="strict", name=name), index


def _sides() -> list[Any]:
    sorted_ = Arr((4,), "values", data=(-1.0, 0.0, 0.0, 2.0))
    return [
        good(sorted_, Arr((6,), "values", data=(-2.0, -1.0, -0.0, 1.0, 2.0, 9.0))),
        good(sorted_, Arr((2, 2), "values", data=((0.0, 2.0), (1.0, -1.0))), side="right"),
        good((0,), (3,)), good(sorted_, ()), bad("ShapeError", (2, 2), (3,)), bad("OptionError", (2,), (3,), side="middle"),
    ]  # fmt: skip


@defop("searchsorted", dtypes={"a": ANY, "v": ANY}, out_dtype="int64", differentiable=False, samples=_sides)
class Searchsorted:
    """Where each of v would be put into a sorted vector, before or (side right) behind those that are equal. It has no gradient."""

    def options(a, v, *, side="left"):
        if side not in ("left", "right"):
            raise OptionError('side must be "left" or "right"')
        return {"side": side}

    def shape(a, v, *, side):
        if len(a) != 1:
            raise ShapeError("a must be a vector")
        return v

    def kernel_params(a, v, *, side):  # ints = (length, elements of v, whether right)
        return (a[0], size(v), int(side == "right")), ()

    vjp = no_gradient
    jvp = no_tangent


# Quantiles -----------------------------------------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def _last(ops: Any, x: Any, axes: Shape) -> Any:
    # The axes as one, at the end.
    shape = tuple(x.shape)
    if axes != tuple(range(len(shape) - len(axes), len(shape))):
        x = ops.permute(x, (*(k for k in range(len(shape)) if k not in axes), *axes))
    rest = tuple(x.shape)[: len(shape) - len(axes)]
    return ops.reshape(x, (*rest, size([shape[a] for a in axes])))


def _at_place(ops: Any, x: Any, k: int) -> Any:
    # The elements at one place of the last axis.
    shape = tuple(x.shape)
    return ops.slice(x, (*(0 for _ in shape[:-1]), k), (*shape[:-1], k + 1))


def _on_the_way(ops: Any, a: Any, b: Any, weight: float) -> Any:
    # From the nearer end; equal infinities are not apart.
    step = ops.sub(b, a)
    value = ops.add(a, ops.scale(step, weight)) if weight < 0.5 else ops.sub(b, ops.scale(step, 1.0 - weight))
    return ops.where(ops.equal(step, step), value, a)


def _between(ops: Any, ordered: Any, q: float, method: str) -> Any:
    # What lies at q of the way from the first to the last of the sorted elements; NaN where there is one.
    n = ordered.shape[-1]
    place = q * (n - 1)
    low = min(int(place), n - 1)
    high = min(low + 1, n - 1)
    weight = place - low
    if method == "nearest":
        # At the half, to the even place.
        weight = 1.0 if weight > 0.5 or (weight == 0.5 and low % 2) else 0.0
    weight = {"lower": 0.0, "higher": float(weight > 0), "midpoint": 0.5 if weight else 0.0}.get(method, weight)
    if weight in (0.0, 1.0):
        value = _at_place(ops, ordered, high if weight else low)
    else:
        a, b = _at_place(ops, ordered, low), _at_place(ops, ordered, high)
        if a.dtype in INTEGERS:
            a, b = ops.scale(a, 1.0), ops.scale(b, 1.0)
        value = ops.scale(ops.add(a, b), 0.5) if method == "midpoint" else _on_the_way(ops, a, b, weight)
    last = _at_place(ops, ordered, n - 1)
    if method in ("linear", "midpoint") and value.dtype in INTEGERS:
        # What may lie between integers is a float, at an integer too.
        return ops.scale(value, 1.0)
    return ops.where(ops.equal(last, last), value, last)


def _checked(x: Any, q: Any, axis: Any, method: Any) -> tuple[tuple[float, ...], Shape, Shape]:
    # The levels, their shape and the axes. Raises what is completed with the op's name.
    shape = tuple(x.shape)
    levels, form = _levels(q)
    if method not in _METHODS:
        raise OptionError(f"method must be one of {', '.join(_METHODS)}")
    axes = normalize_axes(axis, len(shape))
    if size([shape[a] for a in axes]) == 0:
        raise ShapeError("takes at least one element along the reduced axes")
    return levels, form, axes


def _levels(q: Any) -> tuple[tuple[float, ...], Shape]:
    if hasattr(q, "ops"):
        raise OptionError("q must be a plain number or a sequence of them, no reference")
    several = hasattr(q, "__len__") and getattr(q, "shape", None) != ()
    values = [v.item() if getattr(v, "shape", None) == () else v for v in (q if several else (q,))]
    if not all(isinstance(v, Real) for v in values):
        raise OptionError("q must be a number or a sequence of numbers")
    levels = tuple(float(v) for v in values)
    if not all(0 <= v <= 1 for v in levels):
        raise OptionError("q must be between 0 and 1")
    return levels, (len(levels),) if several else ()


def _quantiles(ops: Any, op: str, x: Any, q: Any, axis: Any, keepdims: bool, method: str, name: str | None) -> Any:
    x = array(ops, x, f"{op}: x")
    shape = tuple(x.shape)
    with completing(op, x=x, q=q, axis=axis, method=method):
        levels, form, axes = _checked(x, q, axis, method)
        target = reduced(shape, axes, truth("keepdims", keepdims))
    ordered = ops.sort(_last(ops, x, axes))
    values = [_between(ops, ordered, level, method) for level in levels]
    if not form:
        return ops.reshape(values[0], target, name=name)
    return ops.stack([ops.reshape(v, target) for v in values], 0, name=name)


@composite
def quantile(ops: Any, x: Any, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear", *, name: str | None = None) -> Any:
    """What lies at q of the way through the sorted elements."""
    return _quantiles(ops, "quantile", x, q, axis, keepdims, method, name)


@composite
def median(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The middle of the sorted elements, the mean of the two in the middle where their number is even."""
    return _quantiles(ops, "median", x, 0.5, axis, keepdims, "midpoint", name)
