"""Ops that other ops make up, and the identity that marks a differentiation's own variable."""

from __future__ import annotations

from typing import Any

from ..dtypes import ANY
from ..errors import OptionError, ShapeError, TleanError, complete, describe
from .loss import check_labelled, label_options, reduction_name
from .registry import Shape, array, composite, defop


@defop("_identity", view=True, dtypes={"x": ANY}, out_dtype=ANY)
class Identity:
    """The same value under its own name: two identities of one value are two variables of differentiation."""

    def shape(x: Shape) -> Shape:
        return x

    def vjp(ops: Any, g: Any, y: Any, x: Any) -> tuple[Any]:
        return (g,)

    def jvp(ops: Any, t: Any, y: Any, x: Any) -> Any:
        return t[0]


def _global_avg_pool(ops: Any, x: Any, op: str, axes: tuple[int, ...], form: str, name: str | None) -> Any:
    x = array(ops, x, f"{op}: x")
    if len(x.shape) != len(axes) + axes[0]:
        raise complete(ShapeError(f"x has the shape {form}"), op, [describe("x", tuple(x.shape), x.dtype)])
    return ops.reduce_mean(x, axes, name=name)


@composite
def global_avg_pool2d_chw(ops: Any, x: Any, name: str | None = None) -> Any:
    """The mean of each channel: (C, H, W) → (C,)."""
    return _global_avg_pool(ops, x, "global_avg_pool2d_chw", (1, 2), "(C, H, W)", name)


@composite
def global_avg_pool2d_nchw(ops: Any, x: Any, name: str | None = None) -> Any:
    """The mean of each channel of each image: (N, C, H, W) → (N, C)."""
    return _global_avg_pool(ops, x, "global_avg_pool2d_nchw", (2, 3), "(N, C, H, W)", name)


# Losses ---------------------------------------------------------------------------------------------------------------


def _is_positive(value: Any) -> bool:
    """Whether an option is a number above 0."""
    try:
        return not isinstance(value, str | bytes) and float(value) > 0
    except (TypeError, ValueError):
        return False


def _checked(op: str, reduction: Any) -> str:
    """The reduction of a composite, whose errors are completed here."""
    try:
        return reduction_name(reduction)
    except OptionError as error:
        raise complete(error, op, [], {"reduction": reduction}) from None


def _finish(ops, op, args, reduction, name):
    """The op that gives the losses, and their reduction; the last node has the name."""
    if reduction == "none":
        return op(*args, name=name)
    losses = op(*args)
    return ops.sum(losses, name=name) if reduction == "sum" else ops.mean(losses, name=name)


@composite
def nll_loss(ops, log_probs, labels, weight=None, ignore_index=None, reduction="mean", *, name=None):
    """Negative log-likelihood of integer labels: −w[t] log_probs[t] for a label t, 0 for an ignored one."""
    log_probs = array(ops, log_probs, "nll_loss: log_probs")
    weight = None if weight is None else array(ops, weight, "nll_loss: weight")
    shape = tuple(log_probs.shape)
    try:
        options = label_options(ignore_index, reduction)
        label_shape = labels.shape if isinstance(getattr(labels, "shape", None), tuple) else shape[:-1]
        check_labelled(shape, label_shape, None if weight is None else tuple(weight.shape), "log_probs")
    except TleanError as error:
        raise complete(error, "nll_loss", [describe("log_probs", shape, log_probs.dtype)], {"reduction": reduction}) from None
    at_label = {"depth": shape[-1], "ignore_index": options["ignore_index"]}
    last = name if reduction == "none" else None
    picked = ops._pick(log_probs, labels, **at_label)
    if weight is None:
        losses = ops.neg(picked, name=last)
    else:
        weights = ops._pick(ops.broadcast_to(weight, shape), labels, **at_label)
        losses = ops.mul(ops.neg(picked), weights, name=last)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses, name=name)
    share = ops.sum(ops._one_hot(labels, **at_label, strict=True) if weight is None else weights)
    return ops.div(ops.sum(losses), share, name=name)


@composite
def l1_loss(ops, yhat, target, reduction="mean", *, name=None):
    """The mean (or sum, or array) of |yhat − target|."""
    return _finish(ops, ops.abs, (ops.sub(yhat, target),), _checked("l1_loss", reduction), name)


@composite
def huber_loss(ops, yhat, target, reduction="mean", delta=1.0, *, name=None):
    """Half the square of d = yhat − target where |d| ≤ delta, else delta (|d| − delta/2)."""
    if not _is_positive(delta):
        raise complete(OptionError("delta is a number greater than 0"), "huber_loss", [], {"delta": delta})
    delta = float(delta)
    d = ops.sub(yhat, target)
    # With c = d clamped to ±delta, both branches are c (d − c/2).
    c = ops.clamp(d, -delta, delta)
    return _finish(ops, ops.mul, (c, ops.sub(d, ops.scale(c, 0.5))), _checked("huber_loss", reduction), name)
