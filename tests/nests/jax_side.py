"""The nests by JAX: a process in a Python that has it, which answers a number (and the random numbers of its seed) with the results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import jax
import jax.numpy as jnp
from draw import Function, case, results

jax.config.update("jax_enable_x64", True)


class Jax:
    """JAX; numbers of a seed come with the request."""

    def __init__(self, noise: list[float]) -> None:
        self._noise = jnp.array(noise)

    array = staticmethod(jnp.asarray)
    total = staticmethod(jnp.sum)
    grad = staticmethod(jax.grad)
    jit = staticmethod(jax.jit)
    checkpoint = staticmethod(jax.checkpoint)

    def op(self, name: str, x: Any) -> Any:
        return jax.nn.softplus(x) if name == "softplus" else getattr(jnp, name)(x)

    def rows(self, x: Any) -> Any:
        return jnp.sum(x, axis=0)

    def row(self, table: Any, i: Any) -> Any:
        return table[i]

    def noise(self, seed: int) -> Any:
        return self._noise

    def integer(self, i: Any) -> Any:
        return jnp.asarray(i).astype(jnp.float64)

    def scan(self, f: Any, init: Any, xs: Any, length: int, reverse: bool) -> Any:
        return jax.lax.scan(f, init, xs, length=length, reverse=reverse)

    def repeat(self, f: Function, x: Any, steps: int) -> Any:
        return jax.lax.fori_loop(0, steps, lambda _, c: f(c), x)

    def until(self, f: Function, x: Any, steps: int) -> Any:
        # Its own loop of unknown length has no reverse mode.
        return jax.lax.fori_loop(0, steps, lambda _, c: f(c), x)

    def cond(self, pred: Any, f: Function, g: Function, x: Any) -> Any:
        return jax.lax.cond(pred, f, g, x)

    def jvp(self, f: Function, x: Any, v: Any) -> Any:
        return jax.jvp(f, (x,), (v,))[1]

    def vmap(self, f: Function, axis: int) -> Function:
        return jax.vmap(f, in_axes=axis, out_axes=axis)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        drawn = case(request["index"], tuple(request["transforms"]))
        functions = results(Jax(request["noise"]), drawn)
        try:
            # Op by op: compiling a nest takes longer than running it once.
            with jax.disable_jit():
                values: Any = [np.asarray(f(drawn.x)).tolist() for f in functions]
        except Exception as error:
            values = f"{type(error).__name__}: {error}"
        print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
