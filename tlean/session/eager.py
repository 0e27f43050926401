"""The eager session: every op runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean._core.array import AnyTensor
from tlean._core.eager.eager import use
from tlean.interpreters.eager import EagerOps
from tlean.optim.gradients import Gradients
from tlean.optim.rows import LookUp, look_up, row_gradient
from tlean.options import Options
from tlean.param import Param

from .base import Session, options_of


class EagerSession(Session, EagerOps, runs=("eager", "cpu")):
    """A session whose ops run at once."""

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = options_of(options, changes)
        EagerOps.__init__(self, self.options.dtype, None, self.options.first_seed())
        self.check_numerics = self.options.check_numerics
        self.thread_cap = self.options.num_threads or 0
        self.by_definition = not self.options.fast_kernels
        self.strict_shapes = self.options.strict_shapes
        self._uses = {}

    add_leaf = EagerOps.add_leaf
    reset_tape = EagerOps.reset_tape
    use = use

    def spec_of(self, i: int) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of node i."""
        value = self.ref_of(i)
        return value.shape, value.dtype

    def _backward(self, out: Any, seed: AnyTensor, params_only: bool) -> Gradients:
        return Gradients(self.sweep(out.id, seed, params_only), self)

    def backward_by_rows(self, loss: Any, tables: Sequence[Param]) -> dict[Param, Any]:
        """Gradients of a scalar for the parameters alone; of tables whose only reader takes few of their rows, a `RowGradient`.

        Args:
            loss: a reference of shape `()`.
            tables: the parameters whose steps take such a gradient.

        Raises: as `backward_scalar_dense_all` does.
        """
        seed, store = self._check_scalar(loss), self.store
        taken: dict[int, tuple[Param, LookUp]] = {}
        for table in tables:
            uses = [i for i, (p, _) in self._uses.items() if p is table]
            if self.by_definition or len(uses) != 1 or table.requires_grad is False:
                continue
            reader = store.only_reader(uses[0])
            made = None if reader < 0 else store.instance(reader)
            way = None if made is None else look_up(made.record, made.specs, made.options)
            if way is not None:
                taken[reader] = table, way
        grads = self.sweep(loss.id, seed, True, list(taken))
        found: dict[Param, Any] = dict(self._by_param(Gradients(grads, self)))
        for reader, (p, way) in taken.items():
            g = grads[reader]
            if g is not None:
                found[p] = row_gradient(g, store.operand(reader, 1), way)
        # In the order of use.
        return {p: found[p] for p, _ in self._uses.values() if p in found}

    def __repr__(self) -> str:
        return f"<Session: eager on {self.options.device}, {self.dtype}, {len(self.store)} nodes>"
