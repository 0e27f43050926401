"""Rows of a table, many at a time, as one."""

from __future__ import annotations

from typing import Any

from ...arguments import is_reference
from ...errors import IndexRangeError, OptionError, ShapeError, completing
from ...shapes import size
from ..registry import array, composite, whole
from .named import index_shape


def _integers(ops: Any, x: Any, needed: str) -> Any:
    return x if is_reference(x) else array(ops, x, needed) if x is None else ops._own_constant(x)


def _bags(ops: Any, offsets: Any, count: int) -> tuple[int, Any]:
    # The number of bags, and the bag of each of so many indices, from where bags begin.
    if len(index_shape(offsets, "offsets")) != 1:
        raise ShapeError("offsets must have one axis: where each bag begins")
    if is_reference(offsets):
        return offsets.shape[0], ops.sub(ops.searchsorted(offsets, ops.arange(count), "right"), 1)
    starts = [whole("offsets", at) for at in offsets]
    if starts[:1] != [0][: len(starts)] or starts != sorted(starts) or starts[-1:] > [count]:
        raise IndexRangeError(f"offsets must begin with 0, ascend, and be at most {count}")
    sizes = [b - a for a, b in zip(starts, [*starts[1:], count], strict=True)]
    return len(starts), ops._own_constant([k for k, n in enumerate(sizes) for _ in range(n)])


@composite
def embedding_bag(
    ops: Any, table: Any, indices: Any, offsets: Any = None, mode: str = "mean", weights: Any = None, *, name: str | None = None
) -> Any:
    """The sum, mean or maximum of the rows of each bag of indices; zeros for an empty one."""
    table, indices = array(ops, table, "embedding_bag: table"), _integers(ops, indices, "embedding_bag: indices")
    with completing("embedding_bag", table=table, indices=indices, offsets=offsets, mode=mode, weights=weights):
        if mode not in ("sum", "mean", "max"):
            raise OptionError("mode must be sum, mean or max")
        if weights is not None and mode != "sum":
            raise OptionError("weights must go with mode sum")
        if len(table.shape) != 2 or len(indices.shape) != (2 if offsets is None else 1):
            raise ShapeError("table must have two axes, and indices two, or one with offsets")
        count, width = size(indices.shape), table.shape[1]
        rows = ops.take(table, ops.reshape(indices, (count,)), 0, "strict")
        if weights is not None:
            weights = array(ops, weights, "weights")
            if tuple(weights.shape) != tuple(indices.shape):
                raise ShapeError("weights must have the shape of indices")
            rows = ops.mul(rows, ops.broadcast_to(ops.reshape(weights, (count, 1)), (count, width)))
        if offsets is None:
            bags = indices.shape[0]
            of_bag = ops.broadcast_to(ops.reshape(ops.arange(bags), (bags, 1)), tuple(indices.shape))
        else:
            bags, of_bag = _bags(ops, offsets, count)
        of_bag = ops.reshape(of_bag, (count,))
        if mode != "max":
            return getattr(ops, f"segment_{mode}")(rows, of_bag, bags, name=name)
        # An empty bag has zeros, not -inf.
        most = ops.segment_max(rows, of_bag, bags)
        sizes = ops.segment_sum(ops.apply("_full", (), {"shape": (count, 1), "value": 1, "dtype": rows.dtype}), of_bag, bags)
        return ops.where(ops.greater(ops.broadcast_to(sizes, (bags, width)), 0.0), most, 0.0, name=name)
