"""An optimiser's step over many parameters in one launch, in place; and the look at numbers that may not be finite."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from tlean._core.plan.commit import Commit

from ..errors import ShapeError
from .calls.packing import Packed, launch_once
from .kernels.optim import FAMILY, LOOKED, ROW, STEPS, chunks_of, look, step_all
from .kernels.plan import Faults, In, Out, Verdict
from .runtime.array import DeviceArray, empty, to_device
from .runtime.context import Context
from .runtime.values import require_here


def packed_step(
    where: Context, op: str, rows: Sequence[Sequence[int]], hyper: int | Sequence[float], verdict: int = 0
) -> tuple[Packed, DeviceArray] | None:
    """One launch that updates parameters in place, and the memory that it reads besides them; None where they have no element.

    That memory holds hyper, the table of addresses, and which block updates what.

    Args:
        where: the device.
        op: the optimiser's op, such as `_adam_step`.
        rows: for each parameter the addresses of p, g and the states, then its elements.
        hyper: the op's numbers, or the address where the device has them.
        verdict: the address of the verdict that the launch reads, or 0.
    """
    chunks = np.array(chunks_of([row[-1] for row in rows]), "int32")
    if not len(chunks):
        return None
    numbers = np.array([] if isinstance(hyper, int) else hyper, "float64")
    table = np.array([[*addresses, *(0,) * (ROW - 1 - len(addresses)), size] for *addresses, size in rows], "int64")
    memory = to_device(np.concatenate([numbers.view("int64"), table.ravel(), chunks.ravel().view("int64")]), where)
    at = memory.address + numbers.nbytes
    launch = step_all(op, len(chunks), at, at + table.nbytes, hyper if isinstance(hyper, int) else memory.address, verdict)
    return Packed(where, FAMILY, launch), memory


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

    The launch has separate memory: steps of several threads, and of several models in turn, have nothing in common.

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
    rows = []
    for p, g, s in zip(params, grads, states, strict=True):
        if len(s) != count or any(a.shape != p.shape for a in (g, *s)):
            shapes = ", ".join(str(a.shape) for a in (p, g, *s))
            raise ShapeError(f"{op}: the gradient and {count} states must have the parameter's shape; got {shapes}")
        rows.append([*(require_here(a, where).address for a in (p, g, *s)), p.size])
    step = packed_step(where, op, rows, hyper)
    if step is None:
        return
    packed, memory = step
    if changes is None:
        with where.current():
            packed.queue()
    else:
        for function, arguments in packed.calls():
            changes.call(function, *arguments)
        changes.keep(memory)


def verdict_of(memory: bytes | bytearray) -> tuple[tuple[int, float] | None, float]:
    """What a look left on the device: which array holds a number that is not finite and that number, None if all are finite; the loss."""
    bits, loss, _ = struct.unpack("QfI", memory)
    return (0xFFFFFFFF - (bits >> 32), struct.unpack("f", memory[:4])[0]) if bits else None, loss


def first_not_finite(arrays: Sequence[DeviceArray]) -> tuple[int, float] | None:
    """Which of these float32 arrays of one device holds a NaN or an infinity first, and such a number; None if all are finite.

    The device is waited for once. The first array has one element, which is known from then on.
    """
    value, where = arrays[0], arrays[0].context
    memory, vectors = empty((LOOKED // 8,), "int64", where), empty((1,), "float64", where)
    inputs = [vectors.address, *(require_here(a, where).address for a in arrays)]
    places = {Verdict: memory.address, Out: vectors.address, Faults: 0}
    for launch in look([a.size for a in arrays], 0):
        launch_once(where, FAMILY, launch, lambda a: inputs[a.number] if isinstance(a, In) else places[type(a)])
    found, loss = verdict_of(memory.numpy().tobytes())
    value.known = np.full(value.shape, loss, value.dtype)
    return found
