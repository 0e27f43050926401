"""Derivatives of determinants where matrices have no inverse: det is affine in each entry, so exact differences are derivatives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tlean as tl

det = tl.linalg.det
SUM = lambda x: tl.sum(det(x))  # noqa: E731 - one expression


def exact(a):
    # By Leibniz, of integers.
    total = 0
    for order in itertools.permutations(range(len(a))):
        sign = (-1) ** sum(i > j for i, j in itertools.combinations(order, 2))
        total += sign * np.prod([a[i, j] for i, j in enumerate(order)], dtype=object)
    return total


def difference(a, places):
    # The derivative of det by the entries at these places: 0 where one comes twice.
    if not places:
        return exact(a)
    moved = a.copy()
    moved[places[0]] += 1
    return difference(moved, places[1:]) - difference(a, places[1:])


def derivatives(a, order):
    places = list(itertools.product(range(len(a)), repeat=2))
    several = itertools.product(places, repeat=order)
    flat = [0 if len({*p}) < order else difference(a, p) for p in several]
    return np.array(flat, float).reshape((len(a), len(a)) * order)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def of_rank(rng, n, rank):
    return (rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, n))).astype(object)


#: By the order of the derivative.
WAYS = {
    1: (tl.grad(det), tl.jacfwd(det)),
    2: (tl.hessian(det), tl.jacfwd(tl.grad(det)), tl.jacrev(tl.jacfwd(det))),
    3: (tl.jacfwd(tl.hessian(det)), tl.jacrev(tl.hessian(det))),
}


@pytest.mark.parametrize(("n", "rank"), [(n, r) for n in (1, 2, 3, 4) for r in range(n)])
def test_singular_matrices_of_every_rank(rng, n, rank):
    a = of_rank(rng, n, rank)
    x = a.astype(float)
    size = max(1.0, np.abs(x).max()) ** (n - 1)
    for order in (1, 2, 3)[: 1 if n == 4 else 3]:
        wanted = derivatives(a, order)
        for f in WAYS[order]:
            np.testing.assert_allclose(np.asarray(f(x)), wanted, rtol=0, atol=1e-12 * size)
    tape = tl.TapeM(dtype="float64")
    leaf = tape.leaf(x)
    y = tape.linalg_det(leaf)
    np.testing.assert_allclose(np.asarray(tape.tape.backward_dense(y.id, 1.0)[leaf.id]), derivatives(a, 1), rtol=0, atol=1e-13 * size)


def test_nearly_singular_matrices_and_those_of_many_rows(rng):
    # A pivot of rounding's size: the second derivative by the inverse would be noise.
    a = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])
    tens = np.rint(a * 10).astype(object)
    for order, ways in WAYS.items():
        np.testing.assert_allclose(np.asarray(ways[0](a)), derivatives(tens, order) / 10.0 ** (3 - order), rtol=0, atol=1e-13)
    # Of 20 rows, with the factors that are kept: the cofactors are the products of the null vectors.
    q, r = (np.linalg.qr(rng.standard_normal((20, 20)))[0] for _ in range(2))
    s = np.r_[np.linspace(1.0, 2.0, 19), 0.0]
    wanted = np.linalg.det(q) * np.linalg.det(r) * np.prod(s[:-1]) * np.outer(q[:, -1], r[-1])
    x = (q * s) @ r
    np.testing.assert_allclose(np.asarray(tl.grad(det)(x)), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_a_batch_has_every_matrix_by_itself(rng):
    x = rng.standard_normal((5, 3, 3))
    regular = np.asarray(tl.grad(SUM)(x))
    x[1], x[3] = 0.0, np.ones((3, 3))
    found = np.asarray(tl.grad(SUM)(x))
    assert (found[[0, 2, 4]] == regular[[0, 2, 4]]).all() and (found[[1, 3]] == 0.0).all()
    x[1, 0, 0] = np.nan
    found = np.asarray(tl.grad(SUM)(x))
    assert np.isnan(found[1]).any() and (found[[0, 2, 4]] == regular[[0, 2, 4]]).all()
    f = tl.jit(tl.vmap(tl.hessian(det)))
    assert (np.asarray(f(x[2:]))[1] == np.asarray(tl.hessian(det)(x[3]))).all()
    weighted = tl.grad(lambda x, w: tl.sum(det(x) * w), argnums=(0, 1))
    by_x, by_w = (np.asarray(g) for g in weighted(x[2:], np.array([2.0, 3.0, 0.5])))
    np.testing.assert_allclose(by_x, found[2:] * np.array([2.0, 3.0, 0.5])[:, None, None], rtol=1e-15)
    np.testing.assert_allclose(by_w, np.linalg.det(x[2:]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_huge_and_tiny_entries(scale):
    for a in ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 1.0]]):
        (p, q), (r, s) = a
        x = np.array(a) * scale
        np.testing.assert_allclose(np.asarray(tl.grad(det)(x)) / scale, [[s, -r], [-q, p]], rtol=1e-15, atol=1e-15)
        np.testing.assert_allclose(np.asarray(tl.hessian(det)(x))[0, 0], [[0, 0], [0, 1]], rtol=1e-15, atol=1e-15)
    x = np.diag([scale, 1.0 / scale, 0.0])
    np.testing.assert_allclose(np.asarray(tl.grad(det)(x)), np.diag([0.0, 0.0, 1.0]), rtol=1e-14, atol=0)
    assert tl.grad(det)(np.array([[5e-324]])).tolist() == [[1.0]]


def test_float32_and_sizes():
    x = np.array([[1.0, 2.0], [2.0, 4.0]], np.float32)
    found = tl.grad(det)(x)
    assert str(found.dtype) == "float32" and np.allclose(np.asarray(found), [[4.0, -2.0], [-2.0, 1.0]], rtol=1e-6)
    assert tl.grad(SUM)(np.zeros((0, 3, 3))).shape == (0, 3, 3) and tl.grad(SUM)(np.zeros((2, 0, 0))).shape == (2, 0, 0)
    # That of the logarithm is infinite there, as NumPy's users expect of 1/0.
    assert not np.isfinite(np.asarray(tl.grad(lambda x: tl.linalg.slogdet(x)[1])(x))).any()


def test_least_squares_of_lower_rank(rng):
    """Along matrices of one rank derivatives are those of differences; they are finite in all directions."""
    u, v, b = rng.standard_normal((4, 1)), rng.standard_normal((1, 3)), rng.standard_normal(4)
    for f in (lambda x: tl.sum(tl.linalg.pinv(x) ** 2), lambda x: tl.sum(tl.linalg.lstsq(x, b) ** 2)):
        slope = np.asarray(tl.grad(lambda u, f=f: f(u @ v))(u))
        sides = [[f((u + s * 1e-6 * e[:, None]) @ v).item() for s in (1, -1)] for e in np.eye(4)]
        np.testing.assert_allclose(slope[:, 0], [(p - q) / 2e-6 for p, q in sides], rtol=1e-6, atol=1e-8)
        for x in (u @ v, np.zeros((4, 3))):
            assert np.isfinite(np.asarray(tl.grad(f)(x))).all() and np.isfinite(np.asarray(tl.hessian(f)(x))).all()


@pytest.mark.parametrize(("shape", "condition"), [((4, 4), 1e10), ((5, 3), 1e4), ((3, 5), 1e4)])
def test_second_derivatives_of_pinv_of_ill_conditioned_matrices(shape, condition):
    """Where the rank is full a projector of the rule is 0, and its rounding must not be multiplied by 1/σ⁴."""
    rng = np.random.default_rng(4)
    m, n, k = *shape, min(shape)
    u, v = np.linalg.qr(rng.standard_normal((m, k)))[0], np.linalg.qr(rng.standard_normal((n, k)))[0]
    x, g = (u * np.geomspace(condition, 1.0, k)) @ v.T, rng.standard_normal((n, m))
    if m == n:
        wanted = tl.hessian(lambda x: tl.sum(g * tl.linalg.inv(x)))(x)
    elif m > n:
        # (xᵀx)⁻¹xᵀ by the factors of QR, which do not square the condition.
        wanted = tl.hessian(lambda x: tl.sum(g * tl.linalg.solve_triangular(*reversed_factors(x))))(x)
    else:
        wanted = tl.hessian(lambda x: tl.sum(g * tl.linalg.solve_triangular(*reversed_factors(x.T)).T))(x)
    found = tl.hessian(lambda x: tl.sum(g * tl.linalg.pinv(x)))(x)
    assert np.linalg.norm(found.numpy() - wanted.numpy()) <= 1e-5 * np.linalg.norm(wanted.numpy())


def reversed_factors(x):
    q, r = tl.linalg.qr(x)
    return r, q.T
