"""Padding by name: "valid" is none, "same" makes the output as long as the input."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, per_axis
from ..registry import array
from ..statistics.forms import form


def _named(ops: Any, w: Any, x: Any, stride: Any, padding: str, dilation: Any) -> tuple[Any, Shape]:
    # x and the padding that the kernels take: both ends of an axis alike. What one end has more, x gets.
    d = len(w.shape) - 2
    if padding not in ("same", "valid"):
        raise OptionError("padding must be an int, one for each spatial axis, 'same' or 'valid'")
    if padding == "valid":
        return x, (0,) * d
    if any(s != 1 for s in per_axis(stride, d, "stride")):
        raise OptionError("padding='same' must go with a stride of 1")
    if len(x.shape) <= d:
        raise ShapeError(f"x must have channels and {d} spatial axes to go with w")
    spans = [max(r * (k - 1), 0) for k, r in zip(w.shape[2:], per_axis(dilation, d, "dilation"), strict=True)]
    if any(n % 2 for n in spans):
        x = ops.pad(x, ((0, 0),) * (len(x.shape) - d) + tuple((0, n % 2) for n in spans))
    return x, tuple(n // 2 for n in spans)


def _convolution(op: str, spatial: tuple[int, ...]) -> Any:
    def run(ops: Any, w: Any, b: Any, x: Any, stride: Any, padding: Any, dilation: Any, groups: Any, name: str | None) -> Any:
        w, x = array(ops, w, f"{op}: w"), array(ops, x, f"{op}: x")
        with completing(op, w=w, b=b, x=x, stride=stride, padding=padding, dilation=dilation, groups=groups):
            if len(w.shape) - 2 not in spatial:
                raise ShapeError(f"w must have two channel axes and {' or '.join(map(str, spatial))} spatial ones, not {len(w.shape)} axes")
            x, zeros = _named(ops, w, x, stride, padding, dilation)
            return ops.apply(op, (w, b, x), {"stride": stride, "padding": zeros, "dilation": dilation, "groups": groups}, name)

    return run


_CONV, _CONV2D = _convolution("conv", (1, 2, 3)), _convolution("conv2d", (2,))
_BY_NUMBER = "not isinstance(padding, str)"


@form(_BY_NUMBER)
def conv(
    ops: Any,
    w: Any,
    b: Any,
    x: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    name: str | None = None,
) -> Any:
    """A convolution with padding by name."""
    return _CONV(ops, w, b, x, stride, padding, dilation, groups, name)


@form(_BY_NUMBER)
def conv2d(
    ops: Any,
    w: Any,
    b: Any,
    x: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    name: str | None = None,
) -> Any:
    """A convolution over two spatial axes with padding by name."""
    return _CONV2D(ops, w, b, x, stride, padding, dilation, groups, name)
