"""Random ops in bodies of loops: each draws its seed from the loop's and the number of the step, however the loop runs."""

import functools

import numpy as np
import pytest

import tlean as tl
from tlean.backends import Dual, Reference
from tlean.rng import op_seed, uniform

X = np.array([0.5, -1.0, 2.0])
STEPS = 5


def walk(x, **how):
    def step(c, _):
        z = tl.random.normal((3,), dtype="float64")
        return c * 0.9 + z * tl.sin(c) * tl.random.uniform((), dtype="float64"), z

    return tl.scan(step, x, length=STEPS, **how)


def test_seeds_are_by_the_rule():
    """Philox, keyed by the number that the loop took of the stream, at (op, step, 0, 2)."""
    program = tl.jit(
        lambda x: tl.scan(lambda c, _: (c, [tl.rand_uniform((2,), dtype="float64") for _ in range(2)]), x, length=3)[1], seed=11
    )
    found = program(X)
    for j in range(2):
        wanted = [uniform((2,), op_seed(op_seed(11, 0), j | i << 32, 2), "float64") for i in range(3)]
        np.testing.assert_array_equal(found[j].numpy(), wanted)
    # The next call takes the next number.
    np.testing.assert_array_equal(program(X)[0].numpy()[1], uniform((2,), op_seed(op_seed(11, 1), 1 << 32, 2), "float64"))


def test_the_same_numbers_however_a_loop_runs():
    c, zs = tl.jit(walk, seed=5)(X)
    assert len(np.unique(zs)) == zs.size
    wanted = tl.grad(lambda x: tl.sum(walk(x)[0]), seed=5)(X).numpy()
    for how in ({"unroll": True}, {"checkpoint": 2}, {"checkpoint": 1}, {"checkpoint": "optimal"}):
        ended, drawn = tl.jit(lambda x, how=how: walk(x, **how), seed=5)(X)
        np.testing.assert_array_equal(drawn.numpy(), zs.numpy())
        np.testing.assert_array_equal(ended.numpy(), c.numpy())
        found = tl.grad(lambda x, how=how: tl.sum(walk(x, **how)[0]), seed=5)(X).numpy()
        np.testing.assert_allclose(found, wanted, rtol=0 if "unroll" not in how else 1e-13)
    np.testing.assert_array_equal(tl.jit(lambda x: walk(x, reverse=True)[1], seed=5)(X).numpy()[::-1], zs.numpy())
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, dtype="float64", seed=5))
        h = s.leaf(X)
        ended = walk(h)[0]
        np.testing.assert_array_equal(ended.value.numpy(), c.numpy())
        np.testing.assert_array_equal(s.backward_scalar_dense_all(tl.sum(ended))[h].numpy(), wanted)
    ref = Reference("float64", seed=5)
    np.testing.assert_allclose(walk(ref.leaf(X))[0].value, c.numpy(), rtol=1e-12)
    dual = Dual(tl.Session(tl.Options(dtype="float64", seed=5)))
    np.testing.assert_array_equal(walk(dual.lift(dual.inner.leaf(X), dual.inner.leaf(X)))[0].primal.value.numpy(), c.numpy())


def ended(x, how):
    return walk(x, **how)[0]


def test_lanes_draw_their_own():
    xs = np.stack([X] * 4)
    zs = tl.jit(tl.vmap(lambda x: tl.scan(lambda c, _: walk(c), x, length=2)[1]), seed=3)(xs).numpy()
    assert len(np.unique(zs)) == zs.size
    for how in ({}, {"checkpoint": 2}, {"checkpoint": 5}):
        f = functools.partial(ended, how=how)
        mapped = tl.grad(lambda xs, f=f: tl.sum(tl.vmap(f)(xs)), seed=3)(xs).numpy()
        np.testing.assert_array_equal(tl.jit(tl.vmap(tl.grad(lambda x, f=f: tl.sum(f(x)))), seed=3)(xs).numpy(), mapped)


def shaken(x, most):
    # Ops of the condition and of the body are counted together.
    def go_on(c):
        return (c[1] < 6) & (tl.random.uniform((), dtype="float64") > 0.05)

    def step(c):
        return tl.sin(c[0]) * 0.9 + tl.random.normal((3,), dtype="float64"), c[1] + 1

    return tl.while_loop(go_on, step, (x, 0), max_steps=most)[0]


def test_loops_of_unknown_length_and_parts_draw():
    def slope(x, most):
        return tl.grad(lambda x: tl.sum(shaken(x, most)))(x)

    for f in (shaken, slope):
        unbounded, bounded = (tl.jit(functools.partial(f, most=most), seed=1)(X).numpy() for most in (None, 9))
        np.testing.assert_allclose(unbounded, bounded, rtol=1e-14)
    with pytest.raises(tl.OptionError, match="max_steps"):
        tl.vmap(tl.grad(lambda x: tl.sum(shaken(x, None))))(np.stack([X, X]))

    def part(x):
        return tl.dropout(tl.sin(x), p=0.5)

    for f in (tl.checkpoint(part), lambda x: tl.cond(tl.sum(x) > 0.0, lambda: part(x), lambda: x)):
        y, g = tl.value_and_grad(lambda x, f=f: tl.sum(f(x)), seed=2)(X)
        # The sweep drops what the value dropped.
        kept = np.isclose(g.numpy(), 2 * np.cos(X))
        assert np.all(kept | (g.numpy() == 0))
        np.testing.assert_allclose(y.item(), np.sum(2 * np.sin(X)[kept]), rtol=1e-14)

    def inner(x):
        return tl.scan(lambda c, _: (tl.grad(lambda c: tl.sum(part(c) * c))(c), None), x, length=3)[0]

    assert np.isfinite(tl.jit(inner, seed=2)(X).numpy()).all()
