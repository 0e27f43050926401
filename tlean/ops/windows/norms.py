"""Norms over windows."""

from __future__ import annotations

import math
from typing import Any

from ...errors import OptionError, completing
from ...shapes import stretching
from ..elementwise import number
from ..registry import array, composite


@composite
@stretching
def lp_pool(ops: Any, x: Any, p: float, kernel: Any, stride: Any = None, ceil_mode: bool = False, *, name: str | None = None) -> Any:
    """The p-norm over a window."""
    x = array(ops, x, "lp_pool: x")
    with completing("lp_pool", x=x, p=p):
        order = number(p, "p")
        if not order > 0:
            raise OptionError("p must be above 0")
    sizes = ops.abs(x)
    if math.isinf(order):
        return ops.max_pool(sizes, kernel, stride, ceil_mode=ceil_mode, name=name)

    def summed(y: Any, label: str | None = None) -> Any:
        return ops.avg_pool(y, kernel, stride, 0, ceil_mode, True, 1, name=label)

    if order == 1:
        return summed(sizes, name)
    if order == 2:
        return ops.sqrt(summed(ops.square(sizes)), name=name)
    # A power has no derivative at 0: what is 0 takes no part in any.
    nothing = ops.equal(sizes, 0.0)
    total = summed(ops.where(nothing, 0.0, ops.pow(ops.where(nothing, 1.0, sizes), order)))
    zero = ops.equal(total, 0.0)
    return ops.where(zero, 0.0, ops.pow(ops.where(zero, 1.0, total), 1.0 / order), name=name)
