"""Softmax, its logarithm, and the log of a sum of exponentials, along any axis."""

from __future__ import annotations

import math
from typing import Any

from ..errors import IndexRangeError, ShapeError
from ..shapes import normalize_axis, reduced, size
from .elementwise import Formula, declare_gradient
from .expression import parse
from .registry import defop
from .samples import Arr, bad, good


def _axis(shape: Any, axis: Any) -> Any:
    # A scalar is taken as one row of one element, so it has the one axis 0.
    if shape == ():
        if axis not in (0, -1):
            raise IndexRangeError(f"axis {axis} is out of range for a scalar, which counts as one row of one element")
        return 0
    return normalize_axis(axis, len(shape))


def _check(shape: Any, axis: Any) -> None:
    if shape and shape[axis] == 0:
        raise ShapeError(f"axis {axis} must have at least one element")


def _layout(shape: Any, axis: Any) -> Any:
    """(outer, n, inner): the array seen as outer × n × inner with the axis in the middle."""
    if shape == ():
        return (1, 1, 1)
    return (size(shape[:axis]), shape[axis], size(shape[axis + 1 :]))


def sum_along(ops: Any, x: Any, axis: Any) -> Any:
    """Σ over one axis, spread over it again."""
    return ops.broadcast_to(ops.reduce_sum(x, axis, keepdims=True), x.shape)


def top_along(ops: Any, x: Any, axis: Any) -> Any:
    """The maximum along one axis, spread over it again, as a constant: no shift changes a softmax, so none has a derivative."""
    return ops.detach(ops.broadcast_to(ops.reduce_max(x, axis, keepdims=True), x.shape))


def log_softmax_parts(ops: Any, x: Any, axis: Any) -> Any:
    """x − max − log Σ e^(x − max), of an array that has the axis, by primitives."""
    z = ops.sub(x, top_along(ops, x, axis))
    return ops.sub(z, ops.log(sum_along(ops, ops.exp(z), axis)))


def _with_axis(ops: Any, x: Any) -> Any:
    # The primitives have no axis 0 in a scalar.
    return ops.reshape(x, (1,)) if x.shape == () else x


def _like(ops: Any, y: Any, x: Any) -> Any:
    return ops.reshape(y, x.shape) if y.shape != x.shape else y


def _softmax_samples() -> list[Any]:
    return [
        good((5,)),
        good((3, 4), axis=0),
        good((3, 40)),
        good((2, 5, 3), axis=1),
        good((2, 3, 1), axis=-1),
        good((2, 33, 17), axis=-2),
        good(()),
        good((0, 3)),
        good(Arr((2, 2), "values", data=((1e4, -1e4), (88.0, 89.0)))),
        bad("ShapeError", (3, 0)),
        bad("IndexRangeError", (3, 2), axis=2),
        bad("IndexRangeError", (), axis=1),
    ]


class _AlongAxis:
    # What every op here that keeps its input's shape has in common.
    def options(x: Any, *, axis: Any = -1) -> Any:
        return {"axis": _axis(x, axis)}

    def shape(x: Any, *, axis: Any) -> Any:
        _check(x, axis)
        return x

    def kernel_params(x: Any, *, axis: Any) -> Any:  # (outer, n, inner)
        return _layout(x, axis), ()


@defop("softmax", samples=_softmax_samples, algebraic=False, source="Bridle 1990")
class Softmax(_AlongAxis):
    """e^x over its sum along one axis."""

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any) -> Any:
        return (ops._softmax_grad(g, y, axis=axis),)

    def jvp(ops: Any, t: Any, y: Any, x: Any, *, axis: Any) -> Any:
        # The Jacobian diag(y) − y yᵀ is symmetric.
        return None if t[0] is None else ops._softmax_grad(t[0], y, axis=axis)

    def decompose(ops: Any, x: Any, *, axis: Any) -> Any:
        z = _with_axis(ops, x)
        e = ops.exp(ops.sub(z, top_along(ops, z, axis)))
        return _like(ops, ops.div(e, sum_along(ops, e, axis)), x)


class _GradAlongAxis:
    # A gradient that is a function of the cotangent and of the output, both of one shape.
    def shape(g: Any, y: Any, *, axis: Any) -> Any:
        return y

    def kernel_params(g: Any, y: Any, *, axis: Any) -> Any:  # (outer, n, inner)
        return _layout(y, axis), ()


def _grad_samples() -> list[Any]:
    return [good((3, 5), (3, 5), axis=1), good((3, 5, 2), (3, 5, 2), axis=1), good((2, 70), (2, 70), axis=1), good((), (), axis=0)]


@defop("_softmax_grad", samples=_grad_samples)
class SoftmaxGrad(_GradAlongAxis):
    """y ⊙ (g − Σ g ⊙ y), with y the softmax."""

    def decompose(ops: Any, g: Any, y: Any, *, axis: Any) -> Any:
        a, b = _with_axis(ops, g), _with_axis(ops, y)
        return _like(ops, ops.mul(b, ops.sub(a, sum_along(ops, ops.mul(a, b), axis))), y)


def _log_softmax_samples() -> list[Any]:
    return [*_softmax_samples(), good((2, 3), eps=1e-6)]


@defop("log_softmax", samples=_log_softmax_samples, algebraic=False)
class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax along one axis, with nothing lost where the softmax underflows."""

    def options(x: Any, *, axis: Any = -1, eps: Any = None) -> Any:
        # No eps is needed to keep the logarithm finite; the name is taken so that programs written with one run.
        return {"axis": _axis(x, axis)}

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any) -> Any:
        return (ops._log_softmax_grad(g, y, axis=axis),)

    def jvp(ops: Any, t: Any, y: Any, x: Any, *, axis: Any) -> Any:
        if t[0] is None:
            return None
        a, b = _with_axis(ops, t[0]), _with_axis(ops, y)
        return _like(ops, ops.sub(a, sum_along(ops, ops.mul(ops.exp(b), a), axis)), x)

    def decompose(ops: Any, x: Any, *, axis: Any) -> Any:
        return _like(ops, log_softmax_parts(ops, _with_axis(ops, x), axis), x)


@defop("_log_softmax_grad", samples=_grad_samples, algebraic=False)
class LogSoftmaxGrad(_GradAlongAxis):
    """g − e^y ⊙ Σ g, with y the log-softmax."""

    def decompose(ops: Any, g: Any, y: Any, *, axis: Any) -> Any:
        a, b = _with_axis(ops, g), _with_axis(ops, y)
        return _like(ops, ops.sub(a, ops.mul(ops.exp(b), sum_along(ops, a, axis))), y)


@defop("logsumexp", samples=_softmax_samples, algebraic=False)
class LogSumExp:
    """log Σ e^x along one axis, which is dropped."""

    def options(x: Any, *, axis: Any = -1) -> Any:
        return {"axis": _axis(x, axis)}

    def shape(x: Any, *, axis: Any) -> Any:
        _check(x, axis)
        return reduced(x, (axis,), False) if x else ()

    def kernel_params(x: Any, *, axis: Any) -> Any:  # (outer, n, inner)
        return _layout(x, axis), ()

    def vjp(ops: Any, g: Any, y: Any, x: Any, *, axis: Any) -> Any:
        kept = reduced(x.shape, (axis,), True) if x.shape else ()
        return (ops._logsumexp_grad(ops.reshape(g, kept), ops.reshape(y, kept), x),)

    def jvp(ops: Any, t: Any, y: Any, x: Any, *, axis: Any) -> Any:
        if t[0] is None:
            return None
        z = _with_axis(ops, x)
        p = ops.softmax(z, axis=axis)
        return _like(ops, ops.reduce_sum(ops.mul(p, _with_axis(ops, t[0])), axis), y)

    def decompose(ops: Any, x: Any, *, axis: Any) -> Any:
        z = _with_axis(ops, x)
        top = ops.detach(ops.reduce_max(z, axis, keepdims=True))
        # A row whose maximum is infinite is not shifted: inf − inf is not a number, and log Σ e^x is right as it is.
        infinite = ops.equal(ops.abs(top), ops._full(shape=top.shape, value=math.inf))
        shift = ops.where(infinite, ops._full(shape=top.shape, value=0.0), top)
        total = ops.reduce_sum(ops.exp(ops.sub(z, ops.broadcast_to(shift, z.shape))), axis, keepdims=True)
        return ops.reshape(ops.add(ops.log(total), shift), reduced(z.shape, (axis,), False) if x.shape else ())


# g e^(x − y), with y the log of the sum: g and y stretch along the axis.
declare_gradient(Formula("_logsumexp_grad", ("g", "y", "x"), (), parse("g*exp_shifted(x - y)"), dict), algebraic=False, kinds="normal")
