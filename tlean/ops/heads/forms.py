"""Calls of attention with a scale, an additive mask, or more heads of queries than of keys."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ...arguments import is_reference, truth
from ...dtypes import FLOATS
from ...errors import DTypeError, OptionError, ShapeError, completing
from ..attention import Weights, checked
from ..attention import attend as of_record
from ..losses.reductions import number
from ..registry import array
from ..statistics.forms import form


def _split_mask(ops: Any, mask: Any) -> tuple[Any, Any]:
    # A mask of Booleans, and one of floats, which is added to the scores.
    if mask is None:
        return None, None
    mask = mask if is_reference(mask) else ops._own_constant(mask)
    if mask.dtype not in FLOATS and mask.dtype != "bool":
        raise DTypeError(f"mask must hold Booleans, or floats to add to the scores, not {mask.dtype}")
    return (mask, None) if mask.dtype == "bool" else (None, mask)


def _apart(ops: Any, part: Any, groups: int, each: int) -> Any:
    # An array with its axis of heads as two: groups, and the heads of a group.
    if part is None or len(part.shape) < 3:
        return part
    heads = (1, 1) if part.shape[-3] == 1 else (groups, each)
    return ops.reshape(part, (*part.shape[:-3], *heads, *part.shape[-2:]))


def _dropped(ops: Any, q: Any, k: Any, v: Any, mask: Any, bias: Any, causal: bool, scale: float, *, p: float, seed: Any) -> Any:
    # Which weights are dropped is one number for each: they are made, and not in tiles.
    lead = checked(*(tuple(x.shape) for x in (q, k, v)), *(None if x is None else tuple(x.shape) for x in (mask, bias)))[:-2]
    q, k, v = (x if tuple(x.shape[:-2]) == lead else ops.broadcast_to(x, shape=(*lead, *x.shape[-2:])) for x in (q, k, v))
    weights = Weights(ops, q, k, mask, causal, bias, scale).p
    return ops.matmul(ops.dropout(weights, p, seed), v)


_PLAIN = "scale is None and enable_gqa is False and dropout is None and seed is None"


@form(f"{_PLAIN} and (mask is None or getattr(mask, 'dtype', None) == 'bool')")
def scaled_dot_product_attention(
    ops: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
    dropout: Any = None,
    seed: Any = None,
    *,
    name: str | None = None,
) -> Any:
    """Attention beyond the record: the heads of queries in groups, a bias, and dropout of weights."""
    op = "scaled_dot_product_attention"
    q, k, v = array(ops, q, f"{op}: q"), array(ops, k, f"{op}: k"), array(ops, v, f"{op}: v")
    with completing(op, q=q, k=k, v=v, mask=mask, causal=causal, scale=scale, enable_gqa=enable_gqa, dropout=dropout):
        allowed, bias = _split_mask(ops, mask)
        if seed is not None and dropout is None:
            raise OptionError("seed must go with dropout")
        if scale is None and bias is None and not enable_gqa and not dropout:
            return ops.apply(op, (q, k, v, allowed), {"causal": causal}, name)
        features = q.shape[-1] if q.shape else 0
        factor = (1.0 / math.sqrt(features) if features else 1.0) if scale is None else number("scale", scale)
        if not math.isfinite(factor):
            raise OptionError("scale must be a finite number")
        kept = None if dropout is None else number("dropout", dropout, 0.0)
        attend = partial(_dropped, p=kept, seed=seed) if kept else of_record
        if not enable_gqa:
            y = attend(ops, q, k, v, allowed, bias, truth("causal", causal), factor)
            return y if name is None else ops.reshape(y, tuple(y.shape), name=name)
        if not len(q.shape) == len(k.shape) == len(v.shape) >= 3 or k.shape[-3] != v.shape[-3]:
            raise ShapeError("q, k and v must have equally many axes, at least three, and k and v equally many heads, with enable_gqa")
        groups = k.shape[-3]
        if not groups or q.shape[-3] % groups:
            raise ShapeError(f"the {groups} heads of k and v must divide the {q.shape[-3]} heads of q")
        each, n = q.shape[-3] // groups, q.shape[-2]
        parts = [p for p in (allowed, bias) if p is not None]
        if not causal and all((len(p.shape) < 2 or p.shape[-2] == 1) and (len(p.shape) < 3 or p.shape[-3] == 1) for p in parts):
            # The queries of a group's heads attend alike: they are more queries of one head.
            rows = ops.reshape(q, (*q.shape[:-3], groups, each * n, q.shape[-1]))
            y = attend(ops, rows, k, v, allowed, bias, False, factor)
            return ops.reshape(y, (*y.shape[:-3], q.shape[-3], n, y.shape[-1]), name=name)
        wide = ops.reshape(q, (*q.shape[:-3], groups, each, *q.shape[-2:]))
        k, v = (ops.reshape(x, (*x.shape[:-2], 1, *x.shape[-2:])) for x in (k, v))
        y = attend(ops, wide, k, v, _apart(ops, allowed, groups, each), _apart(ops, bias, groups, each), truth("causal", causal), factor)
        return ops.reshape(y, (*y.shape[:-4], q.shape[-3], *y.shape[-2:]), name=name)
