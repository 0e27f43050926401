"""Arrays several times: tiles, repeated entries, coordinates of a grid."""

from __future__ import annotations

from typing import Any

from ...dtypes import INTEGERS
from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, conv_out, normalize_axis, per_axis, size
from ..registry import array, composite, whole
from .axes import ints


def _counts(name: str, values: Any) -> tuple[int, ...]:
    if hasattr(values, "ops"):
        raise OptionError(f"{name} must be known while the program is recorded: the shape of the result depends on it")
    counts = ints(values)
    if any(c < 0 for c in counts):
        raise OptionError(f"{name} must be at least 0")
    return counts


@composite
def tile(ops: Any, x: Any, reps: Any, *, name: str | None = None) -> Any:
    """x laid side by side so many times along each axis."""
    x = array(ops, x, "tile: x")
    with completing("tile", x=x, reps=reps):
        counts, sizes = _counts("reps", reps), tuple(x.shape)
        n = max(len(counts), len(sizes))
        counts, whole_shape = (1,) * (n - len(counts)) + counts, (1,) * (n - len(sizes)) + sizes
        # Each axis that repeats has another before it, along which nothing changes.
        shape: list[int] = []
        places: list[int] = []
        for k, (count, d) in enumerate(zip(counts, whole_shape, strict=True)):
            if count != 1:
                shape.append(count)
            if k >= n - len(sizes):
                places.append(len(shape))
                shape.append(d)
        y = ops.broadcast_to(x, tuple(shape), tuple(places)) if len(shape) > len(sizes) else x
        return ops.reshape(y, tuple(c * d for c, d in zip(counts, whole_shape, strict=True)), name=name)


@composite
def repeat(ops: Any, x: Any, repeats: Any, axis: int | None = None, *, name: str | None = None) -> Any:
    """x with each entry of an axis so many times in a row; without an axis, each element."""
    x = array(ops, x, "repeat: x")
    with completing("repeat", x=x, repeats=repeats, axis=axis):
        counts = _counts("repeats", repeats)
        if axis is None:
            x, axis = ops.flatten(x), 0
        axis, shape = normalize_axis(axis, len(x.shape)), tuple(x.shape)
        if len(counts) == 1:
            total = (*shape[:axis], shape[axis] * counts[0], *shape[axis + 1 :])
            places = tuple(k if k <= axis else k + 1 for k in range(len(shape)))
            return ops.reshape(ops.broadcast_to(x, (*shape[: axis + 1], *counts, *shape[axis + 1 :]), places), total, name=name)
        if len(counts) != shape[axis]:
            raise ShapeError(f"repeats must be one int, or {shape[axis]}, one for each entry of the axis")
        if not sum(counts):
            return ops.slice(x, (0,) * len(shape), tuple(0 if k == axis else d for k, d in enumerate(shape)), name=name)
        return ops.take(x, [i for i, count in enumerate(counts) for _ in range(count)], axis=axis, name=name)


@composite
def meshgrid(ops: Any, *xs: Any, indexing: str = "xy", sparse: bool = False, name: str | None = None) -> tuple[Any, ...]:
    """The coordinates of a grid, from those along each of its axes."""
    arrays = [array(ops, x, f"meshgrid: xs[{i}]") for i, x in enumerate(xs)]
    with completing("meshgrid", **{f"xs[{i}]": x for i, x in enumerate(arrays)}, indexing=indexing, sparse=sparse):
        if indexing not in ("xy", "ij"):
            raise OptionError("indexing must be 'xy' or 'ij'")
        if any(len(x.shape) > 1 for x in arrays):
            raise ShapeError("the coordinates along an axis must be a vector or a number")
        sizes = [size(x.shape) for x in arrays]
        places = list(range(len(arrays)))
        if indexing == "xy" and len(arrays) > 1:
            places[:2] = [1, 0]
        shape = tuple(sizes[places.index(k)] for k in range(len(arrays)))
        grids = []
        for x, place in zip(arrays, places, strict=True):
            if sparse:
                grids.append(ops.reshape(x, tuple(shape[k] if k == place else 1 for k in range(len(shape))), name=name))
            else:
                grids.append(ops.broadcast_to(x, shape, (place,) if len(x.shape) else (), name=name))
        return tuple(grids)


@composite
def unfold(ops: Any, x: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *, name: str | None = None) -> Any:
    """The windows of an image as columns: (*k, C, *spatial) to (*k, C·cells, windows)."""
    x = array(ops, x, "unfold: x")
    with completing("unfold", x=x, kernel=kernel, stride=stride, padding=padding, dilation=dilation):
        cells = tuple(whole("kernel", v) for v in kernel)
        d = len(cells)
        if not 1 <= d < len(x.shape):
            raise ShapeError(f"x must have {d} spatial axes, as the kernel has, and one of channels before them")
        steps, pads, gaps = (per_axis(v, d, what) for v, what in ((stride, "stride"), (padding, "padding"), (dilation, "dilation")))
        lead, channels = tuple(x.shape[: -d - 1]), x.shape[-d - 1]
        outs = tuple(conv_out(n, *rest) for n, *rest in zip(x.shape[-d:], cells, steps, pads, gaps, strict=True))
        if any(pads):
            x = ops.pad(x, ((0, 0),) * (len(lead) + 1) + tuple((p, p) for p in pads))
        if set(gaps) == {1} and x.dtype not in INTEGERS:
            images = ops.reshape(x, (size(lead), channels, *x.shape[-d:]))
            columns = ops._windows(images, kernel=cells, stride=steps, padding=(0,) * d, pad_value=0.0)
        else:
            columns = ops.stack(_cells(ops, x, cells, steps, gaps, outs), len(lead) + 1)
        return ops.reshape(columns, (*lead, channels * size(cells), size(outs)), name=name)


def _cells(ops: Any, x: Any, cells: Shape, steps: Shape, gaps: Shape, outs: Shape) -> list[Any]:
    # For each cell of the kernel what it lies on in every window.
    lead, parts = tuple(x.shape[: -len(cells)]), []
    for number in range(size(cells)):
        first: list[int] = []
        for d, gap in zip(reversed(cells), reversed(gaps), strict=True):
            number, at = divmod(number, d)
            first.insert(0, at * gap)
        last = tuple(a + (n - 1) * s + 1 for a, n, s in zip(first, outs, steps, strict=True))
        parts.append(ops.slice(x, (0,) * len(lead) + tuple(first), lead + last, (1,) * len(lead) + steps))
    return parts
