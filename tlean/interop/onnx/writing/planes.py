"""Windows of planes as an axis; convolutions of float64 as products with them, for which onnxruntime has no operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .rules import Call
from .writer import Writer


class Plane:
    """A plane with its padding as one row: where the cells of each window are, (cells of a window, *windows).

    Args:
        sizes: of the plane.
        out: how many windows along each axis.
        o: kernel, stride, padding, and where it has one, dilation.
    """

    def __init__(self, sizes: Sequence[int], out: Sequence[int], o: dict[str, Any]) -> None:
        self.kernel, self.out, self.sizes, self.padding = o["kernel"], tuple(out), tuple(sizes), o["padding"]
        self.padded = tuple(n + 2 * p for n, p in zip(sizes, self.padding, strict=True))
        d = len(self.kernel)
        cells = np.indices(self.kernel).reshape(d, -1, *[1] * d)
        windows = np.indices(self.out).reshape(d, 1, *self.out)
        at = cells * np.reshape(o.get("dilation", (1,) * d), (d, 1, *[1] * d)) + windows * np.reshape(o["stride"], (d, 1, *[1] * d))
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


class _Groups:
    # A convolution as products of matrices, one for each group: weights (groups, made channels of one, channels of one and cells).
    def __init__(self, w: Writer, c: Call, plane: Sequence[int], windows: Sequence[int], weight: Sequence[int]) -> None:
        self.w, self.dtype, d = w, c.out.dtype, len(weight) - 2
        self.groups, self.weight = c.options["groups"], tuple(weight)
        self.cells = math.prod(weight[1:])
        self.rank, self.channels = d, weight[1] * self.groups
        self.images = plane[0] if len(plane) == d + 2 else 1
        self.plane = Plane(plane[-d:], windows[-d:], {**c.options, "kernel": tuple(weight[2:])})
        self.places = math.prod(self.plane.out)

    def windows(self, x: str) -> str:
        """What the windows hold: (images, groups, channels and cells, windows)."""
        lead = self.images, self.channels
        spread = self.plane.spread(self.w, self.w.reshape(x, (*lead, *self.plane.sizes)), lead, self.w.like(0, self.dtype))
        return self.w.reshape(spread, (self.images, self.groups, self.cells, self.places))

    def made(self, y: str) -> str:
        """What windows are made into: (images, groups, made channels, windows)."""
        return self.w.reshape(y, (self.images, self.groups, self.weight[0] // self.groups, self.places))

    def weights(self, x: str) -> str:
        """The weights as matrices."""
        return self.w.reshape(x, (self.groups, self.weight[0] // self.groups, self.cells))


def _turned(w: Writer, x: str, rank: int) -> str:
    return str(w.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2]))


def _biased(w: Writer, c: Call, y: str, bias: str, rank: int) -> str:
    y = w.reshape(y, c.out.shape)
    return str(w.op("Add", y, w.reshape(bias, (-1, *[1] * rank)))) if bias else y


def convolved(w: Writer, c: Call) -> Any:
    """A convolution of inputs weight, bias, x."""
    g = _Groups(w, c, c.shape(2), c.out.shape, c.shape(0))
    return _biased(w, c, w.op("MatMul", g.weights(c.x[0]), g.windows(c.x[2])), c.x[1], g.rank)


def convolved_back(w: Writer, c: Call, x: str, shape: Sequence[int], bias: str = "") -> Any:
    """The transpose of the convolution with a call's first input, of x."""
    g = _Groups(w, c, c.out.shape, shape, c.shape(0))
    spread = w.op("MatMul", _turned(w, g.weights(c.x[0]), 3), g.made(x))
    return _biased(w, c, g.plane.gathered(w, spread, (g.images, g.channels), g.dtype), bias, g.rank)


def slope_of_weights(w: Writer, c: Call) -> Any:
    """The gradient of a convolution by its weights, of inputs g, x."""
    g = _Groups(w, c, c.shape(1), c.shape(), c.out.shape)
    each = w.op("MatMul", g.made(c.x[0]), _turned(w, g.windows(c.x[1]), 4))
    return w.reshape(w.reduce("ReduceSum", each, (0,), False), c.out.shape)
