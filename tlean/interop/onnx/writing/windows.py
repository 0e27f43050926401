"""Convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .rules import KEEPS, Call, rule
from .writer import Writer


def _batched(w: Writer, x: str, rank: int, spatial: int, write: Callable[[str], Any]) -> Any:
    # ONNX's windows need a batch axis.
    if rank == spatial + 2:
        return write(x)
    return w.squeeze(write(w.unsqueeze(x, 0)), 0)


@rule("conv", "conv2d", direct=True)
def _conv(w: Writer, c: Call) -> Any:
    o, kernel = c.options, c.shape(0)[2:]

    def write(x: str) -> Any:
        return w.op(
            "Conv", x, c.x[0], c.x[1], kernel_shape=list(kernel), strides=list(o["stride"]), pads=list(o["padding"]) * 2,
            dilations=list(o["dilation"]), group=o["groups"],
        )  # fmt: skip

    return _batched(w, c.x[2], len(c.shape(2)), len(kernel), write)


@rule("conv_transpose", "conv_transpose2d")
def _conv_transpose(w: Writer, c: Call) -> Any:
    o, kernel, d = c.options, c.shape(0)[2:], len(c.shape(0)) - 2
    extra, pads = o["output_padding"], o["padding"]
    # More cells at the end are fewer that are cut off there; beyond those, zeros.
    ends = [max(p - e, 0) for p, e in zip(pads, extra, strict=True)]
    beyond = [max(e - p, 0) for p, e in zip(pads, extra, strict=True)]

    def write(x: str) -> Any:
        bias = "" if any(beyond) else c.x[1]
        y = w.op(
            "ConvTranspose", x, c.x[0], bias, kernel_shape=list(kernel), strides=list(o["stride"]), pads=[*pads, *ends],
            dilations=list(o["dilation"]), group=o["groups"],
        )  # fmt: skip
        if any(beyond):
            y = w.op("Pad", y, w.array([0] * (d + 4) + beyond, "int64"), w.like(0, c.out.dtype))
            y = w.op("Add", y, w.reshape(c.x[1], (-1, *[1] * d))) if c.x[1] else y
        return y

    return _batched(w, c.x[2], len(c.shape(2)), len(kernel), write)


@rule("max_pool", "max_pool2d", "max_pool2d_pad", "avg_pool", "avg_pool2d", "avg_pool2d_pad", direct=True)
def _pool(w: Writer, c: Call) -> Any:
    o = c.options
    kernel, padding = o["kernel"], o.get("padding", (0,) * len(o["kernel"]))
    widest = c.record.name.startswith("max")
    if any(padding) and o.get("pad_value", -math.inf) != -math.inf:
        return None
    more = {} if widest else {"count_include_pad": 1}

    def write(x: str) -> Any:
        kind = "MaxPool" if widest else "AveragePool"
        return w.op(kind, x, kernel_shape=list(kernel), strides=list(o["stride"]), pads=list(padding) * 2, **more)

    return _batched(w, c.x[0], len(c.shape()), len(kernel), write)


# Windows as an axis, and their transposes ---------------------------------------------------------------------------------


class _Plane:
    # A plane with its padding as one row: where the cells of each window are, (cells of a window, *windows).
    def __init__(self, sizes: Sequence[int], out: Sequence[int], o: dict[str, Any]) -> None:
        self.kernel, self.out, self.sizes, self.padding = o["kernel"], tuple(out), tuple(sizes), o["padding"]
        self.padded = tuple(n + 2 * p for n, p in zip(sizes, self.padding, strict=True))
        d = len(self.kernel)
        cells = np.indices(self.kernel).reshape(d, -1, *[1] * d)
        windows = np.indices(self.out).reshape(d, 1, *self.out)
        at = cells + windows * np.reshape(o["stride"], (d, 1, *[1] * d))
        self.places = np.ravel_multi_index(tuple(at), self.padded)
        ends = np.reshape(self.padding, (d, 1, *[1] * d))
        self.inside = ((at >= ends) & (at < ends + np.reshape(sizes, (d, 1, *[1] * d)))).all(0)

    def spread(self, w: Writer, x: str, lead: Sequence[int], pad: str) -> str:
        """Every window along an axis after the leading ones."""
        if any(self.padding):
            x = w.op("Pad", x, w.array([*[0] * len(lead), *self.padding] * 2, "int64"), pad)
        x = w.reshape(x, (*lead, math.prod(self.padded)))
        return str(w.op("Gather", x, w.array(self.places, "int64"), axis=len(lead)))

    def gathered(self, w: Writer, g: str, lead: Sequence[int], dtype: str) -> str:
        """The sum of each cell's copies in the windows."""
        rows, cells = math.prod(lead), self.places.size
        g = w.op("Transpose", w.reshape(g, (rows, cells)), perm=[1, 0])
        zeros = w.op("Expand", w.like(0, dtype), w.ints(math.prod(self.padded), rows))
        y = w.op("ScatterND", zeros, w.array(self.places.reshape(-1, 1), "int64"), g, reduction="add")
        y = w.reshape(w.op("Transpose", y, perm=[1, 0]), (*lead, *self.padded))
        if not any(self.padding):
            return y
        axes = list(range(len(lead), len(lead) + len(self.padded)))
        return w.slice(y, self.padding, [p + n for p, n in zip(self.padding, self.sizes, strict=True)], axes)

    def winners(self, w: Writer, x: str, lead: Sequence[int], pad_value: float, dtype: str) -> str:
        """Which cell of each window of x is its maximum, the first one or the first NaN; a padded cell of −∞ never is."""
        each, axis = self.spread(w, x, lead, w.like(pad_value, dtype)), len(lead)
        rank = w.cast(w.op("Equal", each, w.reduce("ReduceMax", each, (axis,), True)), "int32")
        rank = w.op("Where", w.op("IsNaN", each), w.like(2, "int32"), rank)
        if any(self.padding) and pad_value == -math.inf:
            rank = w.op("Where", w.array(self.inside), rank, w.like(-1, "int32"))
        first = w.op("ArgMax", rank, axis=axis, keepdims=1)
        numbers = np.arange(math.prod(self.kernel)).reshape(-1, *[1] * len(self.kernel))
        return str(w.op("Equal", first, w.array(numbers, "int64")))


def _plane(c: Call, sizes: Sequence[int], out: Sequence[int]) -> tuple[_Plane, tuple[int, ...]] | None:
    # The plane of a call, and the axes before it; None where there is nothing in it.
    d = len(c.options["kernel"])
    if not math.prod(c.out.shape) or not math.prod(c.shape()):
        return None
    return _Plane(sizes[-d:], out[-d:], c.options), c.out.shape[: len(c.shape()) - d]


@rule("_windows")
def _windows(w: Writer, c: Call) -> Any:
    found = _plane(c, c.shape(), c.out.shape)
    return (
        w.filled(c.out, c.options["pad_value"])
        if found is None
        else found[0].spread(w, c.x[0], found[1], w.like(c.options["pad_value"], c.out.dtype))
    )


@rule("_windows_adjoint")
def _windows_adjoint(w: Writer, c: Call) -> Any:
    found = _plane(c, c.options["in_sizes"], c.shape())
    return w.filled(c.out) if found is None else found[0].gathered(w, c.x[0], found[1][:-1], c.out.dtype)


@rule("_avg_pool_grad")
def _avg_pool_grad(w: Writer, c: Call) -> Any:
    found = _plane(c, c.options["in_sizes"], c.shape())
    if found is None:
        return w.filled(c.out)
    (plane, lead), cells = found, math.prod(c.options["kernel"])
    g = w.unsqueeze(w.op("Mul", c.x[0], w.like(1 / cells, c.out.dtype)), len(lead))
    return plane.gathered(w, w.op("Expand", g, w.ints(*lead, cells, *plane.out)), lead, c.out.dtype)


def _winning_cells(w: Writer, c: Call) -> str:
    # The place in the plane of each window's maximum; -1 in the padding.
    window = {"padding": (0,) * len(c.options["kernel"]), "pad_value": -math.inf, **c.options}
    d = len(window["kernel"])
    if not c.out.size:
        return str(w.op("Expand", w.like(0, "int32"), w.ints(*c.out.shape)))
    plane, lead = _Plane(c.shape()[-d:], c.out.shape[-d:], window), c.shape()[:-d]
    won = plane.winners(w, c.x[0], lead, window["pad_value"], c.dtype)
    numbers = np.pad(np.arange(math.prod(plane.sizes)).reshape(plane.sizes), [(p, p) for p in plane.padding], constant_values=-1)
    cells = w.op("Where", won, w.array(numbers.reshape(-1)[plane.places], "int32"), w.like(-1, "int32"))
    return w.reduce("ReduceMax", cells, (len(lead),), False)


KEEPS.update(dict.fromkeys(("max_pool", "max_pool2d", "max_pool2d_pad"), _winning_cells))


@rule("_max_pool_grad")
def _max_pool_grad(w: Writer, c: Call) -> Any:
    found = _plane(c, c.shape(1), c.shape())
    if found is None:
        return w.filled(c.out)
    plane, lead = found
    won = plane.winners(w, c.x[1], lead, c.options["pad_value"], c.out.dtype)
    g = w.op("Where", won, w.unsqueeze(c.x[0], len(lead)), w.like(0, c.out.dtype))
    return plane.gathered(w, g, lead, c.out.dtype)


@rule("_max_pool_gather")
def _max_pool_gather(w: Writer, c: Call) -> Any:
    found = _plane(c, c.shape(1), c.out.shape)
    if found is None:
        return w.filled(c.out)
    plane, lead = found
    zero = w.like(0, c.out.dtype)
    won = plane.winners(w, c.x[1], lead, c.options["pad_value"], c.out.dtype)
    return w.reduce("ReduceSum", w.op("Where", won, plane.spread(w, c.x[0], lead, zero), zero), (len(lead),), False)
