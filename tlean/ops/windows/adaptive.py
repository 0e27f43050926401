"""Pools to a size: window i of `out` along an axis of n cells is cells floor(i n/out) ... ceil((i + 1) n/out) - 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import Shape
from ..registry import array, composite, whole
from .pools import MOST_CELLS, divided


def _sizes(x: Any, output: Any) -> tuple[Shape, Shape]:
    # Sizes of x and of the result along the spatial axes.
    if hasattr(output, "__index__") or not isinstance(output, Sequence) or not 1 <= len(output) <= 3:
        raise OptionError("size must be a tuple of 1, 2 or 3 ints or Nones, one for each spatial axis")
    d = len(output)
    if len(x.shape) not in (d + 1, d + 2):
        raise ShapeError(f"x must have {d + 1} axes (channels, then {d} spatial), or {d + 2} with a batch axis, to go with a size of {d}")
    own = tuple(x.shape[-d:])
    wanted = tuple(n if o is None else whole("size", o) for o, n in zip(output, own, strict=True))
    if min(wanted) < 1 or min(own) < 1 or max(wanted) > MOST_CELLS:
        raise ShapeError(f"x and size must have at least one cell along each spatial axis, and size at most {MOST_CELLS}")
    return own, wanted


def _runs(n: int, out: int) -> list[range]:
    return [range(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def _apart(ops: Any, x: Any, runs: Sequence[Sequence[range]], beyond: bool) -> tuple[Any, Shape]:
    # x with its windows one after another along each spatial axis, all as long as the longest, and the kernel that covers one of them.
    # What a shorter one lacks is 0 if `beyond`, else its first cell again.
    kernel = []
    for axis, windows in enumerate(runs, len(x.shape) - len(runs)):
        longest = max(map(len, windows))
        n = x.shape[axis]
        kernel.append(longest)
        if sum(map(len, windows)) != n or longest * len(windows) != n:
            places = [w[j] if j < len(w) else n if beyond else w[0] for w in windows for j in range(longest)]
            x = ops.take(x, places, axis, "fill" if beyond else "raise")
    return x, tuple(kernel)


@composite
def adaptive_avg_pool(ops: Any, x: Any, size: Any, *, name: str | None = None) -> Any:
    """Means over as many windows as are asked for."""
    x = array(ops, x, "adaptive_avg_pool: x")
    with completing("adaptive_avg_pool", x=x, size=size):
        runs = [_runs(n, o) for n, o in zip(*_sizes(x, size), strict=True)]
        cells, kernel = _apart(ops, x, runs, True)
        y = ops.apply("avg_pool", (cells,), {"kernel": kernel, "stride": kernel, "padding": (0,) * len(kernel)}, None)
        return divided(ops, y, kernel, [[len(w) for w in windows] for windows in runs], name)


@composite
def adaptive_max_pool(ops: Any, x: Any, size: Any, *, name: str | None = None) -> Any:
    """Maxima over as many windows as are asked for."""
    x = array(ops, x, "adaptive_max_pool: x")
    with completing("adaptive_max_pool", x=x, size=size):
        cells, kernel = _apart(ops, x, [_runs(n, o) for n, o in zip(*_sizes(x, size), strict=True)], False)
        window = {"kernel": kernel, "stride": kernel, "padding": (0,) * len(kernel), "pad_value": -math.inf}
        return ops.apply("max_pool", (cells,), window, name)
