"""The eager session: every op runs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from tlean._core.array import AnyTensor
from tlean._core.eager.eager import use
from tlean.interpreters.eager import EagerOps
from tlean.optim.gradients import Gradients
from tlean.optim.rows import LookUp, look_ups, row_gradient
from tlean.options import Changes, Options
from tlean.param import Param

from .base import Session, options_of


class EagerSession(Session, EagerOps, runs=("eager", "cpu")):
    """A session whose ops run at once."""

    def __init__(self, options: Options | None = None, **changes: Unpack[Changes]) -> None:
        self.options: Options = options_of(options, changes)
        EagerOps.__init__(self, self.options.dtype, None, self.options.first_seed())
        self.check_numerics: bool = self.options.check_numerics
        self.thread_cap: int = self.options.num_threads or 0
        self.by_definition: bool = not self.options.fast_kernels
        self.strict_shapes: bool = self.options.strict_shapes
        self._uses = {}

    add_leaf: Callable[..., Any] = EagerOps.add_leaf
    reset_tape: Callable[..., None] = EagerOps.reset_tape
    use = use

    def spec_of(self, i: int) -> tuple[tuple[int, ...], str]:
        """(shape, dtype) of node i."""
        value = self.ref_of(i)
        return value.shape, value.dtype

    def _backward(self, out: Any, seed: AnyTensor, params_only: bool) -> Gradients:
        return Gradients(self.sweep(out.id, seed, params_only), self)

    def backward_by_rows(self, loss: Any, tables: Sequence[Param]) -> dict[Param, Any]:
        """Gradients of a scalar for the parameters alone; of tables that nothing is done with but to take a few rows, a `RowGradient`.

        Args:
            loss: a reference of shape `()`.
            tables: the parameters whose steps take such a gradient.

        Raises: as `backward_scalar_dense_all` does.
        """
        seed, store = self._check_scalar(loss), self.store
        # By parameter the nodes that take its rows, the last first: so their gradients are added up.
        taken: dict[Param, list[tuple[int, LookUp]]] = {}
        for table in tables:
            uses = [i for i, (p, _) in self._uses.items() if p is table]
            whole = len(uses) != 1 or table.requires_grad is False or self.by_definition
            readers = [] if whole else store.readers(uses[0]) or []
            ways = look_ups([store.instance(i) for i in readers])
            if ways:
                taken[table] = list(zip(readers, ways, strict=True))[::-1]
        grads = self.sweep(loss.id, seed, True, [i for reads in taken.values() for i, _ in reads])
        found: dict[Param, Any] = dict(self._by_param(Gradients(grads, self)))
        for table, reads in taken.items():
            parts = [(g, store.operand(i, 1), way) for i, way in reads if (g := grads[i]) is not None]
            if parts:
                found[table] = row_gradient(parts)
        # In the order of use.
        return {p: found[p] for p, _ in self._uses.values() if p in found}

    def __repr__(self) -> str:
        return f"<Session: eager on {self.options.device}, {self.dtype}, {len(self.store)} nodes>"
