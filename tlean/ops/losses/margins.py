"""Margins between the score of the right classes and the others'."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import stretching
from ..registry import array, composite, whole
from ..windows.pools import own
from .reductions import number, reduced


def _rows(x: Any, one: str) -> tuple[int, int]:
    # Scores as rows of classes.
    if len(x.shape) not in (1, 2) or x.shape[-1] < 1:
        raise ShapeError(f"x must have the shape (N, C) or (C,) with at least one class, and {one}")
    return (1, x.shape[0]) if len(x.shape) == 1 else (x.shape[0], x.shape[1])


@composite
@stretching
def multi_margin_loss(
    ops: Any,
    x: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    p: int = 1,
    margin: float = 1.0,
    *,
    name: str | None = None,
) -> Any:
    """The mean over the classes of max(0, margin − x[t] + x[c])^p for all c but the right class t."""
    x, target = array(ops, x, "multi_margin_loss: x"), own(ops, target, "multi_margin_loss: target")
    with completing("multi_margin_loss", x=x, target=target, weight=weight, reduction=reduction, p=p, margin=margin):
        n, classes = _rows(x, "target an integer for each row")
        if tuple(target.shape) != tuple(x.shape[:-1]):
            raise ShapeError(f"target must have shape {tuple(x.shape[:-1])}, a class for each row of x")
        if (power := whole("p", p)) not in (1, 2):
            raise OptionError("p must be 1 or 2")
        rows, labels = ops.reshape(x, (n, classes)), ops.reshape(target, (n, 1))
        right = ops.broadcast_to(ops.take_along_axis(rows, labels, -1, "strict"), (n, classes))
        losses = ops.relu(ops.shift(ops.sub(rows, right), number("margin", margin)))
        losses = losses if power == 1 else ops.square(losses)
        if weight is not None:
            weight = array(ops, weight, "weight")
            if tuple(weight.shape) != (classes,):
                raise ShapeError(f"weight must have shape ({classes},)")
            losses = ops.mul(losses, ops.broadcast_to(ops.take(weight, labels, 0, "strict"), (n, classes)))
        losses = ops.where(_same(ops, labels, n, classes), 0.0, losses)
        losses = ops.reshape(ops.scale(ops.reduce_sum(losses, -1), 1.0 / classes), tuple(target.shape))
        return reduced(ops, losses, reduction, name)


def _same(ops: Any, labels: Any, n: int, classes: int) -> Any:
    # Whether a class is the row's label.
    every = ops.broadcast_to(ops.reshape(ops.arange(classes), (1, classes)), (n, classes))
    return ops.equal(every, ops.broadcast_to(labels, (n, classes)))


@composite
@stretching
def multilabel_margin_loss(ops: Any, x: Any, target: Any, reduction: str = "mean", *, name: str | None = None) -> Any:
    """The sum over right classes t and all others c of max(0, 1 − x[t] + x[c]), over the number of classes."""
    x, target = array(ops, x, "multilabel_margin_loss: x"), own(ops, target, "multilabel_margin_loss: target")
    with completing("multilabel_margin_loss", x=x, target=target, reduction=reduction):
        n, classes = _rows(x, "target as well: right classes, then -1")
        if tuple(target.shape) != tuple(x.shape):
            raise ShapeError(f"target must have x's shape {tuple(x.shape)}: right classes, then -1")
        whole_shape = (n, classes, classes)
        rows, labels = ops.reshape(x, (n, classes)), ops.reshape(target, (n, classes))
        # What follows the first -1 says nothing.
        over = ops.greater(ops.cumsum(ops.astype(ops.less(labels, 0), "int64"), -1), 0)
        labels = ops.where(over, -1, labels)
        right = ops.take_along_axis(rows, labels, -1, "drop")
        among = ops.apply("_full", (), {"shape": (n, classes), "value": 0, "dtype": None})
        among = ops.put_along_axis(among, labels, 1.0, -1, mode="drop")
        out = ops.logical_or(
            ops.broadcast_to(over, whole_shape, axis_map=(0, 1)), ops.broadcast_to(ops.greater(among, 0.5), whole_shape, axis_map=(0, 2))
        )
        apart = ops.sub(ops.broadcast_to(rows, whole_shape, axis_map=(0, 2)), ops.broadcast_to(right, whole_shape, axis_map=(0, 1)))
        losses = ops.where(out, 0.0, ops.relu(ops.shift(apart, 1.0)))
        losses = ops.scale(ops.reduce_sum(losses, (1, 2)), 1.0 / classes)
        return reduced(ops, ops.reshape(losses, tuple(x.shape[:-1])), reduction, name)
