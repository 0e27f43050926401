"""The eager session: every op runs at once."""

from __future__ import annotations

from typing import Any

from tlean._core.array import AnyTensor
from tlean._core.eager.eager import use
from tlean.interpreters.eager import EagerOps
from tlean.optim.gradients import Gradients
from tlean.options import Options

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

    def __repr__(self) -> str:
        return f"<Session: eager on {self.options.device}, {self.dtype}, {len(self.store)} nodes>"
