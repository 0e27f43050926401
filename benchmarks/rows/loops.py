"""Programs that are loops: the same steps for tlean, PyTorch (which writes them out) and JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Steps of the rollout and of the loop over many carries, and how many carries that has.
STEPS, LONG, CARRIES = 500, 614, 60


def rollout_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """A matrix, a first state of 8 numbers, and what is added at each step."""
    scaled = [rng.standard_normal((8, 8)) * 0.3, rng.standard_normal(8), rng.standard_normal((STEPS, 8))]
    return [a.astype(np.float32) for a in scaled]


def rollout_ours(ops: Any, w: Any, h: Any, xs: Any) -> Any:
    import tlean as tl

    h, hs = tl.scan(lambda ops, h, x: (ops.tanh(ops.add(ops.matmul(w, h), x)), h), h, xs)
    return ops.add(ops.sum(ops.square(h)), ops.sum(hs))


def rollout_torch(library: Any, w: Any, h: Any, xs: Any) -> Any:
    total = 0.0
    for x in xs:
        total = total + h.sum()
        h = library.tanh(w @ h + x)
    return (h * h).sum() + total


def rollout_jax(w: Any, h: Any, xs: Any) -> Any:
    import jax
    import jax.numpy as jnp

    h, hs = jax.lax.scan(lambda h, x: (jnp.tanh(w @ h + x), h), h, xs)
    return (h * h).sum() + hs.sum()


def carries_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """As many states of 3 numbers."""
    return [rng.standard_normal(3).astype(np.float32) for _ in range(CARRIES)]


def _turned(carry: Any, sin: Any) -> Any:
    # Each state is moved by its neighbour.
    return tuple(a * 0.9 + sin(b) * 0.1 for a, b in zip(carry, (*carry[1:], carry[0]), strict=True))


def carries_ours(ops: Any, *states: Any) -> Any:
    import tlean as tl

    last, _ = tl.scan(lambda ops, c, _: (_turned(c, ops.sin), None), states, length=LONG)
    return ops.sum(ops.concat(last, axis=0))


def carries_torch(library: Any, *states: Any) -> Any:
    for _ in range(LONG):
        states = _turned(states, library.sin)
    return library.cat(states).sum()


def carries_jax(*states: Any) -> Any:
    import jax
    import jax.numpy as jnp

    last, _ = jax.lax.scan(lambda c, _: (_turned(c, jnp.sin), None), states, length=LONG)
    return jnp.concatenate(last).sum()
