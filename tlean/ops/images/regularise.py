"""What keeps networks from growing or from learning by heart: responses normalised by their neighbours, and further kinds of dropout."""

from __future__ import annotations

import math
from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import size as count
from ..losses.reductions import number
from ..registry import array, composite, whole

#: −λα of the self-normalising activation (Klambauer et al. 2017), what a dropped element becomes.
_LOW = -1.7580993408473766


@composite
def local_response_norm(
    ops: Any, x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, *, name: str | None = None
) -> Any:
    """x over a power of the mean of squares of neighbouring channels."""
    x = array(ops, x, "local_response_norm: x")
    with completing("local_response_norm", x=x, size=size, alpha=alpha, beta=beta, k=k):
        n = whole("size", size)
        if n < 1:
            raise OptionError("size must be at least 1")
        if len(x.shape) < 2 or x.shape[1] < 1:
            raise ShapeError("x must have the shape (N, C, ...)")
        shape = tuple(x.shape)
        lines = ops.reshape(ops.square(x), (shape[0], 1, shape[1], count(shape[2:])))
        lines = ops.pad(lines, ((0, 0), (0, 0), (n // 2, (n - 1) // 2), (0, 0)))
        mean = ops.reshape(ops.avg_pool(lines, (n, 1), 1), shape) if count(shape) else x
        scale = ops.shift(ops.scale(mean, number("alpha", alpha)), number("k", k))
        return ops.div(x, ops.pow(scale, number("beta", beta)), name=name)


def _kept(p: Any) -> float:
    value = number("p", p, 0.0)
    if value >= 1.0:
        raise OptionError("p must be in [0, 1)")
    return 1.0 - value


@composite
def alpha_dropout(ops: Any, x: Any, p: float = 0.5, seed: Any = None, train: bool = True, *, name: str | None = None) -> Any:
    """Dropout to a low value, which keeps the mean 0 and the variance 1."""
    x = array(ops, x, "alpha_dropout: x")
    with completing("alpha_dropout", x=x, p=p, train=train):
        keep = _kept(p)
        if not train or keep == 1.0:
            return ops.scale(x, 1.0, name=name)
        a = 1.0 / math.sqrt(keep * (1.0 + (1.0 - keep) * _LOW * _LOW))
        mask = ops.bernoulli_mask(ops.const(keep), tuple(x.shape), seed)
        # a·x + b where it is kept, a·low + b where not; b makes the mean 0.
        low = ops.scale(ops.shift(ops.neg(mask), keep), a * _LOW)
        return ops.add(ops.mul(ops.scale(x, a), mask), low, name=name)


@composite
def feature_dropout(ops: Any, x: Any, p: float = 0.5, seed: Any = None, train: bool = True, *, name: str | None = None) -> Any:
    """Dropout of whole channels."""
    x = array(ops, x, "feature_dropout: x")
    with completing("feature_dropout", x=x, p=p, train=train):
        keep = _kept(p)
        if len(x.shape) < 2:
            raise ShapeError("x must have the shape (N, C, ...)")
        if not train or keep == 1.0:
            return ops.scale(x, 1.0, name=name)
        mask = ops.scale(ops.bernoulli_mask(ops.const(keep), tuple(x.shape[:2]), seed), 1.0 / keep)
        return ops.mul(x, ops.broadcast_to(mask, tuple(x.shape), axis_map=(0, 1)), name=name)
