"""What runs along axes: each axis is one further on, behind the lanes."""

from __future__ import annotations

from typing import Any

from ...shapes import size
from .call import Call, batching, own_positions, shaped


@batching("reduce_sum", "reduce_mean", "reduce_max", "_max_index", "argmax", "any", "all", "prod", "var", "_norm")
def _over_axes(call: Call) -> Any:
    return call.run(call.inputs[0], axis=tuple(a + 1 for a in call.options["axis"]))


@batching("sum")
def _sum(call: Call) -> Any:
    return call.ops.reduce_sum(call.inputs[0], axis=tuple(range(1, len(call.inputs[0].shape))))


@batching("mean")
def _mean(call: Call) -> Any:
    return call.ops.reduce_mean(call.inputs[0], axis=tuple(range(1, len(call.inputs[0].shape))))


@batching("_take_at")
def _taken_at(call: Call) -> Any:
    return call.run(call.spread(0), call.spread(1), axis=_further(call))


@batching("_place_at")
def _placed_at(call: Call) -> Any:
    return call.run(call.spread(0), call.spread(1), shape=(call.size, *call.options["shape"]), axis=_further(call))


def _further(call: Call) -> tuple[int, ...]:
    axis = call.options["axis"]
    return tuple(a + 1 for a in ((axis,) if isinstance(axis, int) else axis))


@batching(
    "cumsum", "_reverse_cumsum", "cumprod", "cummax", "_cummax_index", "cumlogsumexp", "_running_product", "_recurrence",
    "sort", "argsort", "_topk_index", "softmax", "log_softmax", "logsumexp", "_softmax_grad", "_log_softmax_grad",
)  # fmt: skip
def _along_axis(call: Call) -> Any:
    ops, axis, xs = call.ops, call.options["axis"], [call.spread(k) for k in range(len(call.inputs))]
    if axis is None or not call.lane(0):
        # All elements of a lane as one line; a number counts as one.
        xs, axis = [shaped(ops, x, (call.size, size(call.lane(0)))) for x in xs], 0
    made = call.run(*xs, axis=axis + 1)
    if call.record.name in ("cummax", "_cummax_index"):
        # It tells places in the whole array.
        made = (*made[:-1], own_positions(ops, made[-1], size(call.lane(0))))
    return tuple(shaped(ops, y, (call.size, *o.shape)) for y, o in zip(made, call.outs, strict=True))


@batching("searchsorted")
def _searched(call: Call) -> Any:
    # Each lane's own sorted vector is searched by itself.
    return call.loop() if call.batched[0] else call.run(*call.inputs)
