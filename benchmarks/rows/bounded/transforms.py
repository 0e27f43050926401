"""Second derivatives of a rollout, Jacobians of layers, gradients of each example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rows.base import STEP
from rows.bounded.shapes import eager
from rows.libraries import Bound, CompiledRow, Timed
from rows.transforms import layers
from rows.transforms import transform_rows as eager_rows

_FAMILY = "transformations"
#: Seconds until the Hessian of a rollout is there: what is called for the first time is traced and compiled.
_FIRST_HESSIAN = 1.0
#: The cart: its steps and their length.
STEPS, LENGTH = 200, 0.02


def cart_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """The force at each step."""
    return [rng.standard_normal(STEPS) * 0.1]


def _moved(state: Any, force: Any, sin: Any, cos: Any) -> Any:
    # A cart of 1 kg with a pole of 0.1 kg and 0.5 m; the angle is 0 where it is upright.
    x, v, angle, speed = state
    pushed = (force + speed * speed * sin(angle) * 0.05) / 1.1
    turned = (sin(angle) * 9.81 - cos(angle) * pushed) / (0.5 * (4 / 3 - cos(angle) * cos(angle) * 0.1 / 1.1))
    return x + v * LENGTH, v + (pushed - cos(angle) * turned * 0.05 / 1.1) * LENGTH, angle + speed * LENGTH, speed + turned * LENGTH


def _cost(state: Any, forces: Any) -> Any:
    return sum(q * q for q in state) + (forces * forces).sum() * 0.01


def cart_ours(ops: Any, forces: Any) -> Any:
    import tlean as tl

    start = tuple(ops.const(np.array(q)) for q in (0.0, 0.0, 0.1, 0.0))
    last, _ = tl.scan(lambda state, force: (_moved(state, force, tl.sin, tl.cos), None), start, forces)
    return _cost(last, forces)


def cart_jax(forces: Any) -> Any:
    import jax
    import jax.numpy as jnp

    start = tuple(jnp.asarray(q, forces.dtype) for q in (0.0, 0.0, 0.1, 0.0))
    last, _ = jax.lax.scan(lambda state, force: (_moved(state, force, jnp.sin, jnp.cos), None), start, forces)
    return _cost(last, forces)


def _jacobian_jax(which: str, n: int) -> Callable[[Any], Timed]:
    def build(_: Any) -> Timed:
        import jax
        import jax.numpy as jnp

        a, b, x = map(jnp.asarray, layers(n))
        jacobian = jax.jit(getattr(jax, which)(lambda x: b @ jnp.tanh(a @ x)))
        return lambda: [jax.block_until_ready(jacobian(x))]

    return build


def transform_rows() -> list[CompiledRow]:
    """The Hessian of a cart's 200 forces; Jacobians of two layers of 1,000; the gradients of each of 128 digits."""
    rows = {row.name: row for row in eager_rows()}
    hessian = CompiledRow("cart_pole_200_steps_hessian", "hessian", cart_arrays, 1, cart_ours, None, cart_jax, _FAMILY)
    found = [hessian, replace(hessian, name=f"{hessian.name}_first", bounds=(Bound(_FIRST_HESSIAN, "alone"),), first=True)]
    for name in ("jacrev", "jacfwd"):
        bounds = (Bound(1.0), Bound(1.0, "torch")) if name == "jacrev" else (Bound(1.0, "torch"),)
        found.append(eager(rows[f"{name}_mlp_1000"], STEP, bounds, _FAMILY, jax=_jacobian_jax(name, 1000)))
    return [*found, *(eager(rows[f"per_example_gradients_{net}_N128"], STEP, (Bound(0.5, "torch"),), _FAMILY) for net in ("mlp", "cnn"))]
