"""An optimiser's step over all parameters in one launch, in place; and adding a contribution into a gradient."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tlean._core.plan.commit import Commit

from ..errors import ShapeError
from .calls.packing import launch
from .kernels.optim import FAMILY, LOOKED, STEPS, chunks_of, look, step_all
from .kernels.plan import Argument, Faults, In, Out, Verdict
from .runtime.array import DeviceArray, empty, to_device
from .runtime.context import Context
from .runtime.values import require_here


def step_all_at(
    where: Context,
    op: str,
    hyper: Sequence[float],
    params: Sequence[DeviceArray],
    grads: Sequence[DeviceArray],
    states: Sequence[Sequence[DeviceArray]],
    changes: Commit | None = None,
) -> None:
    """One optimiser's step over a list of parameters, in place: one launch, whatever their number.

    The launch has separate memory with all that it reads beside the arrays: hyper, the table of addresses, and which block updates what.
    So steps of several threads, and of several models in turn, have nothing in common.

    Args:
        where: the device.
        op: the optimiser's op, such as `_adam_step`.
        hyper: the op's.
        params: arrays of any shapes.
        grads: one for each parameter, of its shape.
        states: for each parameter its states, of its shape.
        changes: notes the launch, to be made with what else it notes while the context is current; without it the launch is queued now.

    Raises: ShapeError; DeviceError for an array of another device.
    """
    count = STEPS[op].states
    table: list[int] = []
    for p, g, s in zip(params, grads, states, strict=True):
        if len(s) != count or any(a.shape != p.shape for a in (g, *s)):
            shapes = ", ".join(str(a.shape) for a in (p, g, *s))
            raise ShapeError(f"{op}: the gradient and {count} states must have the parameter's shape; got {shapes}")
        addresses = [require_here(a, where).address for a in (p, g, *s)]
        table += [*addresses, *(0,) * (3 - count), p.size]
    chunks = np.array(chunks_of([p.size for p in params]), "int32")
    if not len(chunks):
        return
    numbers = np.array(hyper, "float64").view("int64")
    memory = to_device(np.concatenate([numbers, np.array(table, "int64"), chunks.ravel().view("int64")]), where)
    rows = memory.address + numbers.nbytes
    function = where.function(FAMILY, f"{STEPS[op].function}_all", "qqqq")
    found = step_all(op, len(chunks), rows, rows + 8 * len(table), memory.address)
    if changes is None:
        launch(where, function, found)
    else:
        changes.call(function._launch_kernel, found.grid, found.block, struct.pack("qqqq", *found.args), 0, where.stream)
        changes.keep(memory)


def first_not_finite(arrays: Sequence[DeviceArray]) -> tuple[int, float] | None:
    """Which of these float32 arrays of one device holds a NaN or an infinity first, and such a number; None if all are finite.

    The device is waited for once. The first array has one element, which is known from then on.
    """
    value, where = arrays[0], arrays[0].context
    memory, vectors = empty((LOOKED // 8,), "int64", where), empty((1,), "float64", where)
    given = [vectors.address, *(require_here(a, where).address for a in arrays)]
    for found in look([a.size for a in arrays], 0):
        args = [_settled(a, memory.address, vectors.address, given) for a in found.args]
        function = where.function(FAMILY, found.function, "q" * len(args))
        launch(where, function, replace(found, args=tuple(args)))
    verdict = memory.numpy()
    loss = verdict[1:].view("float32")[:1]
    value.known = loss.reshape(value.shape)
    bits = int(verdict[:1].view("uint64")[0])
    return (0xFFFFFFFF - (bits >> 32), float(verdict[:1].view("float32")[0])) if bits else None


def _settled(a: Argument, verdict: int, out: int, given: Sequence[int]) -> Argument:
    match a:
        case Verdict():
            return verdict
        case Out():
            return out
        case In(k):
            return given[k]
    return 0 if isinstance(a, Faults) else a
