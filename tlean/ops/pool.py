"""Pools: the maximum, the mean or the smooth maximum of every window of an array with channels first.

Two linear pairs carry all derivatives. `_max_pool_grad` sends each window's g to the cell that won, `_max_pool_gather` reads that cell:
with the winners held, each is the transpose of the other. `_windows` lays every window out along a separate axis, `_windows_adjoint`
adds windows back together. A mean and its gradient are such a pair by themselves.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import OptionError, ShapeError
from ..shapes import Shape, size
from .pool_windows import (
    DUMOULIN,
    distinct,
    pool2d_samples,
    pool_samples,
    pooled,
    require_same,
    whole_window,
    window_options,
    window_params,
)
from .registry import Spec, defop, linear_jvp
from .samples import Arr, bad, good

# Options and shapes ------------------------------------------------------------------------------------------------------


def _pad_value(window: dict[str, Any], pad_value: Any) -> dict[str, Any]:
    if "padding" not in window:
        raise OptionError("padding must be an int, or one for each spatial axis, not None")
    value = float(pad_value)
    if not value < math.inf:
        raise OptionError(f"pad_value must be -inf or a finite number, not {value}")
    # Without padding it means nothing, so two calls that differ in it alone are the same call.
    return {**window, "pad_value": value if any(window["padding"]) else -math.inf}


def _beta(window: dict[str, Any], beta: Any) -> dict[str, Any]:
    value = float(beta)
    if not math.isfinite(value) or value == 0.0:
        raise OptionError(f"beta must be finite and not 0, not {value}")
    return {**window, "beta": value}


def _whole_max(pad_value: float = -math.inf, **window: Any) -> dict[str, Any]:
    return whole_window(**window, pad_value=pad_value)


def _chosen(x: Shape, **window: Any) -> Shape:
    """As `pooled`, for pools that name cells by 32-bit numbers."""
    d = len(window["kernel"])
    if size(x[-d:]) >= 1 << 30:
        raise ShapeError(f"x must have fewer than 2^30 cells along its spatial axes, not {size(x[-d:])}")
    return pooled(x, **window)


# Maximum -----------------------------------------------------------------------------------------------------------------


def _max_samples() -> list[Any]:
    ties = Arr((1, 4, 4), "values", data=[[[0, 0, 1, 1], [0, 0, 1, 1], [-1, 2, 2, -1], [2, -1, -1, 2]]])
    return [
        *pool_samples(),
        good(distinct(2, 5, 6), kernel=(3, 3), stride=2, padding=1, pad_value=0.0),
        good(Arr((1, 4, 4), "positive"), kernel=(3, 3), stride=1, padding=1, pad_value=1.5),
        good(ties, kernel=(2, 2), smooth=False),
        good(ties, kernel=(3, 3), stride=1, padding=1, pad_value=0.0, smooth=False),
        bad("OptionError", (2, 4, 4), kernel=(2, 2), pad_value=math.nan),
    ]


class _MaxRules:
    # What max_pool and its 2d forms share; `window` is whatever options the form has.
    def residual_specs(x, **window):
        return [Spec(pooled(x, **window), "int32")]

    def kernel_params(x, **window):
        w = _whole_max(**window)
        d = len(w["kernel"])
        return window_params(size(x[:-d]), x[-d:], w["kernel"], w["stride"], w["padding"], w["pad_value"])

    def vjp(ops, g, y, x, *, argmax, **window):
        return (ops._max_pool_grad(g, x, argmax, **_whole_max(**window)),)

    def jvp(ops, t, y, x, **window):
        return None if t[0] is None else ops._max_pool_gather(t[0], x, None, **_whole_max(**window))

    def decompose(ops, x, **window):
        w = _whole_max(**window)
        return ops.reduce_max(ops._windows(x, **w), axis=len(x.shape) - len(w["kernel"]))


@defop("max_pool", samples=_max_samples, residuals=("argmax",), source=DUMOULIN)
class MaxPool(_MaxRules):
    """Maximum over a window; a padded cell of −inf never wins; the first maximum takes the gradient."""

    def options(x, *, kernel, stride=None, padding=0, pad_value=-math.inf):
        return _pad_value(window_options(kernel, stride, padding), pad_value)

    def shape(x, *, kernel, stride, padding, pad_value):
        return _chosen(x, kernel=kernel, stride=stride, padding=padding)


@defop("max_pool2d", samples=lambda: pool2d_samples(False), residuals=("argmax",), kernel="max_pool", source=DUMOULIN)
class MaxPool2d(_MaxRules):
    """`max_pool` over two spatial axes, without padding."""

    def options(x, *, kernel, stride=None):
        return window_options(kernel, stride, d=2)

    def shape(x, *, kernel, stride):
        return _chosen(x, kernel=kernel, stride=stride)


@defop(
    "max_pool2d_pad",
    samples=lambda: pool2d_samples(True),
    residuals=("argmax",),
    kernel="max_pool",
    aliases=("max_pool_pad",),
    source=DUMOULIN,
)
class MaxPool2dPad(_MaxRules):
    """`max_pool` over two spatial axes."""

    def options(x, *, kernel, stride=None, padding=0, pad_value=-math.inf):
        return _pad_value(window_options(kernel, stride, padding, d=2), pad_value)

    def shape(x, *, kernel, stride, padding, pad_value):
        return _chosen(x, kernel=kernel, stride=stride, padding=padding)


class _ChosenRules:
    # Numbers of the two internal ops below: those of max_pool at x.
    def options(first, x, argmax, *, kernel, stride, padding, pad_value):
        return _pad_value(window_options(kernel, stride, padding), pad_value)

    def kernel_params(first, x, argmax, **window):
        d = len(window["kernel"])
        return window_params(size(x[:-d]), x[-d:], window["kernel"], window["stride"], window["padding"], window["pad_value"])


def _max_grad_samples() -> list[Any]:
    return [
        good((2, 3, 3), distinct(2, 6, 6), None, kernel=(2, 2), stride=(2, 2), padding=(0, 0), pad_value=-math.inf),
        good((1, 3, 4), distinct(1, 5, 7), None, kernel=(3, 3), stride=(2, 2), padding=(1, 1), pad_value=0.0),
        good((2, 1, 4), distinct(2, 1, 7), None, kernel=(3,), stride=(2,), padding=(1,), pad_value=-math.inf),
        bad("ShapeError", (2, 3, 2), (2, 6, 6), None, kernel=(2, 2), stride=(2, 2), padding=(0, 0), pad_value=-math.inf),
    ]


@defop("_max_pool_grad", samples=_max_grad_samples, optional=("argmax",), dtypes={"argmax": "int32"})
class MaxPoolGrad(_ChosenRules):
    """The gradient of max_pool: each window's g goes to the cell of x that won. `argmax` is a hint: max_pool's residual."""

    def shape(g, x, argmax, *, kernel, stride, padding, pad_value):
        require_same(g, _chosen(x, kernel=kernel, stride=stride, padding=padding), "g")
        return x

    def vjp(ops, h, y, g, x, argmax, **window):
        return ops._max_pool_gather(h, x, argmax, **window), None, None

    jvp = linear_jvp("_max_pool_grad")


def _gather_samples() -> list[Any]:
    return [
        good((2, 6, 6), distinct(2, 6, 6), None, kernel=(2, 2), stride=(2, 2), padding=(0, 0), pad_value=-math.inf),
        good((1, 5, 7), distinct(1, 5, 7), None, kernel=(3, 3), stride=(2, 2), padding=(1, 1), pad_value=0.0),
        bad("ShapeError", (2, 6, 5), (2, 6, 6), None, kernel=(2, 2), stride=(2, 2), padding=(0, 0), pad_value=-math.inf),
    ]


@defop("_max_pool_gather", samples=_gather_samples, optional=("argmax",), dtypes={"argmax": "int32"})
class MaxPoolGather(_ChosenRules):
    """The cell of h that won in each window of x: the transpose of `_max_pool_grad`, and max_pool's tangent at h."""

    def shape(h, x, argmax, *, kernel, stride, padding, pad_value):
        require_same(h, x, "h")
        return _chosen(x, kernel=kernel, stride=stride, padding=padding)

    def vjp(ops, g, y, h, x, argmax, **window):
        return ops._max_pool_grad(g, x, argmax, **window), None, None

    jvp = linear_jvp("_max_pool_gather")


# Mean --------------------------------------------------------------------------------------------------------------------


class _AvgRules:
    def kernel_params(x, **window):
        w = whole_window(**window)
        d = len(w["kernel"])
        return window_params(size(x[:-d]), x[-d:], w["kernel"], w["stride"], w["padding"])

    def vjp(ops, g, y, x, **window):
        w = whole_window(**window)
        return (ops._avg_pool_grad(g, in_sizes=x.shape[-len(w["kernel"]) :], **w),)

    def jvp(ops, t, y, x, **window):
        return None if t[0] is None else ops.avg_pool(t[0], **whole_window(**window))

    def decompose(ops, x, **window):
        w = whole_window(**window)
        total = ops.reduce_sum(ops._windows(x, **w, pad_value=0.0), axis=len(x.shape) - len(w["kernel"]))
        return ops.scale(total, c=1.0 / size(w["kernel"]))


@defop("avg_pool", samples=pool_samples, source=DUMOULIN)
class AvgPool(_AvgRules):
    """Mean over a window; padded cells count as zeros."""

    def options(x, *, kernel, stride=None, padding=0):
        return window_options(kernel, stride, padding)

    def shape(x, *, kernel, stride, padding):
        return pooled(x, kernel, stride, padding)


@defop("avg_pool2d", samples=lambda: pool2d_samples(False), kernel="avg_pool", source=DUMOULIN)
class AvgPool2d(_AvgRules):
    """`avg_pool` over two spatial axes, without padding."""

    def options(x, *, kernel, stride=None):
        return window_options(kernel, stride, d=2)

    def shape(x, *, kernel, stride):
        return pooled(x, kernel, stride)


@defop("avg_pool2d_pad", samples=lambda: pool2d_samples(True), kernel="avg_pool", aliases=("avg_pool_pad",), source=DUMOULIN)
class AvgPool2dPad(_AvgRules):
    """`avg_pool` over two spatial axes."""

    def options(x, *, kernel, stride=None, padding=0):
        return window_options(kernel, stride, padding, d=2)

    def shape(x, *, kernel, stride, padding):
        return pooled(x, kernel, stride, padding)


def _avg_grad_samples() -> list[Any]:
    return [
        good((2, 3, 3), in_sizes=(6, 6), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
        good((1, 2, 3, 4), in_sizes=(5, 7), kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
        good((1, 2, 2), in_sizes=(8, 8), kernel=(2, 1), stride=(5, 4), padding=(0, 0)),
        bad("ShapeError", (2, 3, 2), in_sizes=(6, 6), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
    ]


@defop("_avg_pool_grad", samples=_avg_grad_samples)
class AvgPoolGrad:
    """The gradient of avg_pool, its transpose: each cell of an input of `in_sizes` gets the g of the windows over it, over their size."""

    def options(g, *, in_sizes, kernel, stride, padding):
        return {"in_sizes": tuple(in_sizes), **window_options(kernel, stride, padding)}

    def shape(g, *, in_sizes, kernel, stride, padding):
        d = len(kernel)
        x = (*g[:-d], *in_sizes)
        require_same(g, pooled(x, kernel, stride, padding), "g")
        return x

    def kernel_params(g, *, in_sizes, kernel, stride, padding):
        return window_params(size(g[: -len(kernel)]), in_sizes, kernel, stride, padding)

    def vjp(ops, h, y, g, *, in_sizes, **window):
        return (ops.avg_pool(h, **window),)

    jvp = linear_jvp("_avg_pool_grad")


# Smooth maximum ----------------------------------------------------------------------------------------------------------


def _smooth_samples() -> list[Any]:
    return [
        *pool_samples(beta=2.0),
        good((2, 5, 5), kernel=(3, 3), stride=2, padding=1, beta=-0.7),
        good(Arr((1, 2, 4), "values", data=[[[800.0, -800.0, 3.0, 3.0], [0.0, 1.0, -900.0, 2.0]]]), kernel=(2, 2), beta=5.0, smooth=False),
        bad("OptionError", (2, 4, 4), kernel=(2, 2), beta=0.0),
        bad("OptionError", (2, 4, 4), kernel=(2, 2), beta=math.inf),
    ]


def _outside(beta: float) -> float:
    # What a padded cell holds, so that e^{βx} is 0 there.
    return -math.inf if beta > 0 else math.inf


def _scaled_windows(ops: Any, x: Any, beta: float, window: dict[str, Any]) -> tuple[Any, int]:
    # βx, every window along an axis, and which axis that is.
    return ops.scale(ops._windows(x, **window, pad_value=_outside(beta)), c=beta), len(x.shape) - len(window["kernel"])


def _smooth_weights(ops: Any, g: Any, x: Any, beta: float, window: dict[str, Any]) -> Any:
    # g times the softmax of βx over each window, by primitives, windows along an axis.
    z, axis = _scaled_windows(ops, x, beta, window)
    p = ops.softmax(z, axis=axis)
    axes = tuple(i for i in range(len(p.shape)) if i != axis)
    return ops.mul(p, ops.broadcast_to(g, shape=p.shape, axis_map=axes))


class _SmoothRules:
    def kernel_params(x, *, beta, **window):
        w = whole_window(**window)
        d = len(w["kernel"])
        return window_params(size(x[:-d]), x[-d:], w["kernel"], w["stride"], w["padding"], beta)

    def vjp(ops, g, y, x, *, beta, **window):
        return (ops._smooth_max_pool_grad(g, x, beta=beta, **whole_window(**window)),)

    def jvp(ops, t, y, x, *, beta, **window):
        if t[0] is None:
            return None
        w = whole_window(**window)
        z, axis = _scaled_windows(ops, x, beta, w)
        return ops.reduce_sum(ops.mul(ops.softmax(z, axis=axis), ops._windows(t[0], **w, pad_value=0.0)), axis=axis)

    def decompose(ops, x, *, beta, **window):
        z, axis = _scaled_windows(ops, x, beta, whole_window(**window))
        return ops.scale(ops.logsumexp(z, axis=axis), c=1.0 / beta)


@defop("smooth_max_pool", samples=_smooth_samples, algebraic=False)
class SmoothMaxPool(_SmoothRules):
    """Smooth maximum (1/β)·ln Σ e^{βx} over a window; padded cells are left out."""

    def options(x, *, kernel, beta, stride=None, padding=0):
        return _beta(window_options(kernel, stride, padding), beta)

    def shape(x, *, kernel, beta, stride, padding):
        return pooled(x, kernel, stride, padding)


@defop("smooth_max_pool2d", samples=lambda: pool2d_samples(False, beta=1.5), kernel="smooth_max_pool", algebraic=False)
class SmoothMaxPool2d(_SmoothRules):
    """`smooth_max_pool` over two spatial axes, without padding."""

    def options(x, *, kernel, beta, stride=None):
        return _beta(window_options(kernel, stride, d=2), beta)

    def shape(x, *, kernel, beta, stride):
        return pooled(x, kernel, stride)


def _smooth_grad_samples() -> list[Any]:
    return [
        good((2, 3, 3), (2, 6, 6), kernel=(2, 2), stride=(2, 2), padding=(0, 0), beta=2.0),
        good((1, 3, 4), (1, 5, 7), kernel=(3, 3), stride=(2, 2), padding=(1, 1), beta=-1.0),
        good((2, 1, 7), (2, 1, 7), kernel=(3,), stride=(1,), padding=(1,), beta=0.5),
        bad("ShapeError", (2, 3, 2), (2, 6, 6), kernel=(2, 2), stride=(2, 2), padding=(0, 0), beta=2.0),
    ]


@defop("_smooth_max_pool_grad", samples=_smooth_grad_samples, algebraic=False)
class SmoothMaxPoolGrad:
    """The gradient of smooth_max_pool: g times the softmax of βx over each window."""

    def options(g, x, *, kernel, stride, padding, beta):
        return _beta(window_options(kernel, stride, padding), beta)

    def shape(g, x, *, kernel, stride, padding, beta):
        require_same(g, pooled(x, kernel, stride, padding), "g")
        return x

    def kernel_params(g, x, *, kernel, stride, padding, beta):
        d = len(kernel)
        return window_params(size(x[:-d]), x[-d:], kernel, stride, padding, beta)

    def decompose(ops, g, x, *, beta, **window):
        weights = _smooth_weights(ops, g, x, beta, window)
        return ops._windows_adjoint(weights, in_sizes=x.shape[-len(window["kernel"]) :], **window)
