"""Axes in another order, repeated, joined, cut: the lanes stay in front."""

from __future__ import annotations

from typing import Any

from ..layout import _swap_axes
from .call import Call, batching, shaped


def _permuted(axes: tuple[int, ...]) -> Any:
    def rule(call: Call) -> Any:
        return call.ops.permute(call.inputs[0], (0, *(a + 1 for a in axes)))

    return rule


for _name, _axes in (
    ("transpose2d", (1, 0)),
    ("transpose3d_first_to_last", (1, 2, 0)),
    ("transpose3d_last_to_first", (2, 0, 1)),
    ("transpose3d_last_two", (0, 2, 1)),
):
    batching(_name)(_permuted(_axes))


@batching("permute")
def _permute(call: Call) -> Any:
    return _permuted(call.options["axes"])(call)


@batching("swap_adjacent_at_depth")
def _swap(call: Call) -> Any:
    return _permuted(_swap_axes(len(call.lane(0)), call.options["depth"]))(call)


@batching("reshape", "flatten")
def _reshape(call: Call) -> Any:
    return shaped(call.ops, call.inputs[0], (call.size, *call.out))


@batching("broadcast_to")
def _broadcast(call: Call) -> Any:
    return call.run(call.inputs[0], shape=(call.size, *call.out), axis_map=(0, *(a + 1 for a in call.options["axis_map"])))


@batching("concat", "stack")
def _joined(call: Call) -> Any:
    return call.run(*map(call.spread, range(len(call.inputs))), axis=call.options["axis"] + 1)


@batching("concat_vectors", "concat_dim0")
def _pair(call: Call) -> Any:
    return call.ops.concat([call.spread(0), call.spread(1)], axis=1)


@batching("slice_range0")
def _rows(call: Call) -> Any:
    start, shape = call.options["start"], tuple(call.inputs[0].shape)
    starts, stops = (0, start, *(0 for _ in shape[2:])), (shape[0], start + call.options["length"], *shape[2:])
    return call.ops.slice(call.inputs[0], starts, stops)


@batching("slice")
def _slice(call: Call) -> Any:
    starts, stops, steps = (call.options[n] for n in ("starts", "stops", "steps"))
    return call.run(call.inputs[0], starts=(0, *starts), stops=(call.size, *stops), steps=(1, *steps))


@batching("_place")
def _place(call: Call) -> Any:
    shape, starts, steps = (call.options[n] for n in ("shape", "starts", "steps"))
    return call.run(call.inputs[0], shape=(call.size, *shape), starts=(0, *starts), steps=(1, *steps))


@batching("pad")
def _pad(call: Call) -> Any:
    return call.run(call.inputs[0], widths=((0, 0), *call.options["widths"]))


@batching("tril", "triu")
def _triangle(call: Call) -> Any:
    return call.run(*call.inputs)
