"""An optimiser's step over all parameters in one launch, in place; and adding a contribution into a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ShapeError
from .array import DeviceArray
from .context import Context
from .kernels.elementwise import FAMILY as ELEMENTWISE
from .kernels.elementwise import accumulation
from .kernels.optim import FAMILY, STEPS, chunks_of, step_all
from .kernels.plan import Launch
from .prepared import signature


def launch(where: Context, function: object, found: Launch) -> None:
    """Queue a launch whose arguments are addresses and numbers."""
    if not found.empty:
        with where.current():
            function.prepared_async_call(found.grid, found.block, where.stream, *found.args)  # type: ignore[attr-defined]


class StepAll:
    """One optimiser's step over a list of parameters: one launch, whatever their number.

    The table of addresses lives on the device and is written anew only when an address changes, so that calling it in every step of a
    program whose memory is planned costs one launch, which a CUDA graph can capture.

    Args:
        where: the device.
        op: the optimiser's op, such as `_adam_step`.
    """

    def __init__(self, where: Context, op: str) -> None:
        self.where = where
        self.op = op
        self.states = STEPS[op].states
        self._addresses: tuple[int, ...] = ()
        self._rows: DeviceArray | None = None
        self._chunks: DeviceArray | None = None

    def __call__(
        self, hyper: DeviceArray, params: Sequence[DeviceArray], grads: Sequence[DeviceArray], states: Sequence[Sequence[DeviceArray]]
    ) -> None:
        """Update parameters and states where they are.

        Args:
            hyper: (h,), float64: the op's.
            params: arrays of any shapes.
            grads: one for each parameter, of its shape.
            states: for each parameter its states, of its shape.

        Raises: ShapeError.
        """
        table: list[int] = []
        for p, g, s in zip(params, grads, states, strict=True):
            if len(s) != self.states or any(a.shape != p.shape for a in (g, *s)):
                shapes = ", ".join(str(a.shape) for a in (p, g, *s))
                raise ShapeError(f"{self.op}: the gradient and {self.states} states have the parameter's shape; got {shapes}")
            table += [p.address, g.address, *(a.address for a in s), *(0,) * (3 - self.states), p.size]
        if tuple(table) != self._addresses:
            self._upload(table, [p.size for p in params])
        if self._rows is not None and self._chunks is not None:
            chunks, _ = self._chunks.shape
            function = self.where.function(FAMILY, f"{STEPS[self.op].function}_all", "qqq")
            launch(self.where, function, step_all(self.op, chunks, self._rows.address, self._chunks.address, hyper.address))

    def _upload(self, table: list[int], sizes: list[int]) -> None:
        from .array import to_device

        chunks = chunks_of(sizes)
        self._addresses = tuple(table)
        self._rows = to_device(np.array(table, "int64"), self.where) if chunks else None
        self._chunks = to_device(np.array(chunks, "int32"), self.where) if chunks else None


_STEPS: dict[tuple[Context, str, tuple[int, ...]], StepAll] = {}
#: Lists of parameters whose tables are kept; a program with more of them starts over.
_MOST_STEPS = 256


def step_all_at(
    where: Context,
    op: str,
    hyper: Sequence[float],
    params: Sequence[DeviceArray],
    grads: Sequence[DeviceArray],
    states: Sequence[Sequence[DeviceArray]],
) -> None:
    """One step of `op` for these parameters, in place; the tables of addresses are kept for lists of the same sizes. See `StepAll`."""
    from .array import to_device

    key = (where, op, tuple(p.size for p in params))
    if key not in _STEPS:
        if len(_STEPS) >= _MOST_STEPS:
            _STEPS.clear()
        _STEPS[key] = StepAll(where, op)
    _STEPS[key](to_device(np.array(hyper, "float64"), where), params, grads, states)


def accumulate(into: DeviceArray, contribution: DeviceArray) -> None:
    """into += contribution, element by element. Raises: ShapeError."""
    if into.shape != contribution.shape:
        raise ShapeError(f"accumulate: a contribution of shape {into.shape}, not {contribution.shape}")
    found = accumulation(into.size, into.address, contribution.address)
    where = into.context
    launch(where, where.function(ELEMENTWISE, found.function, signature(found)), found)
