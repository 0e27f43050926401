"""Fused chains: the bits of the single ops, at every length where blocks, chunks and segments begin or end, at 1 and 2 threads."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import tlean as tl
from tlean._core.table import INNER, MODULES, STEPS


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


class Code(ctypes.Structure):
    """`tl_code` of plan/chain_machine.h."""

    _fields_ = [
        *(("step", ctypes.c_void_p), ("at", ctypes.c_void_p * 4), ("floats", ctypes.c_void_p)),
        *(("number", ctypes.c_void_p), ("rest", ctypes.c_int64), ("along", ctypes.c_int64)),
    ]


@pytest.mark.parametrize("name", sorted(n for n in STEPS if n.count(":") == 2))
def test_steps_have_the_bits_of_the_loops(name):
    op, suffix, how = name.split(":")
    dtype = {"f32": np.float32, "f64": np.float64}[suffix]
    special = np.array([0.0, -0.0, np.inf, -np.inf, 1e-40, 0.5, -1.0, 3.0], dtype)
    n = 3 * MODULES["elementwise"].STRIP_BYTES // special.itemsize
    rng = np.random.default_rng(0)
    arrays = [np.where(rng.random(n) < 0.3, rng.choice(special, n), rng.normal(size=n)).astype(dtype) for _ in range(3)]
    arrays[0][5] = np.nan
    floats = np.array([0.3, 1.7])
    expected, found, again, one = np.empty(n, dtype), np.zeros(n, dtype), np.zeros(n, dtype), np.ones(n, dtype)
    loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int)(INNER[f"{op}:{suffix}"])
    inputs = sum(f"{op}:{suffix}:{k}" in STEPS for k in range(3))
    loop(expected.ctypes.data, (ctypes.c_void_p * 3)(*[a.ctypes.data for a in arrays]), n, floats.ctypes.data, 0)
    # The held input comes into the registers, and the result out of them, by multiplying by 1.
    steps = []
    operands = arrays[:inputs]
    if how[0] != "m":
        steps.append((f"mul:{suffix}:m", [operands.pop(int(how[0])), one]))
    steps.append((name, [*operands, found] if how[-1] == "s" else operands))
    steps += [(f"mul:{suffix}:0s", [one, again]), (f"stop:{suffix}", [])]
    code = (Code * len(steps))()
    for k, (step, operands) in enumerate(steps):
        code[k].step, code[k].floats = STEPS[step], floats.ctypes.data
        for j, a in enumerate(operands):
            code[k].at[j] = a.ctypes.data
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(STEPS[f"run:{suffix}"])(ctypes.addressof(code), found.nbytes)
    assert again.tobytes() == expected.tobytes()
    if how[-1] == "s":
        assert found.tobytes() == expected.tobytes()


def long_program(ops, a, b):
    # More steps than one run holds, values read late, a function now and then.
    x, kept = a, []
    for k in range(60):
        x = ops.relu(ops.sub(ops.mul(x, b), ops.scale(a, 0.01 * k)))
        if k % 7 == 0:
            kept.append(x)
        if k % 20 == 5:
            x = ops.tanh(ops.add(x, kept[k // 10]))
    return [x, ops.add(ops.mul(kept[0], kept[3]), kept[5])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [3, 130, 5000, 300_001])
def test_long_chains(n, dtype):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(size=n)
    s = tl.Session(dtype=dtype)
    expected = [r.value.numpy().tobytes() for r in long_program(s, s.const(a), s.const(b))]
    compiled = tl.compile_out(long_program, [(n,), (n,)], dtype)
    before = tl.get_num_threads()
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            assert [r.numpy().tobytes() for r in compiled(a, b)] == expected
    finally:
        tl.set_num_threads(before)
