"""Bodies of short arrays: their groups are taken apart into calls, and equal ops run side by side, with the bits of the single ops."""

import gc

import numpy as np
import pytest

import tlean as tl
from tlean._core.plan.loops.body import Code

STEPS = 4
UNARY = (tl.sin, tl.tanh, tl.neg, tl.sigmoid, tl.softplus, tl.square)
BINARY = (tl.add, tl.sub, tl.mul, tl.minimum)


def drawn(rng, count, ys):
    """A random step over so many carries: layers of equal ops, some of which differ, on carries in random orders."""
    layers = []
    for _ in range(int(rng.integers(1, 5))):
        kind, order = int(rng.integers(4)), rng.permutation(count)
        if rng.random() < 0.5:
            # A neighbour, as in a ring.
            order = np.roll(np.arange(count), int(rng.integers(count)))
        layers.append(
            (kind, order, int(rng.integers(len(UNARY))), int(rng.integers(len(BINARY))), float(rng.normal()), rng.random(count) < 0.1)
        )

    def step(carry, x):
        values = [c + x * 0.5 for c in carry] if x is not None else list(carry)
        for kind, order, unary, binary, factor, odd in layers:
            made = []
            for k, other in enumerate(order):
                a, b = values[k], values[other]
                if odd[k] or kind == 0:
                    made.append(tl.tanh(UNARY[unary](b)))
                elif kind == 1:
                    made.append(tl.sigmoid(BINARY[binary](a, UNARY[unary](b))))
                elif kind == 2:
                    made.append(a * factor + tl.sin(b) * (1.0 - factor))
                else:
                    made.append(BINARY[binary](tl.tanh(a), tl.tanh(b) * factor))
            values = made
        return tuple(values), [values[k] for k in ys] or None

    return step


def both(s, step, starts, xs):
    """The last carries and the stacked outputs, by the loop and by the single ops; with the gradients of their sum."""
    found = []
    for single in (False, True):
        s.reset_tape()
        carry = tuple(s.leaf(a) for a in starts)
        leaves = carry
        if single:
            stacks = []
            for k in range(STEPS):
                carry, made = step(carry, None if xs is None else s.const(xs[k]))
                stacks.append(made or [])
            stacked = [np.stack([y.value.numpy() for y in ys]) for ys in zip(*stacks, strict=True)]
            total = sum(tl.sum(y) for ys in stacks for y in ys)
        else:
            carry, ys = tl.scan(step, carry, None if xs is None else s.const(xs), length=STEPS)
            stacked = [y.value.numpy() for y in ys or []]
            total = sum(tl.sum(y) for y in ys or [])
        loss = sum((tl.sum(c) for c in carry), total)
        grads = s.backward_scalar_dense_all(loss)
        found.append(([c.value.numpy() for c in carry] + stacked, [grads[h].numpy() for h in leaves]))
    return found


@pytest.mark.parametrize("seed", range(16))
def test_equal_ops_side_by_side_have_the_bits_of_single_ones(seed):
    rng = np.random.default_rng(seed)
    count, n = int(rng.integers(1, 24)), int(rng.choice([1, 2, 3, 4, 5, 7, 8, 11, 16]))
    dtype = ("float32", "float64")[seed % 2]
    starts = [rng.standard_normal(n).astype(dtype) for _ in range(count)]
    xs = rng.standard_normal((STEPS, n)).astype(dtype) if rng.random() < 0.5 else None
    ys = [int(k) for k in rng.integers(count, size=int(rng.integers(3)))]
    s = tl.Session(tl.Options(dtype=dtype))
    (loop, slopes), (single, wanted) = both(s, drawn(rng, count, ys), starts, xs)
    for a, b in zip(loop, single, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(slopes, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-5 if dtype == "float32" else 1e-11)


def test_many_carries_run_as_few_calls():
    def step(carry, _):
        return tuple(a * 0.75 + tl.sin(b) * 0.25 for a, b in zip(carry, (*carry[1:], carry[0]), strict=True)), None

    starts = [np.full(3, float(k), np.float32) for k in range(60)]
    program = tl.jit(lambda *xs: tl.scan(step, xs, length=5)[0])
    program(*starts)
    codes = [c for c in gc.get_objects() if isinstance(c, Code) and len(c.program.graph.nodes) == 240]
    # Two collected operands, four loops, and the results dealt out.
    assert {c.calls for c in codes} == {7}


SIZES = (1, 2, 3, 4, 5, 8, 17, 33, 64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_products_have_the_bits_of_single_ones(dtype):
    """Of matrices that are packed once, of such that move, of transposed ones, with and without a bias and what follows."""
    rng, turns = np.random.default_rng(7), 64
    s = tl.Session(tl.Options(dtype=dtype))
    shapes = [(m, k, n) for m in SIZES for k in SIZES for n in (1,)] + [tuple(rng.choice(SIZES[:6], 3)) for _ in range(24)]
    for m, k, n in shapes:
        m, k, n = int(m), int(k), int(n)
        fixed, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (m,)))
        moving, wide = (rng.standard_normal((turns, *shape)).astype(dtype) for shape in ((k, n), (n, m)))

        def products(w, b, x, z):
            y = tl.matmul(w, x)
            rows = tl.matmul(x, w, transpose_a=True, transpose_b=True)
            line = tl.tanh(w @ x[:, 0] + b)
            return y, line, tl.tanh(rows + b), z @ w, tl.matmul(z, rows, transpose_b=True), tl.linear(w, b, x.T), x @ z

        with tl.no_grad():
            s.reset_tape()
            w, b = s.const(fixed), s.const(bias)
            _, ys = tl.scan(lambda c, xs, w=w, b=b: (c, products(w, b, *xs)), s.const(np.zeros(1, dtype)), (s.const(moving), s.const(wide)))
            for i in (0, 1, turns - 1):
                wanted = products(w, b, s.const(moving[i]), s.const(wide[i]))
                for y, single in zip(ys, wanted, strict=True):
                    np.testing.assert_array_equal(y.value.numpy()[i], single.value.numpy(), err_msg=f"{m} {k} {n}")


def test_signed_zeros_and_numbers_that_are_not_finite_in_small_products():
    turns = 64
    values = np.array([0.0, -0.0, 1e-300, -1e-300, np.inf, -np.inf, np.nan, 1.0])
    rng = np.random.default_rng(3)
    for k in (2, 3, 4, 7, 9):
        w, xs = rng.choice(values, (8, k)), rng.choice(values, (turns, k))
        s = tl.Session(tl.Options(dtype="float64"))
        with tl.no_grad():
            matrix = s.const(w)
            _, ys = tl.scan(lambda c, x, w=matrix: (c, (w @ x, w[:2] @ x, w.T @ (w @ x))), s.const(np.zeros(1)), s.const(xs))
            for i in range(turns):
                x = s.const(xs[i])
                for y, single in zip(ys, (matrix @ x, matrix[:2] @ x, matrix.T @ (matrix @ x)), strict=True):
                    found, wanted = y.value.numpy()[i], single.value.numpy()
                    np.testing.assert_array_equal(found, wanted)
                    np.testing.assert_array_equal(np.signbit(found[wanted == 0]), np.signbit(wanted[wanted == 0]))


def pieces(c, m, i):
    """Slices, joins, sums and integers of a step, each of which has a form for short arrays."""
    joined = tl.concat([c[2:5], c[:1] * 2.0, c[7:], m[1]], axis=0)
    parts = (
        joined,
        m[:, 1:3],
        m[2],
        tl.sum(m, axis=1),
        tl.sum(m),
        tl.mean(m),
        tl.sum(m, axis=0),
        tl.sum(c[1:8]),
        m.T,
        tl.max(m),
        tl.max(m, axis=1),
    )
    parts += (tl.argmax(m, axis=1), tl.tanh(m * c[:4] + tl.sin(m)))
    numbers = (i * 3 + 5, i // 2, i[1:3], i + i[0], tl.less(i, 3), tl.concat([i[2:], i[:2]], axis=0), tl.sum(i))
    return parts, numbers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_short_forms_have_the_bits_of_kernels(dtype):
    rng, turns = np.random.default_rng(11), 5
    c, m = (rng.standard_normal((turns, *shape)).astype(dtype) for shape in ((10,), (3, 4)))
    c[:, 3] = -0.0
    i = rng.integers(-5, 5, (turns, 5))
    s = tl.Session(tl.Options(dtype=dtype))
    with tl.no_grad():
        _, (parts, numbers) = tl.scan(lambda z, x: (z, pieces(*x)), s.const(np.zeros(1, dtype)), (s.const(c), s.const(m), s.const(i)))
        for k in range(turns):
            wanted = pieces(s.const(c[k]), s.const(m[k]), s.const(i[k]))
            for y, single in zip((*parts, *numbers), (*wanted[0], *wanted[1]), strict=True):
                found, expected = y.value.numpy()[k], single.value.numpy()
                np.testing.assert_array_equal(found, expected)
                if found.dtype.kind == "f":
                    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_the_way_back_through_a_while_loop_reads_parts_of_what_was_kept():
    def step(carry):
        x, k = carry
        return tl.concat([tl.sin(x[2:]) * x[1], x[:2] * tl.cos(x[3])], axis=0), k + 1

    def loop(x):
        return tl.sum(tl.square(tl.while_loop(lambda c: c[1] < 6, step, (x, 0))[0]))

    def written(x):
        for _ in range(6):
            x, _ = step((x, 0))
        return tl.sum(tl.square(x))

    x = np.array([0.3, -1.2, 0.7, 2.0, 0.1])
    np.testing.assert_array_equal(tl.jit(loop)(x).numpy(), tl.jit(written)(x).numpy())
    np.testing.assert_allclose(tl.grad(loop)(x).numpy(), tl.grad(written)(x).numpy(), rtol=1e-13)
