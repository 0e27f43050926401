"""Taylor mode against nested tangents, the forward Laplacian against traces of Hessians."""

import math

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(0)
X = RNG.standard_normal(3) * 0.4 + 0.9
SERIES = [RNG.standard_normal(3) for _ in range(3)]
W = RNG.standard_normal((3, 3))


@tl.custom_jvp
def twice_as_steep(x):
    return tl.sin(x)


twice_as_steep.defjvp(lambda p, t: (twice_as_steep(*p), 2.0 * tl.cos(p[0]) * t[0]))

PROGRAMS = {
    "sine": tl.sin,
    "exponentials": lambda x: tl.exp(x) + tl.log(x) * tl.sqrt(x),
    "quotients": lambda x: 1.0 / x + x / (1.0 + x * x),
    "powers": lambda x: x**2.5 + x ** (x * 0.5),
    "activations": lambda x: tl.tanh(x) + tl.gelu(x) * tl.sigmoid(x) + tl.relu(x - 0.9) * x,
    "special functions": lambda x: tl.erf(x) + tl.lgamma(x) + tl.atan(x),
    "a layer": lambda x: tl.tanh(tl.matmul(W, x)) * x,
    "two factors that move": lambda x: tl.matmul(tl.outer(x, x), tl.sin(x)),
    "softmax": lambda x: tl.softmax(x) * tl.logsumexp(x),
    "a norm": lambda x: tl.sum(x * x) / tl.norm(x),
    "parts": lambda x: x[[2, 0]] * x[1] + tl.sort(x * x)[:2],
    "a choice": lambda x: tl.where(x > 0.9, tl.sin(x), x * x),
    "a loop": lambda x: tl.scan(lambda c, w: (tl.sin(c) * w + x, None), x, np.array([0.5, 2.0]))[0],
    "a branch": lambda x: tl.cond(x[0] > 0, lambda x: tl.exp(x), lambda x: x, x),
    "linear algebra": lambda x: tl.linalg.solve(tl.outer(x, x) + 3.0 * np.eye(3), x),
    "another rule": twice_as_steep,
    "no derivative": lambda x: tl.floor(x) + 1.0,
}


def close(actual, expected, what=""):
    scale = 1 + np.abs(np.asarray(expected)).max()
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=1e-9, atol=1e-11 * scale, err_msg=what)


def nested(f, series):
    def curve(t):
        return f(X + sum(s * (t ** (k + 1) * (1 / math.factorial(k + 1))) for k, s in enumerate(series)))

    def slope(g):
        return lambda t: tl.jvp(g, (t,), (tl.ones(()),))[1]

    derivatives = [curve]
    for _ in series:
        derivatives.append(slope(derivatives[-1]))
    return tl.jit(lambda t: [g(t) for g in derivatives])(np.array(0.0))


@pytest.mark.parametrize("name", PROGRAMS)
def test_against_nested_derivatives(name):
    f = PROGRAMS[name]
    y, ys = tl.jet(f, X, SERIES)
    for a, b in zip((y, *ys), nested(f, SERIES), strict=True):
        assert a.shape == b.shape
        close(a, b, name)
    hessian = tl.jacfwd(tl.jacfwd(f))(X).numpy()
    close(tl.laplacian(f)(X), np.trace(hessian, axis1=-2, axis2=-1))


def test_high_orders():
    """The series of exp is known to any order; sin and cos refer to each other."""
    one, zero = np.array(1.0), np.array(0.0)
    _, ys = tl.jet(lambda t: tl.exp(2.0 * t) * tl.sin(t), zero, [one] + [zero] * 9)
    close([d.item() for d in ys], [((2 + 1j) ** k).imag for k in range(1, 11)])


def test_arguments_and_nesting():
    f = lambda a, p: {"y": tl.sin(a["u"]) * p + tl.sum(a["v"])}  # noqa: E731
    a, da = {"u": X, "v": np.ones(2)}, {"u": SERIES[0], "v": np.array([1.0, 2.0])}
    y, (first, second) = tl.jet(f, (a, X), ([da, da], None), backend="eager")
    close(y["y"], np.sin(X) * X + 2)
    close(first["y"], np.cos(X) * SERIES[0] * X + 3)
    close(second["y"], (np.cos(X) - np.sin(X) * SERIES[0]) * SERIES[0] * X + 3)
    third = lambda x: tl.sum(tl.jet(tl.sin, x, [tl.ones_like(x), tl.zeros_like(x)])[1][1])  # noqa: E731
    close(tl.grad(third)(X), -np.cos(X))
    close(tl.vmap(third)(np.stack([X, 2 * X])), [-np.sin(X).sum(), -np.sin(2 * X).sum()])
    g = lambda p: tl.sum(tl.sin(tl.matmul(p["a"], p["a"]))) * tl.sum(tl.exp(p["b"][0]))  # noqa: E731
    tree = {"a": W[:2, :2], "b": [X]}
    h = tl.hessian(g)(tree)
    total = np.trace(h["a"]["a"].numpy().reshape(4, 4)) + np.trace(h["b"][0]["b"][0].numpy())
    close(tl.laplacian(g)(tree), total)
    close(tl.grad(tl.laplacian(lambda x: tl.sum(x**4)))(X), 24 * X)
    s = tl.Session(dtype="float64")
    close(tl.laplacian(lambda x: tl.sum(x**3))(s.input(X)).value, 6 * X.sum())


def test_what_does_not_fit_is_named():
    for x, series, message in (
        (X, X, "a series must be a list"),
        (X, [X[:2]], r"must be like its argument, \(3,\) float64, got \(2,\)"),
        ((X, X), ([X], [X, X]), "must have one length, got 1 and 2"),
        ((X, X), ([X],), "an entry for each of the 2 arguments"),
        (np.arange(3), [np.arange(3)], "must hold floating-point numbers"),
    ):
        with pytest.raises(tl.TleanError, match=message):
            tl.jet(lambda *a: a[0], x, series)
    with pytest.raises(tl.DTypeError, match="argument 0 holds no floating-point numbers"):
        tl.laplacian(lambda x: x)(np.arange(3))
