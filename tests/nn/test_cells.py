"""The fused steps of LSTM and GRU cells: the bits of what they are made of, forward and in the sweep, and few instructions in a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl


def windows(ops: Any, x: Any, count: int) -> list[Any]:
    rows, n = x.shape[0], x.shape[1] // count
    return [ops.slice(x, (0, k * n), (rows, (k + 1) * n)) for k in range(count)]


def lstm_parts(ops: Any, x: Any, s: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = windows(ops, ops.add(x, s), 4)
    c = ops.add(ops.mul(ops.sigmoid(f), c), ops.mul(ops.sigmoid(i), ops.tanh(g)))
    return ops.mul(ops.sigmoid(o), ops.tanh(c)), c


def gru_parts(ops: Any, x: Any, s: Any, h: Any) -> tuple[Any]:
    (xr, xz, xn), (sr, sz, sn) = windows(ops, x, 3), windows(ops, s, 3)
    r, z = ops.sigmoid(ops.add(xr, sr)), ops.sigmoid(ops.add(xz, sz))
    n = ops.tanh(ops.add(xn, ops.mul(r, sn)))
    return (ops.add(n, ops.mul(z, ops.sub(h, n))),)


CELLS = {"_lstm_cell": (lstm_parts, 4, 2), "_gru_cell": (gru_parts, 3, 1)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", [(16, 64), (3, 1), (1, 37), (5, 300), (2, 0)], ids=str)
def test_the_bits_are_those_of_the_parts(name: str, dtype: str, shape: tuple[int, int]) -> None:
    parts, count, states = CELLS[name]
    rng = np.random.default_rng(0)
    wide = (shape[0], count * shape[1])
    arrays = [(rng.normal(size=s) * 3).astype(dtype) for s in (wide, wide, shape)]
    weights = [rng.normal(size=shape).astype(dtype) for _ in range(states)]

    def run(which: int, fused: bool) -> list[np.ndarray]:
        def loss(ops: Any, *xs: Any) -> Any:
            made = tuple(ops.apply(name, xs, {}))[:states] if fused else parts(ops, *xs)
            # The last sum has one cotangent for each state, or for one of them.
            asked = [k for k in range(states) if which in (k, states)]
            total = None
            for k in asked:
                term = ops.sum(ops.mul(made[k], weights[k]))
                total = term if total is None else ops.add(total, term)
            return total, made

        (_, made), grads = tl.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*arrays)
        return [np.asarray(a) for a in (*made, *grads)]

    for which in range(states + 1):
        for got, wanted in zip(run(which, True), run(which, False), strict=True):
            assert got.dtype == dtype
            assert np.array_equal(got, wanted)
