"""The op is right: values, derivatives of two orders, the same bits eagerly, compiled and on any number of threads."""

import numpy as np
import pytest
from scaled_tanh import ScaledTanh, ScaledTanhSlope, kernels, scaled_tanh

import tlean as tl

X = np.random.default_rng(0).normal(size=40_000)


@pytest.mark.parametrize("op", [ScaledTanh, ScaledTanhSlope])
def test_it_passes_the_checks_of_ops(op):
    reference = (lambda x, *, a, b: a * np.tanh(b * x)) if op is ScaledTanh else None
    tl.testing.check_op(op, reference=reference)


def test_programs_with_it_have_two_orders_of_derivatives():
    tl.testing.check_grads(lambda x: tl.sum(tl.exp(scaled_tanh(tl.sin(x), 1.5, 0.5)) ** 2), (X[:7],), order=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_how_it_runs(dtype):
    def energy(x):
        return tl.sum(scaled_tanh(2.0 * x + 1.0, 1.5, 0.5) * x)

    x, before = X.astype(dtype), tl.get_num_threads()
    tape = tl.TapeM(dtype=dtype)
    r = tape.leaf(x)
    loss = tape.sum(tape.mul(ScaledTanh(tape.shift(tape.scale(r, 2.0), 1.0), a=1.5, b=0.5), r))
    wanted = tape.backward_scalar(loss)[r.id].numpy()
    try:
        for threads in (1, 2, 3):
            tl.set_num_threads(threads)
            value, slope = tl.jit(tl.value_and_grad(energy))(x)
            assert value.item() == loss.item() and slope.numpy().tobytes() == wanted.tobytes()
    finally:
        tl.set_num_threads(before)


def test_it_is_fused_with_its_neighbours():
    compiled = tl.compile_out(lambda x: tl.exp(scaled_tanh(2.0 * x, 1.5, 0.5)), [(100,)])
    assert [step.kernel for step in compiled.plan.program.steps] == ["fused(scale scaled_tanh exp)"]


def test_vmap_calls_the_kernels_once():
    def slope(x):
        return tl.grad(lambda x: tl.sum(scaled_tanh(x, 1.5, 0.5) * x))(x)

    rows = X[:12].reshape(3, 4)
    assert tl.vmap(slope)(rows).tolist() == [slope(row).tolist() for row in rows]
    compiled = tl.compile_out(tl.vmap(lambda x: scaled_tanh(x, 1.5, 0.5)), [(3, 4)])
    assert [step.kernel for step in compiled.plan.program.steps] == ["scaled_tanh"]


def test_a_node_of_a_tape():
    tape = tl.TapeM(dtype="float64")
    x = tape.leaf([0.5, -1.0])
    y = kernels.record(tape, x, 1.5, 0.5)
    grads = tape.backward_scalar(tape.sum(y * y))
    t = np.tanh(0.5 * np.array([0.5, -1.0]))
    np.testing.assert_allclose(y.numpy(), 1.5 * t, rtol=1e-15)
    np.testing.assert_allclose(grads[x.id].numpy(), 2 * 1.5 * t * 0.75 * (1 - t * t), rtol=1e-14)
