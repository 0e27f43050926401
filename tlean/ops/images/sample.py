"""Images read at any points: the values of the cells around each point, weighted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...arguments import truth
from ...errors import OptionError, ShapeError, completing
from ...shapes import as_shape, stretching
from ...shapes import size as size_of
from ..registry import array, composite
from ..windows.pools import MOST_CELLS, constant

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")
#: Of the cubic convolution (Keys 1981).
_A = -0.75


def _reflected(ops: Any, u: Any, low: float, span: float) -> Any:
    # u mirrored at low and low + span until it lies between them.
    if span <= 0:
        return ops.scale(u, 0.0)
    away = ops.abs(ops.shift(u, -low))
    turns = ops.detach(ops.floor(ops.scale(away, 1.0 / span)))
    odd = ops.sub(turns, ops.scale(ops.floor(ops.scale(turns, 0.5)), 2.0))
    rest = ops.sub(away, ops.scale(turns, span))
    # rest where the number of turns is even, span - rest where it is odd.
    return ops.shift(ops.add(rest, ops.mul(odd, ops.shift(ops.scale(rest, -2.0), span))), low)


def _inside(ops: Any, u: Any, n: int, padding: str, align: bool) -> Any:
    # Points brought into an axis of n cells.
    if padding == "zeros":
        return u
    if padding == "reflection":
        u = _reflected(ops, u, 0.0, n - 1.0) if align else _reflected(ops, u, -0.5, float(n))
    return ops.clamp(u, 0.0, n - 1.0)


def _linear(ops: Any, u: Any) -> list[tuple[Any, Any]]:
    low = ops.floor(u)
    part = ops.sub(u, low)
    return [(low, ops.shift(ops.neg(part), 1.0)), (ops.shift(low, 1.0), part)]


def _cubic(ops: Any, u: Any) -> list[tuple[Any, Any]]:
    low = ops.floor(u)
    t = ops.sub(u, low)

    def near(v: Any) -> Any:
        return ops.shift(ops.mul(ops.shift(ops.scale(v, _A + 2.0), -_A - 3.0), ops.square(v)), 1.0)

    def far(v: Any) -> Any:
        return ops.shift(ops.mul(ops.shift(ops.mul(ops.shift(ops.scale(v, _A), -5.0 * _A), v), 8.0 * _A), v), -4.0 * _A)

    rest = ops.shift(ops.neg(t), 1.0)
    weights = far(ops.shift(t, 1.0)), near(t), near(rest), far(ops.shift(rest, 1.0))
    return [(ops.shift(low, k - 1.0), w) for k, w in enumerate(weights)]


def _taps(ops: Any, u: Any, n: int, mode: str, padding: str, align: bool) -> list[tuple[Any, Any]]:
    # Along one axis: the cells that points read, int64, -1 for none, each with its weight; None for 1.
    if mode == "bicubic":
        # The cells are brought inside, not the points.
        pairs = [(_inside(ops, cell, n, padding, align), w) for cell, w in _cubic(ops, u)]
    else:
        u = _inside(ops, u, n, padding, align)
        pairs = [(ops.round(u), None)] if mode == "nearest" else _linear(ops, u)
    return [(ops.astype(ops.detach(ops.clamp(cell, -1.0, float(n))), "int64"), w) for cell, w in pairs]


def _flat(ops: Any, cells: Sequence[Any], sizes: Sequence[int]) -> Any:
    # Numbers of cells in a plane, -1 where one lies outside along some axis.
    flat = outside = None
    for cell, n in zip(cells, sizes, strict=True):
        far = ops.logical_or(ops.less(cell, 0), ops.greater(cell, n - 1))
        flat = cell if flat is None else ops.add(ops.mul(flat, n), cell)
        outside = far if outside is None else ops.logical_or(outside, far)
    return ops.where(outside, -1, flat)


@composite
@stretching
def grid_sample(
    ops: Any,
    x: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
    *,
    name: str | None = None,
) -> Any:
    """x at the points of a grid, whose coordinates are -1 and 1 at the ends of an axis, the last axis of x first."""
    x, grid = array(ops, x, "grid_sample: x"), array(ops, grid, "grid_sample: grid")
    with completing("grid_sample", x=x, grid=grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners):
        d = len(x.shape) - 2
        if mode not in _MODES or padding_mode not in _PADDINGS:
            raise OptionError(f"mode must be one of {', '.join(_MODES)}, and padding_mode one of {', '.join(_PADDINGS)}")
        if d not in (2, 3) or len(grid.shape) != d + 2 or grid.shape[-1] != d or grid.shape[0] != x.shape[0]:
            raise ShapeError("x must have the shape (N, C, *in) with 2 or 3 spatial axes, and grid (N, *out, 2 or 3)")
        if mode == "bicubic" and d != 2:
            raise ShapeError("x must have 2 spatial axes for mode bicubic")
        sizes, channels = tuple(x.shape[2:]), x.shape[1]
        if min(sizes) < 1:
            raise ShapeError("x must have at least one cell along each spatial axis")
        batch, out = x.shape[0], tuple(grid.shape[1:-1])
        points = ops.reshape(grid, (batch, size_of(out), d))
        axes, align = [], align_corners is not None and truth("align_corners", align_corners)
        for a, n in enumerate(sizes):
            u = ops.reshape(ops.slice(points, (0, 0, d - 1 - a), (batch, size_of(out), d - a)), (batch, size_of(out)))
            u = ops.scale(ops.shift(u, 1.0), (n - 1) / 2) if align else ops.scale(ops.shift(ops.scale(ops.shift(u, 1.0), n), -1.0), 0.5)
            axes.append(_taps(ops, u, n, mode, padding_mode, align))
        cells = ops.reshape(x, (batch, channels, size_of(sizes)))
        total = None
        for taps in itertools.product(*axes):
            places = ops.reshape(_flat(ops, [cell for cell, _ in taps], sizes), (batch, 1, size_of(out)))
            part = ops.take_along_axis(cells, places, -1, "drop")
            weight = None
            for w in (w for _, w in taps if w is not None):
                weight = w if weight is None else ops.mul(weight, w)
            if weight is not None:
                part = ops.mul(part, ops.broadcast_to(weight, tuple(part.shape), axis_map=(0, 2)))
            total = part if total is None else ops.add(total, part)
        return ops.reshape(total, (batch, channels, *out), name=name)


def _places(n: int, align: bool) -> list[float]:
    # The coordinates of n cells.
    if align:
        return [i * (2.0 / (n - 1)) - 1.0 for i in range(n)] if n > 1 else [0.0]
    return [(i + 0.5) * (2.0 / n) - 1.0 for i in range(n)]


@composite
def affine_grid(ops: Any, theta: Any, size: Any, align_corners: bool = False, *, name: str | None = None) -> Any:
    """The points of `grid_sample` at which an image that is mapped by theta is read."""
    theta = array(ops, theta, "affine_grid: theta")
    with completing("affine_grid", theta=theta, size=size, align_corners=align_corners):
        whole = as_shape(size)
        d = len(whole) - 2
        if d not in (2, 3) or tuple(theta.shape) != (whole[0], d, d + 1):
            raise ShapeError("theta must have the shape (N, 2, 3) for a size (N, C, H, W), or (N, 3, 4) for one with three spatial axes")
        sizes = whole[2:]
        if max(sizes) > MOST_CELLS:
            raise ShapeError(f"size must be at most {MOST_CELLS} along each spatial axis")
        if min(size_of(sizes), whole[0]) == 0:
            return ops.apply("_full", (), {"shape": (whole[0], *sizes, d), "value": 0, "dtype": theta.dtype}, name)
        axes = [
            ops.broadcast_to(
                constant(ops, _places(n, align_corners is not None and truth("align_corners", align_corners)), theta), sizes, axis_map=(k,)
            )
            for k, n in enumerate(sizes)
        ]
        columns = [ops.reshape(c, (size_of(sizes),)) for c in reversed(axes)]
        columns.append(ops.apply("_full", (), {"shape": (size_of(sizes),), "value": 1, "dtype": columns[0].dtype}))
        base = ops.broadcast_to(ops.stack(columns, 1), (whole[0], size_of(sizes), d + 1))
        y = ops.matmul(base, theta, transpose_a=False, transpose_b=True)
        return ops.reshape(y, (whole[0], *sizes, d), name=name)
