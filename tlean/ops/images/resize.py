"""Resizing, one spatial axis after another: each cell of the result is a weighted sum of a few cells of x along the axis.

Where a cell comes from: with `align_corners` the first and last cells of both stay in place, else cells are little squares and it is the
corners of the images that do. A scale factor that is given is taken as it is, though the size that it leads to is rounded.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from ...arguments import truth
from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape, per_axis
from ..losses.reductions import number
from ..registry import array, composite
from ..windows.pools import MOST_CELLS, constant

#: Modes with the numbers of spatial axes that they take.
_AXES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "area": (1, 2, 3),
}
#: Of the cubic convolution (Keys 1981).
_A = -0.75

#: For each cell that is read, its place and its weight, for each cell of the result.
_Taps = list[tuple[list[int], list[float]]]


def _scales(x: Any, size: Any, scale_factor: Any, recompute: bool) -> tuple[Shape, list[float | None]]:
    # Sizes of the result, and the factor along each axis if it is to be used.
    given = scale_factor if size is None else size
    if (size is None) == (scale_factor is None):
        raise OptionError("size or scale_factor must be given, and not both")
    d = len(given) if isinstance(given, Sequence) else len(x.shape) - 2
    if not 1 <= d <= 3 or len(x.shape) not in (d + 1, d + 2):
        raise ShapeError(
            "x must have the shape (N, C, *in) with 1, 2 or 3 spatial axes; without N, one number must be given for each of them"
        )
    sizes = tuple(x.shape[-d:])
    factors: list[float | None] = [None] * d
    if size is None:
        factors = [number("scale_factor", f, 0.0) for f in (given if isinstance(given, Sequence) else [given] * d)]
        out = tuple(math.floor(n * f) for n, f in zip(sizes, factors, strict=True))  # type: ignore[operator]
    else:
        out = per_axis(size, d, "size")
    if min(sizes) < 1 or min(out) < 1 or max(out) > MOST_CELLS:
        raise ShapeError(f"x and the result must have at least one cell along each spatial axis, and the result at most {MOST_CELLS}")
    return out, [None] * d if recompute else factors


def _source(n: int, out: int, factor: float | None, align: bool) -> list[float]:
    # Where each cell of the result lies along an axis of n cells.
    if align:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
        return [step * i for i in range(out)]
    step = 1.0 / factor if factor else n / out
    return [step * (i + 0.5) - 0.5 for i in range(out)]


def _single(value: float) -> float:
    # Rounded to float32.
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _nearest(n: int, out: int, factor: float | None, exact: bool) -> _Taps:
    # PyTorch rounds the place to float32, which decides where a point falls between two cells.
    if exact:
        places = [max(u, 0.0) + 0.5 for u in _source(n, out, factor, False)]
    else:
        places = [(1.0 / factor if factor else n / out) * i for i in range(out)]
    return [([min(math.floor(_single(u)), n - 1) for u in places], [1.0] * out)]


def _linear(n: int, out: int, factor: float | None, align: bool) -> _Taps:
    places = [max(u, 0.0) for u in _source(n, out, factor, align)]
    low = [min(math.floor(u), n - 1) for u in places]
    part = [min(max(u - i, 0.0), 1.0) for u, i in zip(places, low, strict=True)]
    return [(low, [1.0 - t for t in part]), ([min(i + 1, n - 1) for i in low], part)]


def cubic(t: float) -> tuple[float, float, float, float]:
    """The weights of four neighbouring cells for a point that lies t behind the second."""

    def near(u: float) -> float:
        return ((_A + 2.0) * u - (_A + 3.0)) * u * u + 1.0

    def far(u: float) -> float:
        return ((_A * u - 5.0 * _A) * u + 8.0 * _A) * u - 4.0 * _A

    return far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)


def _cubic(n: int, out: int, factor: float | None, align: bool) -> _Taps:
    places = _source(n, out, factor, align)
    low = [math.floor(u) for u in places]
    weights = [cubic(u - i) for u, i in zip(places, low, strict=True)]
    return [([min(max(i - 1 + k, 0), n - 1) for i in low], [w[k] for w in weights]) for k in range(4)]


def _along(ops: Any, x: Any, axis: int, taps: _Taps) -> Any:
    # The weighted sum of what the taps read along an axis.
    same = list(range(x.shape[axis]))
    taps = [(places, weights) for places, weights in taps if any(weights)]
    total = None
    for places, weights in taps:
        part = x if places == same else ops.take(x, places, axis)
        if any(w != 1.0 for w in weights):
            part = ops.mul(part, ops.broadcast_to(constant(ops, weights, x), tuple(part.shape), axis_map=(axis,)))
        total = part if total is None else ops.add(total, part)
    return total


@composite
def interpolate(
    ops: Any,
    x: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: bool = False,
    antialias: bool = False,
    *,
    name: str | None = None,
) -> Any:
    """x resized along its spatial axes."""
    x = array(ops, x, "interpolate: x")
    given = {"size": size, "scale_factor": scale_factor, "mode": mode, "align_corners": align_corners, "antialias": antialias}
    with completing("interpolate", x=x, **given):
        if not isinstance(mode, str) or mode not in _AXES:
            raise OptionError(f"mode must be one of {', '.join(_AXES)}")
        if antialias:
            raise OptionError("antialias must be False: resizing with a wider kernel is not offered")
        smooth = mode not in ("nearest", "nearest-exact", "area")
        if align_corners is not None and not smooth:
            raise OptionError("align_corners must be left out with modes nearest, nearest-exact and area")
        out, factors = _scales(
            x, size, scale_factor, recompute_scale_factor is not None and truth("recompute_scale_factor", recompute_scale_factor)
        )
        d, align = len(out), align_corners is not None and truth("align_corners", align_corners)
        if d not in _AXES[mode]:
            raise ShapeError(f"x must have {' or '.join(map(str, _AXES[mode]))} spatial axes for mode {mode}, not {d}")
        if mode == "area":
            return ops.adaptive_avg_pool(x, out, name=name)
        y = x
        for axis, (o, factor) in enumerate(zip(out, factors, strict=True), len(x.shape) - d):
            n = x.shape[axis]
            if mode in ("nearest", "nearest-exact"):
                taps = _nearest(n, o, factor, mode == "nearest-exact")
            else:
                taps = (_cubic if mode == "bicubic" else _linear)(n, o, factor, align)
            y = _along(ops, y, axis, taps)
        return ops.reshape(y, tuple(y.shape), name=name) if y is x or name is not None else y
