"""An optimiser's step over all parameters in one launch, in place; and adding a contribution into a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ShapeError
from .calls.packing import launch
from .kernels.optim import FAMILY, STEPS, chunks_of, step_all
from .runtime.array import DeviceArray, to_device
from .runtime.context import Context
from .runtime.values import require_here


def step_all_at(
    where: Context,
    op: str,
    hyper: Sequence[float],
    params: Sequence[DeviceArray],
    grads: Sequence[DeviceArray],
    states: Sequence[Sequence[DeviceArray]],
) -> None:
    """One optimiser's step over a list of parameters, in place: one launch, whatever their number.

    The launch has memory of its own with all that it reads beside the arrays: hyper, the table of addresses, and which block updates what.
    So steps of several threads, and of several models in turn, have nothing in common.

    Args:
        where: the device.
        op: the optimiser's op, such as `_adam_step`.
        hyper: the op's.
        params: arrays of any shapes.
        grads: one for each parameter, of its shape.
        states: for each parameter its states, of its shape.

    Raises: ShapeError; DeviceError for an array of another device.
    """
    count = STEPS[op].states
    table: list[int] = []
    for p, g, s in zip(params, grads, states, strict=True):
        if len(s) != count or any(a.shape != p.shape for a in (g, *s)):
            shapes = ", ".join(str(a.shape) for a in (p, g, *s))
            raise ShapeError(f"{op}: the gradient and {count} states have the parameter's shape; got {shapes}")
        addresses = [require_here(a, where).address for a in (p, g, *s)]
        table += [*addresses, *(0,) * (3 - count), p.size]
    chunks = np.array(chunks_of([p.size for p in params]), "int32")
    if not len(chunks):
        return
    numbers = np.array(hyper, "float64").view("int64")
    memory = to_device(np.concatenate([numbers, np.array(table, "int64"), chunks.ravel().view("int64")]), where)
    rows = memory.address + numbers.nbytes
    function = where.function(FAMILY, f"{STEPS[op].function}_all", "qqq")
    launch(where, function, step_all(op, len(chunks), rows, rows + 8 * len(table), memory.address))
