"""Fused chains: the bits of the single ops, at every length where blocks, chunks and segments begin or end, at 1 and 2 threads."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl


def program(ops, a, b):
    # Two values that are only summed (one of them after use elsewhere), scalars spread over arrays, a value read twice.
    d = ops.sub(ops.mul(a, b), ops.tanh(a))
    shifted = ops.add(d, ops.broadcast_to(ops.mean(b), b.shape))
    return ops.add(ops.mean(ops.square(d)), ops.sum(ops.exp(ops.neg(ops.abs(shifted)))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 4, 257, 1025, 2049, 32767, 32768, 32769, 70000, 200001])
def test_bits(n, dtype):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(size=n)
    s = tl.Session(dtype=dtype)
    x, y = s.input(a), s.input(b)
    loss = program(s, x, y)
    grads = s.backward_scalar_dense_all(loss)
    compiled = tl.compile_scalar(program, [(n,), (n,)], dtype)
    before = tl.get_num_threads()
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            value, found = compiled.value_and_grad(a, b)
            assert value.numpy().tobytes() == loss.numpy().tobytes()
            assert [g.numpy().tobytes() for g in found] == [grads[x].numpy().tobytes(), grads[y].numpy().tobytes()]
    finally:
        tl.set_num_threads(before)


def test_a_sum_joins_the_chain():
    """What is only summed up is never written: one instruction makes the sum and the gradient."""
    f = tl.jit(tl.value_and_grad(lambda ops, x: ops.sum(ops.exp(ops.sin(x)))))
    f(np.linspace(0, 1, 100_000))
    assert len(f.plan) == 1
    assert f.plan.scratch_bytes < 1000
