"""Roots, fixed points and minimisers: their derivatives against unrolled iterations, closed forms and finite differences."""

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(5)
W = 0.4 * RNG.standard_normal((4, 4)) / 2
X, V = RNG.standard_normal(4), RNG.standard_normal(4)


def close(actual, expected, rtol=1e-9):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=1e-11)


def layer(w, x, z):
    return tl.tanh(tl.matmul(w, z) + x)


def settled(w, x):
    return tl.fixed_point(lambda z: layer(w, x, z), np.zeros(4))


def unrolled(w, x):
    return tl.fori_loop(0, 120, lambda i, z: layer(w, x, z), np.zeros(4))


def dense(w, x):
    return tl.custom_root(lambda z: z - layer(w, x, z), np.zeros(4), lambda f, z: tl.fori_loop(0, 120, lambda i, z: z - f(z), z))


def conjugate_gradients(g, y):
    """Of the normal equations; the loop has no second derivative."""
    _, back = tl.vjp(g, y)

    def step(c):
        x, r, p, n = c
        ap = back(g(p))[0]
        a = tl.sum(r * r) / tl.sum(p * ap)
        after = r - a * ap
        return x + a * p, after, after + (tl.sum(after * after) / tl.sum(r * r)) * p, n + 1

    b = back(y)[0]
    return tl.while_loop(lambda c: tl.logical_and(tl.sum(c[1] * c[1]) > 1e-28, c[3] < 20), step, (tl.zeros_like(y), b, b, 0))[0]


def iterative(w, x):
    def solve(f, z):
        return tl.while_loop(lambda z: tl.max(tl.abs(f(z))) > 1e-14, lambda z: z - f(z), z, max_steps=200)

    return tl.custom_root(lambda z: z - layer(w, x, z), np.zeros(4), solve, conjugate_gradients)


def loss(solver):
    return lambda w, x: tl.sum(tl.sin(solver(w, x)) * V)


def through_a_loop(solver):
    return lambda w, x: tl.scan(lambda c, s: (solver(w, c) + s, tl.sum(c)), x, np.ones((3, 4)))[0]


TRANSFORMS = {
    "value": lambda s: s,
    "gradient": lambda s: tl.grad(loss(s), argnums=(0, 1)),
    "tangent": lambda s: lambda w, x: tl.jvp(s, (w, x), (w * 0.3, V))[1],
    "hessian": lambda s: tl.hessian(lambda w, x: loss(s)(w, x), argnums=1),
    "reverse twice": lambda s: tl.grad(lambda w, x: tl.sum(tl.grad(loss(s))(w, x) * W)),
    "third": lambda s: tl.grad(lambda w, x: tl.sum(tl.hessian(loss(s), argnums=1)(w, x))),
    "in a loop": lambda s: tl.jacrev(through_a_loop(s), argnums=1),
    "mapped": lambda s: lambda w, x: tl.vmap(tl.grad(loss(s)), in_axes=(None, 0))(w, tl.stack([x, 2.0 * x, -x])),
    "gradient of mapped": lambda s: tl.grad(lambda w, x: tl.sum(tl.vmap(s, in_axes=(0, None))(tl.stack([w, 0.5 * w]), x) ** 2), argnums=1),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_against_the_unrolled_iteration(name):
    expected = tl.tree.flatten(TRANSFORMS[name](unrolled)(W, X))[0]
    for solver in (settled, dense, iterative):
        for a, b in zip(tl.tree.flatten(TRANSFORMS[name](solver)(W, X))[0], expected, strict=True):
            close(a, b)


def test_on_tapes_with_parameters_and_trees():
    """Recorded op by op, the root of a tree is the same; parameters that the equation captures have gradients."""
    a, b = tl.Param(np.array([2.0, 3.0])), tl.Param(np.array(0.5))

    def equation(x):
        return {"u": x["u"] ** 3 - a, "v": [x["v"][0] - b * tl.sum(x["u"])]}

    def newton(f, x):
        def step(i, x):
            j = tl.jacfwd(lambda u: f({"u": u, "v": x["v"]})["u"])(x["u"])
            u = x["u"] - tl.linalg.solve(j, f(x)["u"])
            return {"u": u, "v": [x["v"][0] - f({"u": u, "v": x["v"]})["v"][0]]}

        return tl.fori_loop(0, 60, step, x), tl.sum(x["u"])

    found = []
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, dtype="float64"))
        start = {"u": s.input(np.ones(2)), "v": [s.input(np.array(0.0))]}
        s.use(a), s.use(b)
        root, aux = tl.custom_root(equation, start, newton, has_aux=True)
        out = s.sum(root["u"]) + root["v"][0] * 2.0
        grads = s.backward_params(out)
        assert aux.item() == 2.0
        found.append((out.item(), grads[a].tolist(), grads[b].tolist()))
    assert found[0] == found[1]
    u = np.cbrt([2.0, 3.0])
    close(found[0][0], 2 * u.sum())
    close(found[0][1], 2 / 3 / u**2)
    close(found[0][2], 2 * u.sum())


def test_minimiser():
    """Ridge regression, whose minimiser has a closed form in the penalty."""
    m, y = RNG.standard_normal((6, 3)), RNG.standard_normal(6)

    def best(k):
        def f(w):
            return tl.sum(tl.square(tl.matmul(m, w) - y)) + k * tl.sum(w * w)

        return tl.implicit_argmin(f, np.zeros(3), lambda f, w: w - tl.linalg.solve(tl.hessian(f)(w), tl.grad(f)(w)))

    def closed(k):
        return tl.linalg.solve(m.T @ m + k * np.eye(3), m.T @ y)

    k = np.array(0.7)
    close(best(k), closed(k))
    close(tl.jacrev(best)(k), tl.jacfwd(closed)(k))
    close(tl.jacfwd(tl.jacrev(best))(k), tl.jacfwd(tl.jacfwd(closed))(k))


def test_the_guess_changes_nothing():
    close(tl.grad(lambda guess: tl.sum(tl.fixed_point(lambda z: layer(W, X, z), guess)))(np.ones(4)), np.zeros(4))


def test_what_does_not_fit_is_named():
    with pytest.raises(tl.ShapeError, match=r"custom_root: f must return arrays like the initial guess, \(2,\) float32, got \(\)"):
        tl.custom_root(lambda x: tl.sum(x), np.ones(2, "float32"), lambda f, x: x)
    with pytest.raises(tl.ShapeError, match=r"fixed_point: f must return a tree like"):
        tl.fixed_point(lambda x: (x, x), np.ones(2))
    with pytest.raises(tl.DTypeError, match="floating-point"):
        tl.custom_root(lambda x: x, np.ones(2, int), lambda f, x: x)
    with pytest.raises(tl.OptionError, match="max_steps"):
        tl.fixed_point(lambda x: x, np.ones(2), max_steps=None)
