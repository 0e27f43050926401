"""Sparse Jacobians and Hessians against dense ones: the numbers, the exact pattern, and how many directions it takes."""

import itertools

import numpy as np
import pytest

import tlean as tl
from tlean.sparse.jacobians import colours

RNG = np.random.default_rng(2)
N = 12
X = RNG.standard_normal(N) + 2.0
PAIRS = np.array([[0, 3], [4, 9], [11, 2], [5, 6], [1, 8]])


def laplace(x):
    u = tl.reshape(x, (3, 4))
    p = tl.pad(u, ((1, 1), (1, 1)))
    return tl.flatten(4.0 * u - p[:-2, 1:-1] - p[2:, 1:-1] - p[1:-1, :-2] - p[1:-1, 2:])


def bonds(x):
    return tl.sin(x[PAIRS[:, 0]] - x[PAIRS[:, 1]]) * x[PAIRS[:, 1]]


def assembled(x):
    return tl.zeros(N).at[PAIRS[:, 0]].add(x[PAIRS[:, 1]] ** 2)


#: name → (program, whether the pattern is exact).
PROGRAMS = {
    "elements": (lambda x: tl.sin(x) * x + tl.where(x > 0, x, 2.0 * x), True),
    "neighbours": (lambda x: x[1:] * x[:-1] + tl.exp(x[1:]), True),
    "a grid": (laplace, True),
    "named pairs": (bonds, True),
    "sums into places": (assembled, True),
    "rows": (lambda x: tl.sum(tl.reshape(x, (3, 4)) ** 2, axis=1), True),
    "softmax of rows": (lambda x: tl.softmax(tl.reshape(x, (3, 4))), True),
    "running sums": (lambda x: tl.cumsum(x * x, axis=0), True),
    "a product": (lambda x: tl.matmul(tl.reshape(x, (3, 4)), tl.ones((4, 2))), True),
    "a filter": (lambda x: tl.conv(tl.ones((1, 1, 3)), None, tl.reshape(tl.tanh(x), (1, 1, N)), padding=1), True),
    "pieces": (lambda x: tl.concat([tl.flip(x[:3], 0), tl.roll(x, 2, 0)[::2] ** 2, tl.zeros(2)], axis=0), True),
    "none": (lambda x: tl.floor(x), True),
    "one reduced": (lambda x: x[:4] * tl.sum(x[8:]), True),
    "a solver": (lambda x: tl.linalg.solve(tl.reshape(x[:9], (3, 3)) + 3.0 * np.eye(3), x[9:]), False),
    "a loop": (lambda x: tl.scan(lambda c, w: (c * w, c), x[:2], x[2:])[1], False),
    "a layer": (lambda x: tl.layer_norm(tl.reshape(x, (3, 4))), False),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_against_dense(name):
    f, exact = PROGRAMS[name]
    made = tl.sparse_jacobian(f)(X)
    dense = tl.jacrev(f)(X).numpy()
    dense = dense.reshape(-1, N)
    assert made.shape == dense.shape
    np.testing.assert_allclose(made.todense(), dense, rtol=1e-12, atol=1e-13)
    indptr, indices = made.indptr, made.indices
    pattern = np.zeros(dense.shape, bool)
    pattern[np.repeat(np.arange(len(dense)), np.diff(indptr)), indices] = True
    assert all((np.diff(indices[a:b]) > 0).all() for a, b in itertools.pairwise(indptr))
    if exact:
        np.testing.assert_array_equal(pattern, dense != 0)


def energy(x):
    return tl.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_hessian():
    made = tl.sparse_hessian(energy)(X)
    np.testing.assert_allclose(made.todense(), tl.hessian(energy)(X).numpy(), rtol=1e-12)
    assert made.data.shape == (3 * N - 2,)
    scipy = pytest.importorskip("scipy.sparse")
    assert scipy.issparse(made.to_scipy()) and (made.to_scipy().toarray() == made.todense()).all()


def test_few_directions():
    """A tridiagonal pattern takes three colours, an arrow's row is taken in reverse."""
    band = np.array([(i, j) for i in range(50) for j in range(50) if abs(i - j) < 2]).T
    assert colours(band[0], band[1], 50).max() == 2
    jacobian = tl.sparse_jacobian(lambda x: tl.concat([tl.reshape(tl.sum(x * x), (1,)), x[1:] ** 2], axis=0))
    np.testing.assert_allclose(jacobian(X).todense()[0], 2 * X)
    assert "(2, 12)" in str([jacobian._latest.graph.specs]).replace("shape=", "")
    x = np.linspace(0.0, 1.0, 2000)
    big = tl.sparse_hessian(energy)(x)
    assert big.data.shape == (3 * 2000 - 2,) and big.shape == (2000, 2000)


def test_inside_programs():
    """The entries are differentiated and mapped like other arrays; captured numbers that the pattern depends on are looked at again."""
    f = tl.sparse_jacobian(lambda x: x[1:] * x[:-1] ** 2)
    close = np.testing.assert_allclose
    close(tl.grad(lambda x: tl.sum(f(x).data))(X), tl.grad(lambda x: tl.sum(tl.jacfwd(lambda x: x[1:] * x[:-1] ** 2)(x)))(X))
    close(tl.vmap(lambda x: f(x).data)(np.stack([X, 2 * X])), np.stack([f(X).data, f(2 * X).data]))
    places = np.array([0, 1])
    g = tl.sparse_jacobian(lambda x: x[places] ** 2)
    assert g(X).indices.tolist() == [0, 1]
    places[:] = [5, 7]
    assert g(X).indices.tolist() == [5, 7]
    close(g(X).data, 2 * X[[5, 7]])


def test_what_does_not_fit_is_named():
    for f, message in ((lambda x: (x, x), "must return an array"), (lambda x: x > 0, "must return floating-point numbers")):
        with pytest.raises(tl.TleanError, match=message):
            tl.sparse_jacobian(f)(X)
    with pytest.raises(tl.OptionError, match="the argument must be one array"):
        tl.sparse_jacobian(lambda t: t[0] + t[1])([X, X])
    with pytest.raises(tl.OptionError, match="argnums must be one int"):
        tl.sparse_jacobian(lambda x: x, argnums=(0, 1))
