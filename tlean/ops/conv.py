"""Convolutions, transposed convolutions and their gradients: one bilinear family.

For a window geometry fixed by (stride, padding, dilation, groups), `conv`, `_conv_grad_x` and `_conv_grad_w` are the three partial maps of
the trilinear form ⟨g, w ⋆ x⟩, so the derivative of each is given by the other two and derivatives of every order stay inside the set.
`conv_transpose` is `_conv_grad_x` with a bias. Axes are channels first; x and g may lack the batch axis.
"""

from __future__ import annotations

from typing import Any

from ..dtypes import IntegerForm
from ..errors import OptionError, ShapeError
from ..shapes import Shape, conv_out, conv_transpose_out, per_axis, size
from .integers.convolutions import convolved, spread
from .registry import defop, multilinear_jvp
from .samples import bad, good

_DUMOULIN = "Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning"


# Options and shapes ------------------------------------------------------------------------------------------------------


def _spatial(w: Shape) -> int:
    # The number of spatial axes, which w's rank gives.
    d = len(w) - 2
    if not 1 <= d <= 3:
        raise ShapeError(f"w must have two channel axes and 1, 2 or 3 spatial ones, not {len(w)} axes")
    return d


def _positive_int(value: object, name: str) -> int:
    (number,) = per_axis(value, 1, name)  # type: ignore[arg-type]
    if number < 1:
        raise OptionError(f"{name} must be at least 1, not {number}")
    return number


def _window_options(d: int, stride: Any, padding: Any, dilation: Any, groups: Any) -> dict[str, Any]:
    return {
        "stride": per_axis(stride, d, "stride"),
        "padding": per_axis(padding, d, "padding"),
        "dilation": per_axis(dilation, d, "dilation"),
        "groups": _positive_int(groups, "groups"),
    }


def _check_rank(name: str, shape: Shape, d: int) -> None:
    if len(shape) not in (d + 1, d + 2):
        raise ShapeError(f"{name} must have {d + 1} axes (channels, then {d} spatial), or {d + 2} with a batch axis, to go with w's rank")


def _check_two_d(w: Shape) -> None:
    if len(w) != 4:
        raise ShapeError(f"w must have 4 axes (two channel, two spatial), not {len(w)}")


def _check_channels(w: Shape, groups: int, first: str, second: str) -> None:
    if w[0] < 1 or w[1] < 1:
        raise ShapeError(f"w must have at least one channel on each of its channel axes, not {w[0]} and {w[1]}")
    if w[0] % groups:
        raise ShapeError(f"groups={groups} must divide w's {first} channels ({w[0]}); {second} is given per group")


def _check_bias(b: Shape | None, channels: int) -> None:
    if b is not None and b != (channels,):
        raise ShapeError(f"b must have shape ({channels},): one entry per output channel")


def _conv_shape(w: Shape, b: Shape | None, x: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Shape:
    d = _spatial(w)
    _check_rank("x", x, d)
    _check_channels(w, groups, "output", "the input side")
    if x[-d - 1] != w[1] * groups:
        raise ShapeError(f"w takes {w[1] * groups} input channels")
    _check_bias(b, w[0])
    out = tuple(map(conv_out, x[-d:], w[2:], stride, padding, dilation))
    return (*x[: -d - 1], w[0], *out)


def _transpose_shape(
    w: Shape, b: Shape | None, x: Shape, stride: Shape, padding: Shape, output_padding: Shape, dilation: Shape, groups: int
) -> Shape:
    d = _spatial(w)
    _check_rank("x", x, d)
    _check_channels(w, groups, "input", "the output side")
    if x[-d - 1] != w[0]:
        raise ShapeError(f"w takes {w[0]} input channels")
    _check_bias(b, w[1] * groups)
    if min(*stride, *dilation) < 1:
        raise ShapeError(f"stride and dilation must be at least 1, not {stride} and {dilation}")
    if min(w[2:]) < 1:
        raise ShapeError(f"a kernel must have at least one cell along each axis, not {w[2:]}")
    if min(padding) < 0:
        raise ShapeError(f"padding must be at least 0, not {padding}")
    if min(x[-d:]) < 1:
        raise ShapeError("x must have at least one cell along each spatial axis")
    if any(not 0 <= o < max(s, r) for o, s, r in zip(output_padding, stride, dilation, strict=True)):
        raise ShapeError(f"output_padding must be at least 0 and smaller than stride or dilation, not {output_padding}")
    out = tuple(map(conv_transpose_out, x[-d:], w[2:], stride, padding, output_padding, dilation))
    if min(out) < 1:
        raise ShapeError(f"the output must have at least one cell along each spatial axis, not {out}")
    return (*x[: -d - 1], w[1] * groups, *out)


def _params(
    w: Shape, wide: Shape, narrow: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Ints of every kernel of the family, all read as the forward convolution wide (N,C,*in) ⋆ w -> narrow (N,O,*out).

    N, C, O, groups, then six runs of three ints, spatial axes aligned at the right and filled up with axes of size 1:
    in, out, kernel, stride, padding, dilation.
    """
    d = len(w) - 2
    n = wide[0] if len(wide) == d + 2 else 1

    def three(values: Shape, fill: int) -> Shape:
        return (fill,) * (3 - d) + tuple(values)

    ints = (n, wide[-d - 1], narrow[-d - 1], groups, *three(wide[-d:], 1), *three(narrow[-d:], 1), *three(w[2:], 1))
    return (*ints, *three(stride, 1), *three(padding, 0), *three(dilation, 1)), ()


# Rules that several ops share --------------------------------------------------------------------------------------------


def _channel_axis(d: int, rank: int) -> int:
    return rank - d - 1


def _sum_to_bias(ops: Any, g: Any, d: int) -> Any:
    channel = _channel_axis(d, len(g.shape))
    return ops.reduce_sum(g, axis=tuple(i for i in range(len(g.shape)) if i != channel))


def _spread_bias(ops: Any, t: Any, shape: Shape, w: Any, *_: Any) -> Any:
    return ops.broadcast_to(t, shape=shape, axis_map=(_channel_axis(len(w.shape) - 2, len(shape)),))


def _conv_vjp(ops: Any, g: Any, w: Any, b: Any, x: Any, window: dict[str, Any]) -> tuple[Any, ...]:
    d = len(w.shape) - 2
    dw = ops._conv_grad_w(g, x, kernel=w.shape[2:], **window)
    db = None if b is None else _sum_to_bias(ops, g, d)
    return dw, db, ops._conv_grad_x(w, g, in_shape=x.shape[-d:], **window)


def _narrow_to(ops: Any, x: Any, spatial: Shape) -> Any:
    # The first `spatial` cells of x. Where output_padding reaches the stride, the adjoint's windows outnumber the cells of the input.
    d = len(spatial)
    if x.shape[-d:] == spatial:
        return x
    stops = (*x.shape[:-d], *spatial)
    return ops.slice(x, starts=(0,) * len(stops), stops=stops)


def _widen_to(ops: Any, x: Any, spatial: Shape) -> Any:
    # x with zeros behind, the adjoint of `_narrow_to`.
    d = len(spatial)
    if x.shape[-d:] == spatial:
        return x
    widths = ((0, 0),) * (len(x.shape) - d) + tuple((0, n - m) for n, m in zip(spatial, x.shape[-d:], strict=True))
    return ops.pad(x, widths=widths)


def _windows(wide: Shape, kernel: Shape, window: dict[str, Any]) -> Shape:
    # How many windows fit along each axis.
    return tuple(map(conv_out, wide, kernel, window["stride"], window["padding"], window["dilation"]))


def _transpose_vjp(ops: Any, g: Any, w: Any, b: Any, x: Any, window: dict[str, Any]) -> tuple[Any, ...]:
    d = len(w.shape) - 2
    fit = _windows(g.shape[-d:], w.shape[2:], window)
    dw = ops._conv_grad_w(_widen_to(ops, x, fit), g, kernel=w.shape[2:], **window)
    db = None if b is None else _sum_to_bias(ops, g, d)
    return dw, db, _narrow_to(ops, ops.conv(w, None, g, **window), x.shape[-d:])


def _conv_flops(w: Shape, narrow: Shape) -> float:
    # One multiply-add per (output cell, input channel of its group, kernel cell).
    return 2.0 * size(narrow) * size(w[1:])


# Samples -----------------------------------------------------------------------------------------------------------------


def conv_samples() -> list[Any]:
    """Calls of `conv`: 1, 2 and 3 spatial axes, every option, and calls that must raise."""
    return [
        good((2, 3, 3), (2,), (3, 7)),
        good((4, 1, 5), None, (2, 2, 11), stride=2, padding=3, groups=2),
        good((3, 2, 3, 2), (3,), (2, 6, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        good((4, 2, 3, 3), (4,), (2, 4, 6, 7), padding=1, groups=2),
        good((2, 2, 2, 3, 2), (2,), (2, 3, 4, 3), padding=(1, 1, 0)),
        good((2, 1, 2, 2, 2), None, (1, 2, 4, 3, 3), stride=2, padding=1, groups=2),
        good((1, 1, 1), (1,), (1, 1)),
        good((2, 1, 3), (2,), (0, 1, 4)),
        bad("ShapeError", (2, 3, 3), None, (2, 7)),
        bad("ShapeError", (2, 3), None, (3, 7)),
        bad("ShapeError", (2, 3, 3), (3,), (3, 7)),
        bad("ShapeError", (2, 3, 8), None, (3, 7)),
        bad("ShapeError", (2, 3, 3), None, (3, 7), stride=0),
        bad("ShapeError", (2, 3, 3), None, (3, 7), padding=-1),
        bad("ShapeError", (2, 3, 0), None, (3, 7)),
        bad("ShapeError", (3, 2, 3), None, (4, 7), groups=2),
        bad("OptionError", (2, 3, 3), None, (3, 7), groups=0),
        bad("OptionError", (2, 3, 3), None, (3, 7), stride=(1, 1)),
    ]


def conv2d_samples() -> list[Any]:
    """Calls of `conv2d`: with and without batch and bias, every option, and calls that must raise."""
    return [
        good((2, 1, 3, 3), (2,), (1, 6, 7)),
        good((3, 2, 2, 3), None, (2, 2, 5, 6), stride=2),
        good((4, 3, 3, 3), (4,), (2, 3, 5, 4), padding=1),
        good((3, 1, 3, 3), (3,), (3, 6, 5), padding=(0, 1), groups=3),
        good((2, 3, 2, 2), (2,), (3, 7, 6), stride=(2, 3), padding=(1, 0), dilation=(2, 1)),
        good((5, 4, 1, 1), (5,), (4, 3, 2)),
        bad("ShapeError", (8, 3, 3, 3), None, (4, 28, 28)),
        bad("ShapeError", (8, 3, 3), None, (3, 28)),
        bad("ShapeError", (8, 3, 3, 3), None, (3, 28)),
        bad("ShapeError", (8, 3, 5, 5), None, (3, 4, 4)),
        bad("OptionError", (8, 3, 3, 3), None, (3, 8, 8), padding=(1, 1, 1)),
    ]


def conv_transpose_samples() -> list[Any]:
    """Calls of `conv_transpose`: 1, 2 and 3 spatial axes, every option, and calls that must raise."""
    return [
        good((3, 2, 3), (2,), (3, 5)),
        good((2, 2, 4), None, (2, 2, 5), stride=3, padding=1, output_padding=2),
        good((2, 3, 2, 3), (3,), (2, 3, 4), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        good((4, 1, 3, 3), (2,), (2, 4, 3, 3), stride=2, padding=1, output_padding=1, groups=2),
        good((2, 1, 2, 2), None, (2, 3, 2), dilation=3, output_padding=2),
        good((2, 2, 2, 1, 2), (2,), (2, 2, 3, 2), stride=2),
        bad("ShapeError", (3, 2, 3), None, (2, 5)),
        bad("ShapeError", (3, 2, 3), (3,), (3, 5)),
        bad("ShapeError", (3, 2, 3), None, (3, 5), output_padding=1),
        bad("ShapeError", (3, 2, 1), None, (3, 2), padding=1),
        bad("ShapeError", (3, 2, 3), None, (3, 5), stride=0),
        bad("ShapeError", (3, 2, 3), None, (3, 5), groups=2),
    ]


def conv_transpose2d_samples() -> list[Any]:
    """Calls of `conv_transpose2d`, and calls that must raise."""
    return [
        good((2, 3, 3, 3), (3,), (2, 4, 5), stride=2, padding=1, output_padding=1),
        good((4, 2, 2, 3), None, (2, 4, 3, 2), groups=2),
        bad("ShapeError", (3, 2, 3), None, (3, 5)),
        bad("ShapeError", (3, 2, 3, 3), None, (2, 5, 5)),
    ]


def _grad_x_samples() -> list[Any]:
    return [
        good((2, 3, 3), (2, 5), in_shape=(7,), stride=(1,), padding=(0,), dilation=(1,), groups=1),
        good((4, 1, 3, 2), (2, 4, 3, 3), in_shape=(6, 4), stride=(2, 1), padding=(1, 0), dilation=(1, 1), groups=2),
        bad("ShapeError", (2, 3, 3), (2, 5), in_shape=(8,), stride=(1,), padding=(0,), dilation=(1,), groups=1),
    ]


def _grad_w_samples() -> list[Any]:
    return [
        good((2, 5), (3, 7), kernel=(3,), stride=(1,), padding=(0,), dilation=(1,), groups=1),
        good((2, 4, 3, 3), (2, 2, 6, 4), kernel=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 1), groups=2),
        bad("ShapeError", (2, 5), (3, 7), kernel=(4,), stride=(1,), padding=(0,), dilation=(1,), groups=1),
    ]


# Records -----------------------------------------------------------------------------------------------------------------


class _Convolution:
    def options(w, b, x, *, stride=1, padding=0, dilation=1, groups=1):
        return _window_options(_spatial(w), stride, padding, dilation, groups)

    def shape(w, b, x, *, stride, padding, dilation, groups):
        return _conv_shape(w, b, x, stride, padding, dilation, groups)

    def kernel_params(w, b, x, *, stride, padding, dilation, groups):
        narrow = _conv_shape(w, b, x, stride, padding, dilation, groups)
        return _params(w, x, narrow, stride, padding, dilation, groups)

    of_integers = convolved

    def vjp(ops, g, y, w, b, x, **window):
        return _conv_vjp(ops, g, w, b, x, window)

    jvp = multilinear_jvp("conv", (0, 2), addend=1, spread=_spread_bias)

    def flops(w, b, x, *, stride, padding, dilation, groups):
        return _conv_flops(w, _conv_shape(w, b, x, stride, padding, dilation, groups))


@defop("conv", samples=conv_samples, source=f"{_DUMOULIN}, relation 15", optional=("b",), integers=IntegerForm())
class Conv(_Convolution):
    """Cross-correlation over 1, 2 or 3 spatial axes, with zero padding; the rank of w says how many."""


@defop("conv2d", samples=conv2d_samples, source=f"{_DUMOULIN}, relation 15", optional=("b",), integers=IntegerForm(), kernel="conv")
class Conv2d(_Convolution):
    """Cross-correlation over 2 spatial axes, with zero padding."""

    def options(w, b, x, *, stride=1, padding=0, dilation=1, groups=1):
        _check_two_d(w)
        return _window_options(2, stride, padding, dilation, groups)


class _Transposed:
    def options(w, b, x, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
        d = _spatial(w)
        return {**_window_options(d, stride, padding, dilation, groups), "output_padding": per_axis(output_padding, d, "output_padding")}

    def shape(w, b, x, *, stride, padding, output_padding, dilation, groups):
        return _transpose_shape(w, b, x, stride, padding, output_padding, dilation, groups)

    def kernel_params(w, b, x, *, stride, padding, output_padding, dilation, groups):
        wide = _transpose_shape(w, b, x, stride, padding, output_padding, dilation, groups)
        return _params(w, wide, x, stride, padding, dilation, groups)

    of_integers = spread

    def vjp(ops, g, y, w, b, x, *, output_padding, **window):
        return _transpose_vjp(ops, g, w, b, x, window)

    jvp = multilinear_jvp("conv_transpose", (0, 2), addend=1, spread=_spread_bias)

    def flops(w, b, x, *, stride, padding, output_padding, dilation, groups):
        return _conv_flops(w, x)


@defop("conv_transpose", samples=conv_transpose_samples, source=f"{_DUMOULIN}, chapter 4", optional=("b",), integers=IntegerForm())
class ConvTranspose(_Transposed):
    """The adjoint of `conv` in its input, plus a bias: spreads each cell of x over a window of the output."""


@defop(
    "conv_transpose2d",
    samples=conv_transpose2d_samples,
    source=f"{_DUMOULIN}, chapter 4",
    optional=("b",),
    integers=IntegerForm(),
    kernel="conv_transpose",
)
class ConvTranspose2d(_Transposed):
    """The adjoint of `conv2d` in its input, plus a bias."""

    def options(w, b, x, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
        _check_two_d(w)
        return {**_window_options(2, stride, padding, dilation, groups), "output_padding": per_axis(output_padding, 2, "output_padding")}


@defop("_conv_grad_x", samples=_grad_x_samples, source=f"{_DUMOULIN}, chapter 4")
class ConvGradX:
    """The cotangent of x in `conv`: the adjoint of x ↦ w ⋆ x, applied to g; `in_shape` is x's spatial shape."""

    def shape(w, g, *, in_shape, stride, padding, dilation, groups):
        d = _spatial(w)
        _check_rank("g", g, d)
        wide = (*g[: -d - 1], w[1] * groups, *in_shape)
        if _conv_shape(w, None, wide, stride, padding, dilation, groups) != g:
            raise ShapeError(f"g must have the shape that conv makes of w and an input {wide}")
        return wide

    def kernel_params(w, g, *, in_shape, stride, padding, dilation, groups):
        d = len(w) - 2
        return _params(w, (*g[: -d - 1], w[1] * groups, *in_shape), g, stride, padding, dilation, groups)

    def vjp(ops, g, y, w, h, *, in_shape, **window):
        return ops._conv_grad_w(h, g, kernel=w.shape[2:], **window), ops.conv(w, None, g, **window)

    jvp = multilinear_jvp("_conv_grad_x", (0, 1))

    def flops(w, g, *, in_shape, stride, padding, dilation, groups):
        return _conv_flops(w, g)


@defop("_conv_grad_w", samples=_grad_w_samples)
class ConvGradW:
    """The cotangent of w in `conv`: the adjoint of w ↦ w ⋆ x, applied to g, summed over the batch; `kernel` is w's spatial shape."""

    def shape(g, x, *, kernel, stride, padding, dilation, groups):
        d = len(kernel)
        _check_rank("x", x, d)
        _check_rank("g", g, d)
        if x[-d - 1] % groups or g[-d - 1] % groups:
            raise ShapeError(f"groups={groups} must divide the channels of x and of g")
        w = (g[-d - 1], x[-d - 1] // groups, *kernel)
        if _conv_shape(w, None, x, stride, padding, dilation, groups) != g:
            raise ShapeError(f"g must have the shape that conv makes of x and a kernel {w}")
        return w

    def kernel_params(g, x, *, kernel, stride, padding, dilation, groups):
        d = len(kernel)
        return _params((g[-d - 1], x[-d - 1] // groups, *kernel), x, g, stride, padding, dilation, groups)

    def vjp(ops, v, y, g, x, *, kernel, **window):
        d = len(kernel)
        return ops.conv(v, None, x, **window), ops._conv_grad_x(v, g, in_shape=x.shape[-d:], **window)

    jvp = multilinear_jvp("_conv_grad_w", (0, 1))

    def flops(g, x, *, kernel, stride, padding, dilation, groups):
        d = len(kernel)
        return 2.0 * size(g) * size(kernel) * (x[-d - 1] // groups)
