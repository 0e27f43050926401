"""Losses: that of each element or label by the kernel, reduced in each lane."""

from __future__ import annotations

from typing import Any

from ...shapes import size
from .call import Call, batching, shaped


def _total_weight(call: Call, labels: Any, classes: int) -> Any:
    # In each lane what the mean divides by: the sum of the weights of the labels that count, (B,), or a number.
    ops, ignored = call.ops, call.options["ignore_index"]
    weight = call.inputs[2] if call.record.name == "cross_entropy" else call.inputs[3]
    lane: tuple[int, ...] = tuple(labels.shape[1:])
    if weight is None and ignored is None:
        return float(size(lane))
    hot = ops._one_hot(labels, depth=classes, ignore_index=ignored, strict=True)
    if weight is not None:
        hot = ops.mul(hot, weight)
    return ops.reduce_sum(hot, axis=tuple(range(1, len(lane) + 2)))


@batching("cross_entropy")
def _cross_entropy(call: Call) -> Any:
    ops, reduction = call.ops, call.options["reduction"]
    logits, labels = call.spread(0), call.spread(1)
    if call.batched[2]:
        # Each lane has its own weights: the kernel for the residuals alone.
        return (*call.parts()[:1], *call.run(logits, labels, None, reduction="none")[1:])
    loss, *rest = call.run(logits, labels, call.inputs[2], reduction="none")
    if reduction != "none":
        loss = ops.reduce_sum(loss, axis=tuple(range(1, len(labels.shape))))
    if reduction == "mean":
        total = _total_weight(call, labels, logits.shape[-1])
        loss = ops.scale(loss, 1.0 / total) if isinstance(total, float) and total else ops.div(loss, _number(call, total))
    return (loss, *rest)


def _number(call: Call, total: Any) -> Any:
    return call.ops._full(shape=(), value=total, dtype=call.outs[0].dtype) if isinstance(total, float) else total


@batching("_cross_entropy_grad")
def _cross_entropy_grad(call: Call) -> Any:
    ops, reduction = call.ops, call.options["reduction"]
    if call.batched[3]:
        return call.parts()
    g, logits, labels, weight, top, log_total = (x if k == 3 else call.spread(k) for k, x in enumerate(call.inputs))
    if reduction == "mean":
        g = ops.div(g, _number(call, _total_weight(call, labels, logits.shape[-1])))
    if reduction != "none":
        g = ops.broadcast_to(shaped(ops, g, (call.size, *(1,) * (len(labels.shape) - 1))), labels.shape)
    return call.run(g, logits, labels, weight, top, log_total, reduction="none")


@batching("_one_hot")
def _one_hot(call: Call) -> Any:
    return call.run(*call.inputs)


@batching("_pick", "_unpick")
def _at_label(call: Call) -> Any:
    return call.run(call.spread(0), call.spread(1))
