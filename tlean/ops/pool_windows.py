"""Windows of a pool: options, shapes and numbers that every pool shares, and the linear pair that lays windows out and adds them back."""

from __future__ import annotations

from typing import Any

from ..errors import OptionError, ShapeError
from ..shapes import Shape, conv_out, per_axis, size
from .registry import defop, linear_jvp
from .samples import Arr, bad, good

DUMOULIN = "Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, chapter 3"


# Options and shapes ------------------------------------------------------------------------------------------------------


def _kernel(kernel: Any, d: int | None) -> Shape:
    if d is not None:
        return per_axis(kernel, d, "kernel")
    if hasattr(kernel, "__index__"):
        raise OptionError(f"kernel must be a tuple of 1, 2 or 3 ints, one for each spatial axis, not {kernel!r}")
    kernel = tuple(kernel)
    if not 1 <= len(kernel) <= 3:
        raise OptionError(f"kernel must be a tuple of 1, 2 or 3 ints, one for each spatial axis, not {kernel!r}")
    return per_axis(kernel, len(kernel), "kernel")


def window_options(kernel: Any, stride: Any, padding: Any = None, d: int | None = None) -> dict[str, Any]:
    """Kernel, stride and, unless it is None, padding, as one int for each spatial axis."""
    kernel = _kernel(kernel, d)
    window = {"kernel": kernel, "stride": kernel if stride is None else per_axis(stride, len(kernel), "stride")}
    return window if padding is None else {**window, "padding": per_axis(padding, len(kernel), "padding")}


def whole_window(kernel: Shape, stride: Shape, padding: Shape | None = None, **rest: Any) -> dict[str, Any]:
    """A window with its padding written out (the 2d forms without padding leave it out)."""
    return {"kernel": kernel, "stride": stride, "padding": (0,) * len(kernel) if padding is None else padding, **rest}


def spatial_out(sizes: Shape, kernel: Shape, stride: Shape, padding: Shape) -> Shape:
    if min(sizes) < 1:
        raise ShapeError(f"x must have at least one cell along each spatial axis, not {sizes}")
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(f"padding must be at most half the kernel: {padding} for {kernel}")
    return tuple(conv_out(n, k, s, p, 1) for n, k, s, p in zip(sizes, kernel, stride, padding, strict=True))


def pooled(x: Shape, kernel: Shape, stride: Shape, padding: Shape | None = None, **_: Any) -> Shape:
    """The shape of a pool of x."""
    d = len(kernel)
    if len(x) not in (d + 1, d + 2):
        raise ShapeError(f"x must have {d + 1} axes (channels, then {d} spatial), or {d + 2} with a batch axis, to go with a kernel of {d}")
    if x[-d - 1] < 1:
        raise ShapeError("x must have at least one channel")
    return (*x[:-d], *spatial_out(x[-d:], kernel, stride, (0,) * d if padding is None else padding))


def window_params(
    planes: int, sizes: Shape, kernel: Shape, stride: Shape, padding: Shape | None = None, *floats: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Ints of every pool kernel: planes (images times channels), then five runs of three ints, spatial axes aligned at the right and
    filled up with axes of size 1: in, out, kernel, stride, padding. Floats: the pad value, or beta.
    """
    d = len(kernel)
    padding = (0,) * d if padding is None else padding
    out = spatial_out(sizes, kernel, stride, padding)
    ones = (1,) * (3 - d)
    ints = (planes, *ones, *sizes, *ones, *out, *ones, *kernel, *ones, *stride, *(0,) * (3 - d), *padding)
    return ints, floats


def require_same(shape: Shape, wanted: Shape, name: str) -> None:
    if shape != wanted:
        raise ShapeError(f"{name} must have shape {wanted}")


# Samples -----------------------------------------------------------------------------------------------------------------


def distinct(*shape: int) -> Arr:
    return Arr(shape, "distinct")


def pool_samples(**more: Any) -> list[Any]:
    """Calls of a generic pool: 1, 2 and 3 axes, with and without a batch, overlap, gaps, padding, and everything that is refused."""
    return [
        good(distinct(2, 7), kernel=(3,), stride=2, padding=1, **more),
        good(distinct(2, 3, 6, 6), kernel=(2, 2), **more),
        good(distinct(1, 7, 9), kernel=(3, 3), stride=(2, 2), padding=1, **more),
        good(distinct(2, 1, 5, 18), kernel=(3, 2), stride=1, padding=(1, 0), **more),
        good(distinct(1, 8, 8), kernel=(2, 1), stride=(3, 2), **more),
        good(distinct(1, 2, 4, 5, 4), kernel=(2, 3, 2), stride=(2, 1, 2), padding=(1, 1, 0), **more),
        good(distinct(1, 1, 1), kernel=(1, 1), **more),
        good(Arr((0, 2, 4, 4)), kernel=(2, 2), **more),
        bad("ShapeError", (2, 4, 4), kernel=(5, 2), **more),
        bad("ShapeError", (2, 4, 4), kernel=(2, 2), stride=0, **more),
        bad("ShapeError", (2, 4, 4), kernel=(2, 2), padding=2, **more),
        bad("ShapeError", (2, 4, 4), kernel=(0, 2), **more),
        bad("ShapeError", (0, 4, 4), kernel=(2, 2), **more),
        bad("ShapeError", (4, 4), kernel=(2, 2), **more),
        bad("OptionError", (2, 4, 4), kernel=2, **more),
        bad("OptionError", (2, 4, 4), kernel=(2, 2), stride=(1, 1, 1), **more),
    ]


def pool2d_samples(padded: bool, **more: Any) -> list[Any]:
    calls = [
        good(distinct(2, 6, 8), kernel=2, **more),
        good(distinct(2, 2, 5, 7), kernel=(3, 2), stride=1, **more),
        bad("ShapeError", (2, 4, 4), kernel=5, **more),
        bad("ShapeError", (2, 4), kernel=2, **more),
    ]
    if padded:
        calls += [good(distinct(1, 5, 5), kernel=3, stride=2, padding=1, **more), bad("ShapeError", (2, 4, 4), kernel=3, padding=2, **more)]
    return calls


# Windows as an axis ------------------------------------------------------------------------------------------------------


def _windows_samples() -> list[Any]:
    return [
        good((2, 7), kernel=(3,), stride=(2,), padding=(1,), pad_value=0.0),
        good((1, 2, 5, 6), kernel=(3, 2), stride=(2, 1), padding=(1, 0), pad_value=-1.5),
        good((1, 4, 4, 4), kernel=(2, 1, 2), stride=(2, 3, 1), padding=(0, 0, 0), pad_value=0.0),
        bad("ShapeError", (1, 2, 2), kernel=(3, 3), stride=(1, 1), padding=(0, 0), pad_value=0.0),
    ]


@defop("_windows", samples=_windows_samples)
class Windows:
    """Every window of x along a separate axis after the channels: (*k, C, K, *out), K a window's cells in row-major order;
    cells in the padding are `pad_value`.
    """

    def options(x, *, kernel, stride, padding, pad_value):
        return {**window_options(kernel, stride, padding), "pad_value": float(pad_value)}

    def shape(x, *, kernel, stride, padding, pad_value):
        d = len(kernel)
        y = pooled(x, kernel, stride, padding)
        return (*y[:-d], size(kernel), *y[-d:])

    def kernel_params(x, *, kernel, stride, padding, pad_value):
        d = len(kernel)
        return window_params(size(x[:-d]), x[-d:], kernel, stride, padding, pad_value)

    def vjp(ops, g, y, x, *, kernel, stride, padding, pad_value):
        return (ops._windows_adjoint(g, in_sizes=x.shape[-len(kernel) :], kernel=kernel, stride=stride, padding=padding),)

    def jvp(ops, t, y, x, *, kernel, stride, padding, pad_value):
        return None if t[0] is None else ops._windows(t[0], kernel=kernel, stride=stride, padding=padding, pad_value=0.0)


def _adjoint_samples() -> list[Any]:
    return [
        good((2, 3, 4), in_sizes=(7,), kernel=(3,), stride=(2,), padding=(1,)),
        good((1, 2, 6, 3, 5), in_sizes=(5, 6), kernel=(3, 2), stride=(2, 1), padding=(1, 0)),
        bad("ShapeError", (2, 3, 3), in_sizes=(7,), kernel=(3,), stride=(2,), padding=(1,)),
    ]


@defop("_windows_adjoint", samples=_adjoint_samples)
class WindowsAdjoint:
    """The transpose of `_windows`: each cell of an input of `in_sizes` gets the sum of its copies in the windows g."""

    def options(g, *, in_sizes, kernel, stride, padding):
        return {"in_sizes": tuple(in_sizes), **window_options(kernel, stride, padding)}

    def shape(g, *, in_sizes, kernel, stride, padding):
        d = len(kernel)
        x = (*g[: -d - 1], *in_sizes)
        y = pooled(x, kernel, stride, padding)
        require_same(g, (*y[:-d], size(kernel), *y[-d:]), "g")
        return x

    def kernel_params(g, *, in_sizes, kernel, stride, padding):
        return window_params(size(g[: -len(kernel) - 1]), in_sizes, kernel, stride, padding)

    def vjp(ops, h, y, g, *, in_sizes, **window):
        return (ops._windows(h, **window, pad_value=0.0),)

    jvp = linear_jvp("_windows_adjoint")
