"""`cubic_spline`: a smooth curve through points."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import tlean.functions as F

from .._core.array import as_tensor
from ..arguments import is_reference
from ..errors import OptionError, ShapeError
from ..loops import scan

ENDS = ("not-a-knot", "natural")


def cubic_spline(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, *, bc_type: Literal["not-a-knot", "natural"] = "not-a-knot"
) -> Any:
    """The value at x of the cubic spline through points, as SciPy's `CubicSpline`; `tl.interp` takes straight lines.

    Args:
        x: where; any shape.
        xp: `(n,)`, the positions of the points, increasing, which is not checked.
        fp: `(n,)`, their values.
        left, right: the values before the first point and behind the last. None: those of the outermost pieces.
        bc_type: the two outermost pieces on either side are one ("not-a-knot"), or second derivatives are 0 at the ends ("natural").

    Its gradient goes to x, xp, fp, `left` and `right`; at a point itself the piece behind it counts, at the last point the one before.

    Returns: as x.
    Raises: OptionError for another bc_type; ShapeError unless xp and fp are vectors of one length, at least 2.

    Example:
        >>> tl.cubic_spline(1.5, [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 8.0, 27.0]).item()
        3.375
    """
    if not isinstance(bc_type, str) or bc_type not in ENDS:
        raise OptionError(f"cubic_spline: bc_type must be one of {', '.join(ENDS)}, got {bc_type!r}")
    x, xp, fp = (v if is_reference(v) or isinstance(v, np.ndarray) else as_tensor(v) for v in (x, xp, fp))
    if len(xp.shape) != 1 or tuple(xp.shape) != tuple(fp.shape) or xp.shape[0] < 2:
        raise ShapeError(f"cubic_spline: xp and fp must be vectors of one length, at least 2, got {tuple(xp.shape)} and {tuple(fp.shape)}")
    n = int(xp.shape[0])
    steps = xp[1:] - xp[:-1]
    slopes = (fp[1:] - fp[:-1]) / steps
    piece = F.clamp(F.searchsorted(xp, x, side="right") - 1, 0, n - 2)
    at, slope, step = x - F.take(xp, piece), F.take(slopes, piece), F.take(steps, piece)
    rates = _rates(bc_type, steps, slopes)
    rate, following = F.take(rates, piece), F.take(rates, piece + 1)
    bend = (rate + following - 2.0 * slope) / step
    value = F.take(fp, piece) + at * (rate + at * ((slope - rate) / step - bend + at * bend / step))
    if left is not None:
        value = F.where(F.less(x, xp[0]), left, value)
    return value if right is None else F.where(F.greater(x, xp[n - 1]), right, value)


def _rates(bc_type: str, steps: Any, slopes: Any) -> Any:
    # The first derivatives of a spline at its points. Each row of their tridiagonal system makes one second derivative continuous.
    h, m, last = steps, slopes, int(steps.shape[0]) - 1
    if last == 0:
        return F.concat([m, m])
    if bc_type == "natural":
        ends = ((2.0, 1.0, 3.0 * m[0]), (1.0, 2.0, 3.0 * m[last]))
    elif last == 1:
        bend = (m[1] - m[0]) / (h[0] + h[1])
        return F.stack([m[0] - bend * h[0], m[0] + bend * h[0], m[1] + bend * h[1]])
    else:
        start, end = h[0] + h[1], h[last - 1] + h[last]
        ends = (
            (h[1], start, ((h[0] + 2.0 * start) * h[1] * m[0] + h[0] * h[0] * m[1]) / start),
            (end, h[last - 1], (h[last] * h[last] * m[last - 1] + (2.0 * end + h[last]) * h[last - 1] * m[last]) / end),
        )
    (diagonal, above, right), (below_end, diagonal_end, right_end) = ends
    zero = 0.0 * m[:1]
    below = F.concat([zero, h[1:], zero + below_end])
    middle = F.concat([zero + diagonal, 2.0 * (h[:-1] + h[1:]), zero + diagonal_end])
    behind = F.concat([zero + above, h[:-1], zero])
    known = F.concat([zero + right, 3.0 * (h[1:] * m[:-1] + h[:-1] * m[1:]), zero + right_end])
    return tridiagonal(below, middle, behind, known)


def tridiagonal(below: Any, diagonal: Any, above: Any, b: Any) -> Any:
    """The solution of a tridiagonal system by elimination without pivots, which dominant diagonals do not need.

    Args:
        below: `(n,)`, left of the diagonal; the first is not used.
        diagonal: `(n,)`.
        above: `(n,)`, right of the diagonal; the last is not used.
        b: `(n,)`, the right-hand side.
    """

    def forward(carry: Any, row: Any) -> Any:
        ratio, value = carry
        low, middle, high, right = row
        pivot = middle - low * ratio
        made = (high / pivot, (right - low * value) / pivot)
        return made, made

    def back(following: Any, row: Any) -> Any:
        ratio, value = row
        found = value - ratio * following
        return found, found

    zero = 0.0 * b[0]
    _, rows = scan(forward, (zero, zero), (below, diagonal, above, b))
    return scan(back, zero, rows, reverse=True)[1]
