"""What a body does with values of the programs around it alone belongs into the body: in a branch that is not taken it does not run."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.backends import Dual

X = np.zeros(2)


def chosen(inner):
    """A choice whose other branch has no finite value or derivative at 0, by what the branch captures."""
    return lambda x: tl.sum(tl.cond(tl.sum(x) > 0.0, lambda: inner(x), lambda: x * 1.0))


FORMS = {
    "function": tl.log,
    "number / x": lambda x: 1.0 / x,
    "x / x": lambda x: x / x,
    "x ** y": lambda x: x**-1.5,
    "method": lambda x: x.log(),
    "property": lambda x: (1.0 / x.T).T,
    "numpy": lambda x: np.log(x),
    "numpy of a list": lambda x: np.concatenate([1.0 / x, np.sqrt(-1.0 - x)])[:2],
    "matmul": lambda x: (x @ x) ** -0.5 * x,
    "index": lambda x: 1.0 / x[::-1],
    "at": lambda x: x.at[0].set(3.0).log(),
    "gradient": lambda x: tl.grad(lambda y: tl.sum(y * y / x))(x),
    "branch in a branch": lambda x: tl.cond(tl.sum(x) > -1.0, lambda: 1.0 / x, lambda: x),
    "loop in a branch": lambda x: tl.fori_loop(0, 2, lambda i, c: c + 1.0 / x, x),
    "branch in a loop": lambda x: tl.fori_loop(0, 2, lambda i, c: tl.cond(i > 5, lambda: tl.log(x), lambda: c + x), x),
}


def faces(f, x):
    """The gradient on every face."""
    found = {"grad": tl.grad(f)(x), "jit": tl.jit(tl.grad(f))(x)}
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, dtype="float64"))
        leaf = s.leaf(x)
        found[f"session, {backend}"] = s.backward_scalar_dense_all(f(leaf))[leaf]
    m = tl.TapeM(dtype="float64")
    leaf = m.leaf(x)
    found["tape"] = m.backward_scalar(f(leaf))[leaf.id]
    return {name: g.numpy().tobytes() for name, g in found.items()}


@pytest.mark.parametrize("form", FORMS)
def test_a_branch_that_is_not_taken_does_not_run(form):
    f = chosen(FORMS[form])
    assert faces(f, X) == dict.fromkeys(faces(f, X), np.ones(2).tobytes())
    dual = Dual(tl.Session(tl.Options(dtype="float64")))
    if form != "gradient":
        assert f(dual.lift(dual.inner.leaf(X), dual.inner.leaf(X + 1.0))).tangent.value.tolist() == 2.0


@pytest.mark.parametrize("seed", range(4))
def test_gradients_have_the_bits_of_the_compiled_program(seed):
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=(2, 40))

    def f(x):
        w = tl.sin(x)

        def body(i, c):
            a, b = 0.3 * w, tl.tanh(w)
            c = tl.cond(tl.sum(c) > 0.3, lambda: w * b - 0.5 * w + c, lambda: c * w + a)
            return tl.tanh(c * a + b - w * x) + w[::-1] * 0.1

        return tl.sum(tl.fori_loop(0, 3, body, x) * weights)

    assert len(set(faces(f, x).values())) == 1


def test_a_body_that_fails_leaves_operators_as_they_were():
    s = tl.Session(dtype="float64")
    x = s.leaf([1.0, 2.0])
    with pytest.raises(ZeroDivisionError):
        tl.fori_loop(0, 2, lambda i, c: c * (1 // 0), x)
    assert (2.0 * x).tolist() == [2.0, 4.0]
    with pytest.raises(tl.DTypeError, match="no"):
        tl.cond(True, lambda: x if x[0] > 0.0 else -x, lambda: x)


def scanned(body, w, x):
    return tl.sum(tl.fori_loop(0, 4, body, x))


def whiled(body, w, x):
    return tl.sum(tl.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, body(s[0], s[1])), (np.int64(0), x), max_steps=5)[1])


@pytest.mark.parametrize("loop", [scanned, whiled])
def test_what_moves_elements_of_captured_values_is_made_once(loop):
    """And its gradient is one sweep: the loop has no part of the gradient of a slice."""
    w, x = np.random.default_rng(0).normal(size=(3, 6)), np.ones(3)

    def inside(w, x):
        return loop(lambda i, h: tl.tanh(h @ w[:, 3:]) + h @ w[:, :3], w, x)

    def outside(w, x):
        a, b = w[:, 3:], w[:, :3]
        return loop(lambda i, h: tl.tanh(h @ a) + h @ b, w, x)

    def bodies(f):
        graph = tl.GraphM(dtype="float64")
        f(*(graph.arg(k, a.shape) for k, a in enumerate((w, x))))
        return [[n.record.name for n in b.nodes] for n in graph.nodes if n.record.loop is not None for b in n.record.loop.bodies]

    assert bodies(inside) == bodies(outside)
    assert tl.grad(inside)(w, x).numpy().tobytes() == tl.grad(outside)(w, x).numpy().tobytes()


def test_a_loop_of_no_step_computes_nothing_of_captured_values():
    for steps in (0, 3):
        f = lambda x, steps=steps: tl.sum(tl.fori_loop(0, steps, lambda i, c: c + 1.0 / x, x))  # noqa: E731
        assert np.isfinite(tl.grad(f)(X).numpy()).all() == (steps == 0)


def test_equal_values_of_captured_ones_are_one_input():
    """Where the program around a loop merges equal ops, and where it does not."""
    x = np.random.default_rng(0).normal(size=5)

    def f(x):
        w = tl.sin(x)
        half = 0.5 * w
        return tl.sum(tl.fori_loop(0, 3, lambda i, h: tl.tanh(h * (0.5 * w) + half) - (0.5 * w) * x + tl.sin(x), x))

    assert len(set(faces(f, x).values())) == 1
    np.testing.assert_allclose(tl.vmap(tl.grad(f))(np.stack([x, -x])).numpy()[0], tl.grad(f)(x).numpy(), rtol=1e-12)
