"""Losses of scores of classes."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError, TleanError, complete, completing, describe
from ..loss import check_labelled, label_options
from ..registry import array, composite
from .reductions import number, reduced


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
def soft_cross_entropy(
    ops: Any,
    logits: Any,
    target: Any,
    weight: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    *,
    name: str | None = None,
) -> Any:
    """−Σ_c w[c] t[c] ln softmax(logits)[c] over the last axis, for probabilities t of the classes."""
    logits, target = array(ops, logits, "soft_cross_entropy: logits"), array(ops, target, "soft_cross_entropy: target")
    options = {"label_smoothing": label_smoothing, "reduction": reduction}
    with completing("soft_cross_entropy", logits=logits, target=target, weight=weight, **options):
        if not logits.shape or tuple(logits.shape) != tuple(target.shape):
            raise ShapeError("logits and target must have one shape, with a last axis of classes")
        smoothing = number("label_smoothing", label_smoothing, 0.0)
        if smoothing > 1.0:
            raise OptionError("label_smoothing must be at most 1")
        if smoothing:
            target = ops.shift(ops.scale(target, 1.0 - smoothing), smoothing / max(logits.shape[-1], 1))
        if weight is not None:
            target = ops.mul(target, ops.broadcast_to(weight, tuple(logits.shape)))
        losses = ops.neg(ops.reduce_sum(ops.mul(target, ops.log_softmax(logits)), -1))
        return reduced(ops, losses, reduction, name)


@composite
def multilabel_soft_margin_loss(
    ops: Any, logits: Any, target: Any, weight: Any = None, reduction: str = "mean", *, name: str | None = None
) -> Any:
    """The mean over the last axis of the binary cross-entropies of logits."""
    logits, target = (array(ops, x, f"multilabel_soft_margin_loss: {n}") for n, x in (("logits", logits), ("target", target)))
    with completing("multilabel_soft_margin_loss", logits=logits, target=target, weight=weight, reduction=reduction):
        return reduced(ops, ops.reduce_mean(ops.bce_with_logits(logits, target, "none", weight), -1), reduction, name)
