"""Pools with dilation, with windows that hang over the end (`ceil_mode`), and with other divisors; where a maximum is, and the way back.

A maximum over cells apart is one over neighbours in an array of just these cells, taken along one axis after another. In the place of a
cell outside, the first one inside its window is taken, which changes neither the maximum nor which cell comes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...arguments import is_reference, truth
from ...dtypes import FLOATS
from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, per_axis, size
from ..layout import conversion_op
from ..pool_windows import window_options
from ..registry import array, composite, whole
from ..statistics.forms import form

#: Cells along an axis for which places are written out, at most.
MOST_CELLS = 1 << 24


class _Window(NamedTuple):
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    #: Sizes of x and of the result along the spatial axes.
    sizes: Shape
    out: Shape


def _size(n: int, k: int, s: int, p: int, r: int, ceil: bool) -> int:
    # How many windows there are along an axis. With `ceil` one may hang over the end, if it begins inside or in the padding before.
    span = r * (k - 1) + 1
    room = n + 2 * p - span
    if not ceil:
        return room // s + 1
    count = -(-room // s) + 1
    return count - 1 if (count - 1) * s >= n + p else count


def _window(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> _Window:
    options = window_options(kernel, stride, padding)
    kernel, stride, padding = options["kernel"], options["stride"], options["padding"]
    d = len(kernel)
    dilation = per_axis(dilation, d, "dilation")
    if len(x.shape) not in (d + 1, d + 2):
        raise ShapeError(f"x must have {d + 1} axes (channels, then {d} spatial), or {d + 2} with a batch axis, to go with a kernel of {d}")
    sizes = tuple(x.shape[-d:])
    if x.shape[-d - 1] < 1 or min(sizes) < 1:
        raise ShapeError("x must have at least one channel, and one cell along each spatial axis")
    if min(*kernel, *stride, *dilation) < 1:
        raise ShapeError("kernel, stride and dilation must be at least 1")
    if any(not 0 <= 2 * p <= r * (k - 1) + 1 for p, k, r in zip(padding, kernel, dilation, strict=True)):
        raise ShapeError("padding must be at least 0 and at most half of what the kernel spans")
    out = tuple(_size(*axis, truth("ceil_mode", ceil_mode)) for axis in zip(sizes, kernel, stride, padding, dilation, strict=True))
    if min(out) < 1:
        raise ShapeError("the kernel must fit the padded input")
    return _Window(kernel, stride, padding, dilation, sizes, out)


def _around(ops: Any, x: Any, ends: Sequence[tuple[int, int]], value: float) -> Any:
    # x with so many cells around its spatial axes.
    if not any(map(any, ends)):
        return x
    return ops.pad(x, ((0, 0),) * (len(x.shape) - len(ends)) + tuple(ends), value)


def own(ops: Any, x: Any, needed: str) -> Any:
    """An argument in its own dtype, such as indices.

    Args:
        ops: the backend.
        x: a reference or anything array-like.
        needed: its name.
    """
    return x if is_reference(x) else array(ops, x, needed) if x is None else ops._own_constant(x)


def constant(ops: Any, values: Any, x: Any) -> Any:
    """Nested lists of floats as a constant of the dtype in which x is computed with.

    Args:
        ops: the backend.
        values: the numbers.
        x: an array of the program.
    """
    wanted = x.dtype if x.dtype in FLOATS else ops.dtype
    if wanted == ops.dtype:
        return ops.const(values)
    held = ops._own_constant(values)
    return held if held.dtype == wanted else ops.apply(conversion_op(wanted), (held,), {})


# Maximum ---------------------------------------------------------------------------------------------------------------------


def _overhang(w: _Window) -> list[tuple[int, int]]:
    # How far the last window reaches beyond the padded end of each axis, where cells are neighbours.
    axes = zip(w.out, w.stride, w.kernel, w.sizes, w.padding, strict=True)
    return [(0, max((o - 1) * s + k - n - 2 * p, 0)) for o, s, k, n, p in axes]


def _places(o: int, n: int, k: int, s: int, p: int, r: int) -> list[int]:
    # Which cell each cell of each window is; n, a cell of -inf, where a window has none.
    places = []
    for i in range(o):
        cells = [i * s - p + j * r for j in range(k)]
        first = next((c for c in cells if 0 <= c < n), n)
        places += [c if 0 <= c < n else first for c in cells]
    return places


class _Cells:
    # How x becomes an array of which `max_pool` without further options is the pool that was asked for.
    def __init__(self, w: _Window, pad_value: float) -> None:
        self.before = [(0, 0)] * len(w.kernel)
        self.pad_value = pad_value
        if pad_value != -math.inf and any(w.padding):
            self.before = [(p, p) for p in w.padding]
            w = w._replace(padding=(0,) * len(w.kernel), sizes=tuple(n + 2 * p for n, p in zip(w.sizes, w.padding, strict=True)))
        self.places: list[list[int]] = []
        self.after = [(0, 0)] * len(w.kernel)
        if all(r == 1 for r in w.dilation):
            self.after = _overhang(w)
            self.window = {"kernel": w.kernel, "stride": w.stride, "padding": w.padding, "pad_value": -math.inf}
            return
        if max(o * k for o, k in zip(w.out, w.kernel, strict=True)) > MOST_CELLS:
            raise ShapeError(f"the windows along an axis must have at most {MOST_CELLS} cells together where they are dilated")
        axes = zip(w.out, w.sizes, w.kernel, w.stride, w.padding, w.dilation, strict=True)
        self.places = [_places(*axis) for axis in axes]
        self.after = [(0, int(n in places)) for places, n in zip(self.places, w.sizes, strict=True)]
        self.window = {"kernel": w.kernel, "stride": w.kernel, "padding": (0,) * len(w.kernel), "pad_value": -math.inf}

    def __call__(self, ops: Any, x: Any) -> Any:
        x = _around(ops, _around(ops, x, self.before, self.pad_value), self.after, -math.inf)
        for k, places in enumerate(self.places, len(x.shape) - len(self.places)):
            x = ops.take(x, places, k)
        return x


def _number(pad_value: Any) -> float:
    value = float(pad_value)
    if not value < math.inf:
        raise OptionError("pad_value must be -inf or a finite number")
    return value


@form("type(dilation) is int and dilation == 1 and ceil_mode is False")
def max_pool(
    ops: Any,
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    pad_value: float = -math.inf,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    name: str | None = None,
) -> Any:
    """The maximum over windows of cells apart, or of windows that hang over the end."""
    x = array(ops, x, "max_pool: x")
    given = {"kernel": kernel, "stride": stride, "padding": padding, "pad_value": pad_value, "dilation": dilation, "ceil_mode": ceil_mode}
    with completing("max_pool", x=x, **given):
        cells = _Cells(_window(x, kernel, stride, padding, dilation, ceil_mode), _number(pad_value))
        return ops.apply("max_pool", (cells(ops, x),), cells.window, name)


@composite
def max_pool_with_indices(
    ops: Any,
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    name: str | None = None,
) -> tuple[Any, Any]:
    """The maximum over windows, and the place of each in its plane."""
    x = array(ops, x, "max_pool_with_indices: x")
    given = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    with completing("max_pool_with_indices", x=x, **given):
        window = _window(x, kernel, stride, padding, dilation, ceil_mode)
        cells = _Cells(window, -math.inf)
        inside = cells(ops, x)
        y = ops.apply("max_pool", (inside,), cells.window, name)
        n = size(window.sizes)
        # Places as floats, which hold so many exactly.
        numbers = ops.astype(ops.arange(n), "float64" if n > 1 << 24 else x.dtype if x.dtype in FLOATS else ops.dtype)
        numbers = ops.broadcast_to(ops.reshape(numbers, window.sizes), tuple(x.shape))
        winners = ops._max_pool_gather(cells(ops, numbers), inside, None, **cells.window)
        return y, ops.astype(ops.detach(winners), "int64")


@composite
def max_unpool(
    ops: Any,
    x: Any,
    indices: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    size: Any = None,
    *,
    name: str | None = None,
) -> Any:
    """Zeros, with x at the places that `max_pool_with_indices` gave."""
    x, indices = array(ops, x, "max_unpool: x"), own(ops, indices, "max_unpool: indices")
    with completing("max_unpool", x=x, indices=indices, kernel=kernel, stride=stride, padding=padding, size=size):
        w = window_options(kernel, stride, padding)
        d = len(w["kernel"])
        if len(x.shape) not in (d + 1, d + 2) or tuple(indices.shape) != tuple(x.shape):
            raise ShapeError(f"x and indices must have one shape of {d + 1} or {d + 2} axes, to go with a kernel of {d}")
        axes = zip(x.shape[-d:], w["kernel"], w["stride"], w["padding"], strict=True)
        spatial = tuple((n - 1) * s - 2 * p + k for n, k, s, p in axes) if size is None else per_axis(size, d, "size")
        if min(spatial) < 0:
            raise ShapeError("the result must have sizes of at least 0")
        lead = tuple(x.shape[:-d])
        flat = (*lead, math.prod(x.shape[-d:]))
        zeros = ops.apply("_full", (), {"shape": (*lead, math.prod(spatial)), "value": 0, "dtype": x.dtype})
        y = ops.put_along_axis(zeros, ops.reshape(indices, flat), ops.reshape(x, flat), -1, mode="strict")
        return ops.reshape(y, (*lead, *spatial), name=name)


# Mean ------------------------------------------------------------------------------------------------------------------------


def _counts(o: int, n: int, k: int, s: int, p: int, padded: bool) -> list[int]:
    # How many cells each window of an axis has, those of the padding with them or not.
    low, high = (-p, n + p) if padded else (0, n)
    return [min(i * s - p + k, high) - max(i * s - p, low) for i in range(o)]


def divided(ops: Any, mean: Any, kernel: Shape, counts: Sequence[Sequence[int]], name: str | None) -> Any:
    """Means over whole kernels as means over so many cells along each spatial axis.

    Args:
        ops: the backend.
        mean: what a pool gave.
        kernel: its kernel.
        counts: for each spatial axis, the number of cells in each window.
        name: of the result.
    """
    if all(c == k for axis, k in zip(counts, kernel, strict=True) for c in axis):
        return mean if name is None else ops.reshape(mean, tuple(mean.shape), name=name)
    table: Any = 1.0
    for axis in reversed(counts):
        table = [_times(c, table) for c in axis]
    shape = tuple(mean.shape)
    return ops.div(ops.scale(mean, size(kernel)), ops.broadcast_to(constant(ops, table, mean), shape), name=name)


def _times(c: int, table: Any) -> Any:
    return [_times(c, t) for t in table] if isinstance(table, list) else c * table


@form("ceil_mode is False and count_include_pad is True and divisor_override is None")
def avg_pool(
    ops: Any,
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
    *,
    name: str | None = None,
) -> Any:
    """The mean over windows that hang over the end, of the cells inside alone, or the sum over another divisor."""
    x = array(ops, x, "avg_pool: x")
    options = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad, "divisor_override": divisor_override}
    with completing("avg_pool", x=x, kernel=kernel, stride=stride, padding=padding, **options):
        divisor = None if divisor_override is None else whole("divisor_override", divisor_override)
        if divisor == 0:
            raise OptionError("divisor_override must not be 0")
        w = _window(x, kernel, stride, padding, 1, ceil_mode)
        mean = {"kernel": w.kernel, "stride": w.stride, "padding": w.padding}
        y = ops.apply("avg_pool", (_around(ops, x, _overhang(w), 0.0),), mean, None)
        if divisor is not None:
            return ops.scale(y, size(w.kernel) / divisor, name=name)
        axes = zip(w.out, w.sizes, w.kernel, w.stride, w.padding, strict=True)
        return divided(ops, y, w.kernel, [_counts(*axis, truth("count_include_pad", count_include_pad)) for axis in axes], name)
