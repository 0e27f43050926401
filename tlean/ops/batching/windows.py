"""Convolutions and pools: lanes are further images, or groups of channels where each lane has its own kernel."""

from __future__ import annotations

from typing import Any

from .call import Call, batching, lanes_into, lanes_out, shaped


def _images(call: Call, x: Any, rank: int) -> Any:
    # (B, *lane) as images, where a lane of an image is of this rank: the lanes' batches one after another.
    return x if len(x.shape) == rank + 1 else shaped(call.ops, x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _channel(lane: tuple[int, ...], d: int) -> int:
    return len(lane) - d - 1


def _with_bias(call: Call, y: Any, d: int) -> Any:
    # A bias of each lane's own, along the channels.
    b = call.inputs[1]
    if b is None:
        return y
    spread = (1,) * d
    return call.ops.add(y, shaped(call.ops, b, (call.size, *(1,) * _channel(call.out, d), b.shape[1], *spread)))


@batching("conv", "conv2d", "conv_transpose", "conv_transpose2d")
def _convolution(call: Call) -> Any:
    ops, (w, b, x) = call.ops, call.inputs
    d, lane = len(call.lane(0)) - 2, call.lane(2)
    channel = _channel(lane, d)
    if not call.batched[0]:
        if not call.batched[1]:
            return shaped(ops, call.run(w, b, _images(call, x, d + 1))[0], (call.size, *call.out))
        if not call.batched[2]:
            return _with_bias(call, call.ops.broadcast_to(call.run(w, None, x)[0], (call.size, *call.out)), d)
        y = call.run(w, None, _images(call, x, d + 1))[0]
        return _with_bias(call, shaped(ops, y, (call.size, *call.out)), d)
    w = lanes_into(ops, w, 0)
    b = None if b is None else lanes_into(ops, call.spread(1), 0)
    one_image = not call.batched[2] and call.options["groups"] == 1 and not call.record.name.startswith("conv_transpose")
    if one_image:
        # The kernels of all lanes on one image.
        y = call.run(w, b, x)[0]
    else:
        y = call.run(w, b, lanes_into(ops, call.spread(2), channel), groups=call.options["groups"] * call.size)[0]
    return lanes_out(ops, y, channel, call.size)


@batching("_conv_grad_x")
def _grad_x(call: Call) -> Any:
    ops, (w, g) = call.ops, call.inputs
    d = len(call.lane(0)) - 2
    if not call.batched[0]:
        return shaped(ops, call.run(w, _images(call, g, d + 1))[0], (call.size, *call.out))
    channel = _channel(call.lane(1), d)
    g = lanes_into(ops, call.spread(1), channel)
    y = call.run(lanes_into(ops, w, 0), g, groups=call.options["groups"] * call.size)[0]
    return lanes_out(ops, y, channel, call.size)


@batching("_conv_grad_w")
def _grad_w(call: Call) -> Any:
    ops, groups, d = call.ops, call.options["groups"], len(call.options["kernel"])
    channel = _channel(call.lane(0), d)
    if groups == 1 and not (call.batched[0] and call.batched[1]):
        # One of the two is for all lanes: their channels side by side.
        g, x = (lanes_into(ops, call.inputs[k], channel) if call.batched[k] else call.inputs[k] for k in (0, 1))
        return lanes_out(ops, call.run(g, x)[0], 0 if call.batched[0] else 1, call.size)
    g, x = (lanes_into(ops, call.spread(k), channel) for k in (0, 1))
    return lanes_out(ops, call.run(g, x, groups=groups * call.size)[0], 0, call.size)


@batching(
    "max_pool", "max_pool2d", "max_pool2d_pad", "avg_pool", "avg_pool2d", "avg_pool2d_pad", "smooth_max_pool", "smooth_max_pool2d",
    "_max_pool_grad", "_max_pool_gather", "_avg_pool_grad", "_smooth_max_pool_grad", "_windows", "_windows_adjoint",
)  # fmt: skip
def _pooled(call: Call) -> Any:
    d = len(call.options["kernel"])
    images = [
        None if x is None else _images(call, call.spread(k), d + 1 + (call.record.name == "_windows_adjoint"))
        for k, x in enumerate(call.inputs)
    ]
    made = call.run(*images)
    return tuple(shaped(call.ops, y, (call.size, *o.shape)) for y, o in zip(made, call.outs, strict=True))
