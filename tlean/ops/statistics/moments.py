"""Products, variances and norms over any axes."""

from __future__ import annotations

import math
from typing import Any

from ...arguments import truth
from ...errors import OptionError, ShapeError, TleanError, complete, describe
from ...shapes import Shape, normalize_axes, reduced, size
from ..elementwise import Formula, declare_gradient, number
from ..expression import parse
from ..reduce import TOTAL, reduced_count, reversing, runs_params
from ..registry import array, composite, defop
from ..samples import Arr, bad, good


def _options(x, *, axis=None, keepdims=False):
    return {"axis": normalize_axes(axis, len(x)), "keepdims": truth("keepdims", keepdims)}


def _kept(ops: Any, g: Any, shape: Shape, axis: Shape) -> Any:
    # A result with its reduced axes as ones of size 1: it stretches along them.
    kept = reduced(shape, axis, True)
    return g if tuple(g.shape) == kept else ops.reshape(g, shape=kept)


def _moment_samples(kind: str, **more: Any) -> list[Any]:
    return [
        good(Arr((3, 4), kind), **more), good(Arr((3, 4), kind), axis=0, **more), good(Arr((3, 4), kind), axis=-1, keepdims=True, **more),
        good(Arr((2, 3, 4), kind), axis=(0, 2), **more), good(Arr((2, 3, 4, 2), kind), axis=(1, 3), keepdims=True, **more),
        good(Arr((2, 3, 4), kind), axis=1, **more), good(Arr((3, 1, 2), kind), axis=1, **more), good(Arr((2, 3), kind), axis=(), **more),
        good(Arr((5, 130), kind), axis=1, **more), good(Arr((70, 3), kind), axis=0, **more), good(Arr((), kind), **more),
        good((0, 3), axis=1, **more),
        bad("IndexRangeError", (3, 4), axis=2, **more), bad("OptionError", (3, 4), axis=(0, -2), **more),
    ]  # fmt: skip


# Products ------------------------------------------------------------------------------------------------------------------
# The product of all others of its run is the gradient of each element, also where some are 0: the product of those before it times that of
# those after it.


def _others_in_lines(ops: Any, lines: Any) -> Any:
    # The same along the middle of (outer, length, inner).
    outer, n, inner = lines.shape
    if outer < 4 and inner == 1 and n >= 4096:
        # A line waits for each of its multiplications: in rows, the others of an element's row times those of its row among the rows.
        width = next((w for w in range(1024, 31, -1) if n % w == 0), 0)
        if width:
            rows = ops.reshape(lines, shape=(outer * n // width, width, 1))
            totals = ops.reshape(ops.prod(rows, axis=1), shape=(outer, n // width, 1))
            others = ops.reshape(_others_in_lines(ops, totals), shape=(outer * n // width, 1, 1))
            return ops.reshape(ops.mul(_others_in_lines(ops, rows), others), shape=(outer, n, 1))
    before, after = (ops._running_product(lines, axis=1, exclusive=True, reverse=r) for r in (False, True))
    return ops.mul(before, after)


def _others(ops: Any, x: Any, axis: Shape) -> Any:
    # Of each element, the product of the others that are reduced with it.
    shape = tuple(x.shape)
    if not axis:
        return ops._full(shape=shape, value=1.0)
    order = None
    if axis[-1] - axis[0] != len(axis) - 1:
        order = (*(k for k in range(len(shape)) if k not in axis), *axis)
        x = ops.permute(x, axes=order)
        axis = tuple(range(len(shape) - len(axis), len(shape)))
    moved = tuple(x.shape)
    lines = ops.reshape(x, shape=(size(moved[: axis[0]]), size(moved[axis[0] : axis[-1] + 1]), size(moved[axis[-1] + 1 :])))
    product = ops.reshape(_others_in_lines(ops, lines), shape=moved)
    return product if order is None else ops.permute(product, axes=tuple(sorted(range(len(order)), key=order.__getitem__)))


def _prod_samples() -> list[Any]:
    return [
        *_moment_samples("away"), good((2, 0), axis=1), good((0, 3), axis=0),
        good(Arr((3, 3), "values", data=((2.0, 0.0, 3.0), (0.0, 0.0, -1.0), (1.5, -2.0, 0.5))), axis=1),
        good(Arr((3, 2, 2), "values", data=(((2.0, 0.0), (3.0, 1.0)), ((0.0, 0.5), (-1.0, 2.0)), ((1.5, -2.0), (0.5, 1.0)))), axis=(0, 2)),
    ]  # fmt: skip


@defop("prod", kernel="reduce_prod", integers=TOTAL, samples=_prod_samples)
class Prod:
    """Product over the given axes (an int or a tuple; None: all); a product of nothing is 1."""

    options = _options

    def shape(x, *, axis, keepdims):
        return reduced(x, axis, keepdims)

    def kernel_params(x, *, axis, keepdims):
        return runs_params(x, axis), ()

    def vjp(ops, g, y, x, *, axis, keepdims):
        return (ops.mul(_kept(ops, g, x.shape, axis), _others(ops, x, axis)),)

    def jvp(ops, t, y, x, *, axis, keepdims):
        return None if t[0] is None else ops.reduce_sum(ops.mul(t[0], _others(ops, x, axis)), axis=axis, keepdims=keepdims)


# Variances -----------------------------------------------------------------------------------------------------------------


def _divisor(x: Shape, axis: Shape, correction: float) -> float:
    # What the squared distances are divided by; as NumPy has it, 0 where the correction leaves nothing.
    return max(reduced_count(x, axis) - correction, 0.0)


def _share(x: Shape, axis: Shape, correction: float) -> float:
    n = _divisor(x, axis, correction)
    return 2.0 / n if n else math.nan


def _var_samples() -> list[Any]:
    return [
        *_moment_samples("normal"), good((3, 4), axis=0, correction=1), good((2, 3, 4), correction=1.5, keepdims=True),
        good(Arr((2, 1), "values", data=((0.0,), (2.0,))), axis=1, correction=1, smooth=False),
        good(Arr((2, 3), "values", data=((1.0, 1.0, 1.0), (1e3, 1e3 + 1, 1e3 - 1))), axis=1, smooth=False),
        bad("ShapeError", (2, 0), axis=1), bad("OptionError", (3, 4), correction="one"),
    ]  # fmt: skip


@defop("var", kernel="reduce_var", samples=_var_samples)
class Var:
    """Variance over the given axes (an int or a tuple; None: all): the squared distances from the mean, summed, over n − correction.

    Raises: ShapeError for a variance of nothing.
    """

    def options(x, *, axis=None, keepdims=False, correction=0.0):
        return {**_options(x, axis=axis, keepdims=keepdims), "correction": number(correction, "correction")}

    def shape(x, *, axis, keepdims, correction):
        if reduced_count(x, axis) == 0:
            raise ShapeError("takes at least one element along the reduced axes")
        return reduced(x, axis, keepdims)

    def kernel_params(x, *, axis, keepdims, correction):
        return runs_params(x, axis), (float(reduced_count(x, axis)), _divisor(x, axis, correction))

    def vjp(ops, g, y, x, *, axis, keepdims, correction):
        mean = ops.reduce_mean(x, axis=axis, keepdims=True)
        return (ops._var_grad(_kept(ops, g, x.shape, axis), x, mean, c=_share(x.shape, axis, correction)),)

    def jvp(ops, t, y, x, *, axis, keepdims, correction):
        if t[0] is None:
            return None
        mean = ops.reduce_mean(x, axis=axis, keepdims=True)
        return ops.reduce_sum(ops._var_grad(t[0], x, mean, c=_share(x.shape, axis, correction)), axis=axis, keepdims=keepdims)

    def decompose(ops, x, *, axis, keepdims, correction):
        deviation = ops.sub(x, ops.broadcast_to(ops.reduce_mean(x, axis=axis, keepdims=True), shape=x.shape))
        total = ops.reduce_sum(ops.square(deviation), axis=axis, keepdims=keepdims)
        n = _divisor(x.shape, axis, correction)
        return ops.scale(total, c=1.0 / n) if n else ops.div(total, ops._full(shape=total.shape, value=0.0))


# (g, x, mean) -> c g (x − mean): g and the mean stretch along the reduced axes.
declare_gradient(Formula("_var_grad", ("g", "x", "m"), ("c",), parse("c*g*(x - m)"), dict), algebraic=True, kinds="normal")


@composite
def std(ops: Any, x: Any, axis: Any = None, keepdims: bool = False, correction: float = 0.0, *, name: str | None = None) -> Any:
    """The square root of the variance, with the gradient 0 where it is 0."""
    return ops.sqrt(ops.var(array(ops, x, "std: x"), axis, keepdims, correction), name=name)


@composite
def argmin(ops: Any, x: Any, axis: Any = -1, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The index of the first minimum: of the first maximum in the order that is reversed."""
    return ops.argmax(reversing(ops, x)(x), axis, keepdims, name=name)


# Norms ---------------------------------------------------------------------------------------------------------------------


def _norm_samples() -> list[Any]:
    return [
        *_moment_samples("normal"), good((2, 0), axis=1, smooth=False),
        good(Arr((2, 3), "values", data=((3.0, 0.0, 4.0), (1.0, -2.0, 2.0))), axis=1),
        good(Arr((2, 2), "values", data=((0.0, 0.0), (1.0, 0.0))), axis=1, smooth=False),
    ]  # fmt: skip


@defop("_norm", kernel="norm", samples=_norm_samples, algebraic=False)
class Norm:
    """Euclidean norm over the given axes: the root of the sum of squares; its gradient is 0 where it is 0."""

    options = _options

    def shape(x, *, axis, keepdims):
        return reduced(x, axis, keepdims)

    def kernel_params(x, *, axis, keepdims):
        return runs_params(x, axis), ()

    def vjp(ops, g, y, x, *, axis, keepdims):
        return (ops._norm_grad(_kept(ops, g, x.shape, axis), _kept(ops, y, x.shape, axis), x),)

    def jvp(ops, t, y, x, *, axis, keepdims):
        if t[0] is None:
            return None
        return ops.reduce_sum(ops._norm_grad(t[0], _kept(ops, y, x.shape, axis), x), axis=axis, keepdims=keepdims)

    def decompose(ops, x, *, axis, keepdims):
        return ops.sqrt(ops.reduce_sum(ops.square(x), axis=axis, keepdims=keepdims))


# g and y stretch along the reduced axes.
declare_gradient(
    Formula("_norm_grad", ("g", "y", "x"), (), parse("select(y == 0, 0, g*(x/select(y == 0, 1, y)))"), dict),
    algebraic=True,
    kinds="positive",
)


def _order(value: Any) -> float:
    # The order of a norm as a float. Raises: OptionError.
    if isinstance(value, str):
        if value not in ("fro", "inf", "-inf"):
            raise OptionError("ord must be a number, inf or -inf")
        return 2.0 if value == "fro" else float(value)
    p = number(value, "ord")
    if p != p:
        raise OptionError("ord must be a number, inf or -inf")
    return p


def _power_norm(ops: Any, sizes: Any, p: float, axes: Any, keepdims: bool, name: str | None) -> Any:
    # A power has no derivative at 0: what is 0 takes no part in any, and where the norm is 0 its gradient is 0.
    nothing = 0.0 if p > 0 else math.inf
    absent = ops.equal(sizes, 0.0)
    total = ops.reduce_sum(ops.where(absent, nothing, ops.pow(ops.where(absent, 1.0, sizes), p)), axes, keepdims)
    zero = ops.equal(total, nothing)
    return ops.where(zero, 0.0, ops.pow(ops.where(zero, 1.0, total), 1.0 / p), name=name)


@composite
def norm(ops: Any, x: Any, ord: Any = 2, axis: Any = None, keepdims: bool = False, *, name: str | None = None) -> Any:
    """The norm of the vectors along axes: (Σ |x|ᵖ)^(1/p)."""
    x = array(ops, x, "norm: x")
    shape = tuple(x.shape)
    try:
        p, axes = _order(ord), normalize_axes(axis, len(shape))
        if math.isinf(p) and reduced_count(shape, axes) == 0:
            raise ShapeError("takes at least one element along the reduced axes")
    except TleanError as error:
        raise complete(error, "norm", [describe("x", shape, x.dtype)], {"ord": ord, "axis": axis}) from None
    except TypeError:
        reason = OptionError("axis must be None, an int or a tuple of ints")
        raise complete(reason, "norm", [describe("x", shape, x.dtype)], {"ord": ord, "axis": axis}) from None
    if p == 2:
        return ops.apply("_norm", (x,), {"axis": axes, "keepdims": keepdims}, name)
    sizes = ops.abs(x)
    if p == math.inf:
        return ops.reduce_max(sizes, axes, keepdims, name=name)
    if p == -math.inf:
        return ops.neg(ops.reduce_max(ops.neg(sizes), axes, keepdims), name=name)
    if p == 1:
        return ops.reduce_sum(sizes, axes, keepdims, name=name)
    if p == 0:
        return ops.reduce_sum(ops.sign(sizes), axes, keepdims, name=name)
    return _power_norm(ops, sizes, p, axes, keepdims, name)
