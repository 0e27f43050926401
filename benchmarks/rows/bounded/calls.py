"""What a call costs that does nothing, and how long the first gradient takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.bounded.shapes import by_kinds
from rows.libraries import CompiledRow


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


def call_rows() -> list[CompiledRow]:
    """The compiled identity of four numbers; two small layers, called and called for the first time."""

    def four(rng: np.random.Generator) -> list[np.ndarray]:
        return [rng.standard_normal(4).astype(np.float32)]

    programs = (_layers_ours, _layers_torch, _layers_jax)
    return [
        *by_kinds("identity_4", "calls", four, 1, (lambda ops, x: x, None, _identity_jax), {"forward": 1.0}),
        *by_kinds("layers_4_16_1", "calls", _layers, 3, programs, {"grad": 1.0, "first": 0.3}),
    ]
