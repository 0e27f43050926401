"""What a call costs that does nothing, and how long the first gradient takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.bounded.shapes import by_kinds
from rows.libraries import Bound, CompiledRow, Timed
from rows.training import LR


def _identity_jax(x: Any) -> Any:
    return x


def _layers(rng: np.random.Generator) -> list[np.ndarray]:
    shapes = (16, 4), (16,), (1, 16), (8, 4)
    return [rng.standard_normal(s).astype(np.float32) for s in shapes]


def _layers_ours(ops: Any, w: Any, b: Any, v: Any, x: Any) -> Any:
    return ops.mean(ops.square(ops.linear(v, None, ops.tanh(ops.linear(w, b, x)))))


def _layers_torch(t: Any, w: Any, b: Any, v: Any, x: Any) -> Any:
    return ((t.tanh(x @ w.T + b) @ v.T) ** 2).mean()


def _layers_jax(w: Any, b: Any, v: Any, x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.mean((jnp.tanh(x @ w.T + b) @ v.T) ** 2)


def _session(backend: str) -> Callable[[list[np.ndarray]], Timed]:
    # A step as a session's user writes it.
    def build(arrays: list[np.ndarray]) -> Timed:
        import tlean as tl

        s = tl.Session(tl.Options(backend=backend))
        *values, x = arrays
        params = [s.param(v) for v in values]

        def step() -> float:
            s.reset_tape()
            loss = _layers_ours(s, *map(s.use, params), s.input(x))
            s.sgd_step_all(LR, s.backward_scalar_dense_all(loss))
            return float(loss)

        return step

    return build


def _training(arrays: list[np.ndarray]) -> Timed:
    import torch

    *params, x = map(torch.from_numpy, arrays)
    for p in params:
        p.requires_grad_()
    update = torch.optim.SGD(params, lr=LR, fused=True)

    def step() -> float:
        update.zero_grad(set_to_none=True)
        loss = _layers_torch(torch, *params, x)
        loss.backward()
        update.step()
        return loss.item()

    return step


def call_rows() -> list[CompiledRow]:
    """The compiled identity of four numbers; two small layers, called, called for the first time, and trained by a session."""

    def four(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal(4).astype(np.float32)]

    programs = (_layers_ours, _layers_torch, _layers_jax)
    return [
        *by_kinds("identity_4", "calls", four, 1, (lambda ops, x: x, None, _identity_jax), {"forward": 1.0}),
        *by_kinds("layers_4_16_1", "calls", _layers, 3, programs, {"grad": 1.0, "first": 0.3}),
        CompiledRow(
            *("layers_4_16_1_session_step", "call", _layers, 0, _session("compiled"), _training, None, "calls", (Bound(1.0, "base"),)),
            base=_session("eager"),
        ),
    ]
