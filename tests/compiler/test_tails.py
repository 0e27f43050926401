"""Groups that sum what they stretch: the bits of the sums' own kernels, and no array of both sizes in memory."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.chain_code import COLUMNS, LOGSUMEXP, ROWS


def bits(x):
    x = np.asarray(x)
    return x.shape, x.tobytes()


def distance(ops, x, y):
    d = ops.sub(x, y)
    return ops.mul(d, d)


def rows_and_columns(ops, x, y):
    d = ops.tanh(ops.sub(x, y))
    return ops.reduce_sum(d, 0), ops.reduce_mean(d, 1), ops.logsumexp(ops.neg(distance(ops, x, y)))


LOSSES = {
    "sum over rows": lambda ops, x, y: ops.sum(ops.tanh(ops.reduce_sum(distance(ops, x, y), 1))),
    "sum over columns": lambda ops, x, y: ops.sum(ops.tanh(ops.reduce_sum(ops.exp(ops.neg(distance(ops, x, y))), 0))),
    "logsumexp": lambda ops, x, y: ops.sum(ops.tanh(ops.logsumexp(ops.neg(distance(ops, x, y))))),
    "mean of a sum": lambda ops, x, y: ops.sum(ops.square(ops.reduce_mean(ops.tanh(ops.add(x, y)), 1))),
    "three operands": lambda ops, x, y: ops.sum(ops.sin(ops.reduce_sum(ops.div(x, ops.add(ops.square(y), ops.exp(x))), (0,)))),
}
# Rows and columns about where tiles, blocks of 8 and of 64 rows, and segments end; rows that are too narrow for columns, and long ones.
SIZES = [(500, 700), (65, 1000), (4097, 130), (263, 129), (3000, 127), (9, 32768), (5, 32769), (130, 300), (1, 40000)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_sums_of_a_group_have_the_bits_of_their_kernels(m, n, dtype):
    rng = np.random.default_rng(m)
    x, y = rng.standard_normal((m, 1)).astype(dtype), rng.standard_normal(n).astype(dtype)
    tape = tl.TapeM(dtype=dtype)
    expected = [bits(v.numpy()) for v in rows_and_columns(tape, tape.leaf(x), tape.leaf(y))]
    program = tl.compile_out(rows_and_columns, [x.shape, y.shape], dtype)
    before = tl.get_num_threads()
    try:
        for threads in (1, 2, 3):
            tl.set_num_threads(threads)
            assert [bits(v) for v in program.forward(x, y)] == expected
    finally:
        tl.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_sums_of_a_group(name, dtype):
    f, rng = LOSSES[name], np.random.default_rng(1)
    x, y = rng.standard_normal((300, 1)).astype(dtype), rng.standard_normal(700).astype(dtype)
    tape = tl.TapeM(dtype=dtype)
    a, b = tape.leaf(x), tape.leaf(y)
    loss = f(tape, a, b)
    grads = tape.backward_scalar(loss)
    value, found = tl.compile_scalar(f, [x.shape, y.shape], dtype).value_and_grad(x, y)
    assert [bits(v) for v in (value, *found)] == [bits(v) for v in (loss.numpy(), grads[a.id], grads[b.id])]
    # Against differences, by the definition.
    if dtype == "float64":
        plain, step = tl.compile_scalar(f, [x.shape, y.shape], dtype), 1e-6
        t, u = rng.standard_normal(x.shape), rng.standard_normal(y.shape)
        slope = (plain.forward(x + step * t, y + step * u).item() - plain.forward(x - step * t, y - step * u).item()) / (2 * step)
        assert np.sum(found[0].numpy() * t) + np.sum(found[1].numpy() * u) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_no_array_of_both_sizes_is_in_memory(name):
    program = tl.jit(tl.value_and_grad(LOSSES[name], (0, 1)))
    program(np.ones((900, 1), "f4"), np.ones(1100, "f4"))
    assert program.plan.scratch_bytes < 64 * 1024
    assert all(program.plan.program.graph.specs[v].size < 900 * 1100 for s in program.plan.program.steps for v in s.outputs)


def tails(f, *arrays):
    program = tl.jit(f)
    program(*arrays)
    return [[s.kind for s in step.chain.sums] if step.chain else step.kernel for step in encoded(program.plan.program.steps)]


def encoded(steps):
    from chain_programs import program_of, start_of

    return [type("S", (), {"chain": program_of(s) if start_of(s) is not None else None, "kernel": s.kernel}) for s in steps]


def test_what_is_read_otherwise_is_stored():
    x, y, z = np.ones((300, 1), "f4"), np.ones(700, "f4"), np.ones((300, 700), "f4")
    assert tails(lambda ops, x, y: ops.reduce_sum(distance(ops, x, y), 1), x, y) == [[ROWS]]
    assert tails(lambda ops, x, y: ops.reduce_sum(distance(ops, x, y), 0), x, y) == [[COLUMNS]]
    assert tails(lambda ops, x, y: ops.logsumexp(distance(ops, x, y)), x, y) == [[LOGSUMEXP]]

    def returned(ops, x, y):
        d = distance(ops, x, y)
        return d, ops.reduce_sum(d, 1)

    assert tails(returned, x, y) == [[], "reduce_sum"]
    # Along an axis in the middle, of an array that is not stretched, of a small one: by their own kernels.
    middle = tails(lambda ops, a, b: ops.reduce_sum(ops.mul(a, b), 1), np.ones((40, 30, 50), "f4"), np.ones((30, 1), "f4"))
    assert middle == [[], "reduce_sum"]
    assert tails(lambda ops, z: ops.reduce_sum(ops.square(ops.exp(z)), 1), z) == [[], "reduce_sum"]
    assert tails(lambda ops, x, y: ops.reduce_sum(distance(ops, x, y), 1), x[:20], y) == [[], "reduce_sum"]


def test_a_program_of_much_work_stores_what_it_would_make_again():
    def f(ops, x, y):
        d = ops.sub(x, y)
        for _ in range(12):
            d = ops.tanh(d)
        return ops.sum(ops.square(ops.reduce_sum(d, 1)))

    program = tl.jit(tl.value_and_grad(f, (0, 1)))
    x, y = np.linspace(-1, 1, 300, dtype="f4").reshape(-1, 1), np.linspace(0, 1, 700, dtype="f4")
    _, (a, b) = program(x, y)
    assert program.plan.scratch_bytes > 300 * 700 * 4
    m = tl.TapeM()
    u, v = m.leaf(x), m.leaf(y)
    grads = m.backward_scalar(f(m, u, v))
    assert [bits(a), bits(b)] == [bits(grads[u.id]), bits(grads[v.id])]


def test_of_two_values_summed_in_another_way_one_is_too_much_work():
    """What is made again for a set of sums makes all that they sum, or the values are stored."""

    def f(ops, x, y):
        three = [ops.add(x, y), ops.mul(x, y), ops.sub(x, y)]
        much = ops.min(x, y)
        for _ in range(12):
            much = ops.tanh(much)
        return *[ops.reduce_sum(v, 1) for v in three], ops.sum(ops.max(x, y)), ops.sum(much)

    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((300, 1)).astype("f4"), rng.standard_normal(700).astype("f4")
    m = tl.TapeM()
    assert [bits(v) for v in tl.jit(f)(x, y)] == [bits(v.numpy()) for v in f(m, m.leaf(x), m.leaf(y))]


def test_what_is_made_again_comes_after_what_it_reads():
    # The tangent of masked attention: a row that is spread is read by what a later group makes again, which spreads it too.
    rng = np.random.default_rng(0)
    arrays = tuple(rng.normal(size=(2, 3, n, 4)) for n in (130, 150, 150))
    mask = rng.random((130, 150)) < 0.5

    def program(ops, q, k, v):
        return ops.scaled_dot_product_attention(q, k, v, mask)

    y, tangent = tl.jvp(program, arrays, arrays)
    step = 1e-6
    ends = (np.asarray(tl.jit(program)(*(a * (1 + h) for a in arrays))) for h in (step, -step))
    np.testing.assert_allclose(np.asarray(tangent), np.subtract(*ends) / (2 * step), rtol=1e-5, atol=1e-7)
    assert np.isfinite(np.asarray(y)).all()
