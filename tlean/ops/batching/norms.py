"""Normalisations: lanes are further rows, or further channels where statistics are taken over a batch."""

from __future__ import annotations

from typing import Any

from ..norm import _channel_axis
from .call import Call, batching, lanes_into, lanes_out


@batching("layer_norm")
def _layer_norm(call: Call) -> Any:
    ops, (_, gamma, beta) = call.ops, call.inputs
    own = call.batched[1] or call.batched[2]
    y, *residuals = call.run(call.spread(0), *((None, None) if own else (gamma, beta)))
    if own:
        rank = len(call.out)
        y = y if gamma is None else ops.mul(y, call.aligned(1, rank))
        y = y if beta is None else ops.add(y, call.aligned(2, rank))
    return (y, *residuals)


@batching("_layer_norm_grad")
def _layer_norm_grad(call: Call) -> Any:
    ops = call.ops
    g, x, mean, rstd = (call.spread(k) for k in (0, 1, 3, 4))
    scaled, gamma = g, call.inputs[2]
    if call.batched[2]:
        scaled, gamma = ops.mul(g, call.aligned(2, len(call.out))), None
    # The mean and the deviation are hints, without derivatives: what is made of them is the kernel's, all else is made of x.
    return call.run(scaled, x, gamma, mean, rstd)[0], *call.parts()[1:]


@batching(
    "batchnorm_channel_first", "_batchnorm_grad", "batchnorm_channel_first_eval", "_batch_mean", "_batch_var",
)  # fmt: skip
def _by_channels(call: Call) -> Any:
    # What has the rank of the array of images has channels at their axis, all else is a number for each of them.
    ops, image = call.ops, 1 if call.record.name == "_batchnorm_grad" else 0
    rank, channel = len(call.lane(image)), _channel_axis(call.lane(image))

    def at(axes: int) -> int:
        return channel if axes == rank else 0

    made = call.run(*(lanes_into(ops, call.spread(k), at(len(call.lane(k)))) for k in range(len(call.inputs))))
    return tuple(lanes_out(ops, y, at(len(o.shape)), call.size) for y, o in zip(made, call.outs, strict=True))
