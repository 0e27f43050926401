"""Convolutions and pools."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from .rules import Call, rule
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


#: Slices that windows are made of, at most.
_CELLS = 64


@rule("_windows")
def _windows(w: Writer, c: Call) -> Any:
    o, kernel, shape = c.options, c.options["kernel"], c.shape()
    d, rank = len(kernel), len(shape)
    if math.prod(kernel) > _CELLS or not math.prod(c.out.shape):
        return None
    x, out, axes = c.x[0], c.out.shape[-d:], list(range(rank - d, rank))
    if any(o["padding"]):
        pads = [*[0] * (rank - d), *o["padding"]] * 2
        x = w.op("Pad", x, w.array(pads, "int64"), w.like(o["pad_value"], c.out.dtype))
    cells = []
    for place in itertools.product(*map(range, kernel)):
        stops = [p + (n - 1) * s + 1 for p, n, s in zip(place, out, o["stride"], strict=True)]
        cells.append(w.unsqueeze(w.slice(x, place, stops, axes, o["stride"]), rank - d))
    return w.op("Concat", *cells, axis=rank - d)
