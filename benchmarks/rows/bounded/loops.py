"""Programs that are loops: the same steps for tlean, PyTorch (which writes them out) and JAX."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from rows.bounded.shapes import by_kinds
from rows.libraries import Bound, CompiledRow, Program

_FAMILY = "loops"
_FIRST = 0.3
#: Steps of the rollout and of the loop over many carries, and how many carries that has.
STEPS, LONG, CARRIES = 500, 614, 60
#: A sequence of so many steps, of so many examples, each of so many numbers.
TIME, BATCH, WIDTH = 50, 16, 64
#: The neural equation: the size of its hidden layers, its steps and their length.
HIDDEN, ODE_STEPS, ODE_LENGTH = 64, 1000, 0.01
#: The plate: its points along an axis, its steps, and what of a difference flows in one.
POINTS, HEAT_STEPS, FLOW = 128, 2000, 0.2
#: Where few of its steps are stored: what time of storing all of them, and what of their bytes a step.
_AGAIN, _STORED_BYTES = 2.2, POINTS * POINTS * 4 / 20


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


def carries_jax(*states: Any) -> Any:
    import jax
    import jax.numpy as jnp

    last, _ = jax.lax.scan(lambda c, _: (_turned(c, jnp.sin), None), states, length=LONG)
    return jnp.concatenate(last).sum()


# A recurrence ------------------------------------------------------------------------------------------------------------------------


def sequence_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """Weights of the input and of the state, a bias, a sequence, and the last state that is wanted."""
    shapes = (4 * WIDTH, WIDTH), (4 * WIDTH, WIDTH), (4 * WIDTH,), (TIME, BATCH, WIDTH), (BATCH, WIDTH)
    return [(rng.standard_normal(s) * (s[-1] ** -0.5 if len(s) == 2 else 0.1)).astype(np.float32) for s in shapes]


def lstm_ours(ops: Any, w: Any, u: Any, b: Any, xs: Any, target: Any) -> Any:
    import tlean as tl

    def step(ops: Any, state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = ops.split(ops.linear(w, b, x) + ops.linear(u, None, h), 4, axis=1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return (ops.sigmoid(o) * ops.tanh(c), c), None

    zero = ops.zeros((BATCH, WIDTH))
    (h, _), _ = tl.scan(step, (zero, zero), xs)
    return ops.mse_loss(h, target)


def lstm_layer(ops: Any, w: Any, u: Any, b: Any, xs: Any, target: Any) -> Any:
    """The same by the layer, whose second bias is 0."""
    import tlean as tl

    layer = tl.nn.LSTM(WIDTH, WIDTH, last=True, batch_first=False)
    weights = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b, "bias_hh_l0": ops.zeros((4 * WIDTH,))}
    return ops.mse_loss(layer.apply(weights, xs), target)


def lstm_torch(t: Any, w: Any, u: Any, b: Any, xs: Any, target: Any) -> Any:
    h = c = t.zeros(BATCH, WIDTH)
    for x in xs.unbind(0):
        i, f, g, o = (t.nn.functional.linear(x, w, b) + h @ u.T).chunk(4, 1)
        c = t.sigmoid(f) * c + t.sigmoid(i) * t.tanh(g)
        h = t.sigmoid(o) * t.tanh(c)
    return t.nn.functional.mse_loss(h, target)


def lstm_jax(w: Any, u: Any, b: Any, xs: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(x @ w.T + b + h @ u.T, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((BATCH, WIDTH))
    (h, _), _ = jax.lax.scan(step, (zero, zero), xs)
    return jnp.mean((h - target) ** 2)


# An equation whose right-hand side is a network, by Runge and Kutta ------------------------------------------------------------------


def ode_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """Three layers from 2 to 2 numbers, and where the solution begins."""
    sizes = (2, HIDDEN, HIDDEN, 2)
    layers = [a for n, m in pairwise(sizes) for a in (rng.standard_normal((m, n)) * n**-0.5, rng.standard_normal(m) * 0.1)]
    return [a.astype(np.float32) for a in (*layers, np.array([1.0, 0.0]))]


def _kutta(slope: Any, y: Any) -> Any:
    # A step of the fourth order.
    a = slope(y)
    b = slope(y + a * (ODE_LENGTH / 2))
    c = slope(y + b * (ODE_LENGTH / 2))
    d = slope(y + c * ODE_LENGTH)
    return y + (a + b * 2.0 + c * 2.0 + d) * (ODE_LENGTH / 6)


def ode_ours(ops: Any, u: Any, a: Any, v: Any, b: Any, w: Any, c: Any, y: Any) -> Any:
    import tlean as tl

    def slope(y: Any) -> Any:
        return w @ tl.tanh(v @ tl.tanh(u @ y + a) + b) + c

    last, path = tl.scan(lambda y, _: (_kutta(slope, y), y), y, length=ODE_STEPS)
    return ops.sum(ops.square(last)) + ops.mean(ops.square(path))


def ode_torch(t: Any, u: Any, a: Any, v: Any, b: Any, w: Any, c: Any, y: Any) -> Any:
    path = []
    for _ in range(ODE_STEPS):
        path.append(y)
        y = _kutta(lambda y: w @ t.tanh(v @ t.tanh(u @ y + a) + b) + c, y)
    return (y**2).sum() + (t.stack(path) ** 2).mean()


def ode_jax(u: Any, a: Any, v: Any, b: Any, w: Any, c: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def slope(y: Any) -> Any:
        return w @ jnp.tanh(v @ jnp.tanh(u @ y + a) + b) + c

    last, path = jax.lax.scan(lambda y, _: (_kutta(slope, y), y), y, length=ODE_STEPS)
    return (last**2).sum() + (path**2).mean()


# Heat on a plate with cold edges -----------------------------------------------------------------------------------------------------


def heat_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """The temperatures at first, and those that are wanted."""
    return [rng.standard_normal((POINTS, POINTS)).astype(np.float32) for _ in range(2)]


def _flow(u: Any) -> Any:
    # What flows to each inner point from its four neighbours.
    return (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - u[1:-1, 1:-1] * 4.0) * FLOW


def heat_ours(ops: Any, u: Any, wanted: Any) -> Any:
    import tlean as tl

    last, _ = tl.scan(lambda u, _: (u.at[1:-1, 1:-1].add(_flow(u)), None), u, length=HEAT_STEPS)
    return ops.sum(ops.square(last - wanted))


def _warmed(checkpoint: str | None) -> Program:
    # More flows where it is warm: of what is not linear, each step's temperatures are needed on the way back.
    def program(ops: Any, u: Any, wanted: Any) -> Any:
        import tlean as tl

        def step(u: Any, _: Any) -> Any:
            return u.at[1:-1, 1:-1].add(_flow(u) * (u[1:-1, 1:-1] * 0.1 + 1.0)), None

        last, _ = tl.scan(step, u, length=HEAT_STEPS, checkpoint=checkpoint)
        return ops.sum(ops.square(last - wanted))

    return program


def heat_torch(t: Any, u: Any, wanted: Any) -> Any:
    for _ in range(HEAT_STEPS):
        u = u + t.nn.functional.pad(_flow(u), (1, 1, 1, 1))
    return ((u - wanted) ** 2).sum()


def heat_jax(u: Any, wanted: Any) -> Any:
    import jax

    last, _ = jax.lax.scan(lambda u, _: (u.at[1:-1, 1:-1].add(_flow(u)), None), u, length=HEAT_STEPS)
    return ((last - wanted) ** 2).sum()


def loop_rows() -> list[CompiledRow]:
    """Rollouts, a recurrence, an equation, heat: forward, with the gradient, and the first gradient."""
    rollout = rollout_ours, rollout_torch, rollout_jax
    carries = carries_ours, None, carries_jax
    lstm, ode, heat = (lstm_ours, lstm_torch, lstm_jax), (ode_ours, ode_torch, ode_jax), (heat_ours, heat_torch, heat_jax)

    def told(most: float | None) -> dict[str, float | None]:
        return {"forward": most, "grad": most, "first": _FIRST}

    return [
        *by_kinds("rollout_8_states_500_steps", _FAMILY, rollout_arrays, 3, rollout, told(1.5)),
        *by_kinds("lstm_50x64_N16", _FAMILY, sequence_arrays, 3, lstm, told(0.4)),
        *by_kinds("lstm_layer_50x64_N16", _FAMILY, sequence_arrays, 3, (lstm_layer, *lstm[1:]), told(0.4)),
        *by_kinds("rk4_2_64_64_2_1000_steps", _FAMILY, ode_arrays, 7, ode, told(0.5)),
        *by_kinds("heat_128x128_2000_steps", _FAMILY, heat_arrays, 1, heat, told(0.8)),
        CompiledRow(
            *("heat_128x128_2000_steps_checkpointed", "grad", heat_arrays, 1, _warmed("optimal"), None, None, _FAMILY),
            bounds=(Bound(_AGAIN, "base"), Bound(_STORED_BYTES * HEAT_STEPS, "memory")),
            base=_warmed(None),
        ),
        *by_kinds("scan_60_carries_614_steps", _FAMILY, carries_arrays, CARRIES, carries, told(None)),
    ]
