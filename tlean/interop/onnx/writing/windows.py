"""Convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .planes import Plane, convolved, convolved_back
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
    if c.out.dtype == "float64":
        return convolved(w, c) if c.out.size else w.filled(c.out)

    def write(x: str) -> Any:
        return w.op(
            "Conv", x, c.x[0], c.x[1], kernel_shape=list(kernel), strides=list(o["stride"]), pads=list(o["padding"]) * 2,
            dilations=list(o["dilation"]), group=o["groups"],
        )  # fmt: skip

    return _batched(w, c.x[2], len(c.shape(2)), len(kernel), write)


@rule("conv_transpose", "conv_transpose2d")
def _conv_transpose(w: Writer, c: Call) -> Any:
    o, kernel, d = c.options, c.shape(0)[2:], len(c.shape(0)) - 2
    if c.out.dtype == "float64":
        return convolved_back(w, c, c.x[2], c.shape(2), c.x[1]) if c.out.size else w.filled(c.out)
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
    if (any(padding) and o.get("pad_value", -math.inf) != -math.inf) or (c.dtype == "float64" and not widest):
        return None
    more = {} if widest else {"count_include_pad": 1}

    def write(x: str) -> Any:
        kind = "MaxPool" if widest else "AveragePool"
        return w.op(kind, x, kernel_shape=list(kernel), strides=list(o["stride"]), pads=list(padding) * 2, **more)

    return _batched(w, c.x[0], len(c.shape()), len(kernel), write)


# Windows as an axis, and their transposes ---------------------------------------------------------------------------------


def _plane(c: Call, sizes: Sequence[int], out: Sequence[int]) -> tuple[Plane, tuple[int, ...]] | None:
    # The plane of a call, and the axes before it; None where there is nothing in it.
    d = len(c.options["kernel"])
    if not math.prod(c.out.shape) or not math.prod(c.shape()):
        return None
    return Plane(sizes[-d:], out[-d:], c.options), c.out.shape[: len(c.shape()) - d]


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
    plane, lead = Plane(c.shape()[-d:], c.out.shape[-d:], window), c.shape()[:-d]
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
