"""LU, QR and singular values of rectangular matrices, whole bases, and further functions of `tl.linalg`, against NumPy and in fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import tlean as tl
from tlean.reference.interpreter import Reference

L = tl.linalg
rng = np.random.default_rng(0)
SHAPES = ((5, 3), (3, 5), (40, 33), (2, 6, 3), (2, 3, 6), (1, 1), (3, 0), (0, 3), (0, 4, 2), (4, 1), (1, 4))


def near(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-11, atol=1e-12)


def turned(a):
    return np.swapaxes(np.asarray(a), -1, -2)


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_multiply_back(shape):
    a = rng.standard_normal((*shape[:-2], 2 * shape[-2], shape[-1]))[..., ::2, :]
    k = min(shape[-2:])
    for lu in (L.lu, tl.jit(L.lu)):
        p, low, up = (np.asarray(x) for x in lu(a))
        near(p @ low @ up, a)
        assert p.shape[-1] == shape[-2] and low.shape[-1] == up.shape[-2] == k
        assert (np.abs(low) <= 1).all() and (np.triu(low, 1) == 0).all() and (np.tril(up, -1) == 0).all()
    packed, order = L.lu_factor(a)
    assert packed.shape == shape and np.sort(np.asarray(order)).tolist() == np.broadcast_to(np.arange(shape[-2]), shape[:-1]).tolist()
    u, s, vh = L.svd(a, full_matrices=True)
    near(turned(u) @ np.asarray(u), np.broadcast_to(np.eye(shape[-2]), np.shape(u)))
    near(np.asarray(vh) @ turned(vh), np.broadcast_to(np.eye(shape[-1]), np.shape(vh)))
    near((np.asarray(u)[..., :k] * np.asarray(s)[..., np.newaxis, :]) @ np.asarray(vh)[..., :k, :], a)
    q, r = L.qr(a, mode="complete")
    near(turned(q) @ np.asarray(q), np.broadcast_to(np.eye(shape[-2]), np.shape(q)))
    near(np.asarray(q) @ np.asarray(r), a)
    near(L.qr(a, mode="r"), np.asarray(r)[..., :k, :])


def test_a_tall_matrix_of_lower_rank_has_factors():
    p, low, up = (np.asarray(x) for x in L.lu([[1.0, 2.0], [2.0, 4.0], [-2.0, -4.0]]))
    assert low.tolist() == [[1, 0], [0.5, 1], [-1, 0]] and up.tolist() == [[2, 4], [0, 0]]
    near(p @ low @ up, [[1, 2], [2, 4], [-2, -4]])


@pytest.mark.parametrize("shape", [(4, 2), (2, 4)])
def test_factors_in_fractions(shape):
    ops = Reference(Fraction)
    a = ops.leaf([[Fraction(int(v), 7) for v in row] for row in rng.integers(-9, 10, shape)])
    p, low, up = ops.linalg_lu(a)
    assert (ops.matmul(ops.matmul(p, low), up).value == a.value).all()
    assert all(abs(v) <= 1 for v in low.value.flat)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 3), (2, 3, 4)])
def test_derivatives_are_those_of_differences(shape):
    a, t = rng.standard_normal(shape), rng.standard_normal(shape)
    m, n = shape[-2:]
    w = [rng.standard_normal((*shape[:-2], m, m)), rng.standard_normal((*shape[:-2], n, n))]

    def factors(a):
        _, low, up = L.lu(a)
        return tl.sum(tl.sin(tl.matmul(w[0], low))) + tl.sum(tl.matmul(up, w[1]) ** 2)

    def left(a):
        # Of the vectors beyond the shorter side: through their projector, which is theirs alone.
        u, s, vh = L.svd(a, full_matrices=True)
        k = min(m, n)
        c, d = u[..., k:], vh[..., k:, :]
        return tl.sum(w[0] * (c @ tl.swapaxes(c, -1, -2))) + tl.sum(w[1] * (tl.swapaxes(d, -1, -2) @ d)) + tl.sum(s**3)

    def whole(a):
        q, r = L.qr(a, mode="complete")
        c = q[..., min(m, n) :]
        return tl.sum(w[0] * (c @ tl.swapaxes(c, -1, -2))) + tl.sum(r**2 * 0.5) + tl.sum(tl.matmul(w[0], q[..., : min(m, n)]) ** 3)

    for f in (factors, left, whole):
        gradient = np.asarray(tl.grad(f)(a))
        h = 1e-6
        slope = (float(f(a + h * t)) - float(f(a - h * t))) / (2 * h)
        assert abs(np.sum(gradient * t) - slope) <= 1e-7 * max(1.0, abs(slope)), f.__name__
        pushed = float(tl.jvp(f, (a,), (t,))[1])
        assert abs(pushed - np.sum(gradient * t)) <= 1e-10 * max(1.0, abs(slope))
        curve = (np.asarray(tl.grad(f)(a + h * t)) - np.asarray(tl.grad(f)(a - h * t))) / (2 * h)
        np.testing.assert_allclose(np.asarray(tl.hvp(f, (a,), (t,))[0]), curve, rtol=1e-5, atol=1e-6 * np.abs(curve).max())


def test_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    for shape in ((5, 3), (3, 5)):
        a = rng.standard_normal(shape)
        x = torch.tensor(a, requires_grad=True)
        _, low, up = torch.linalg.lu(x)
        (low.sin().sum() + (up**3).sum()).backward()

        def f(a):
            _, low, up = L.lu(a)
            return tl.sum(tl.sin(low)) + tl.sum(up**3)

        near(tl.grad(f)(a), x.grad.numpy())
        near(tl.vmap(tl.grad(f))(np.stack([a, a]))[1], x.grad.numpy())


def test_further_functions_are_those_of_numpy():
    a, b = rng.standard_normal((2, 4, 4)), rng.standard_normal((2, 4, 3))
    near(L.lu_solve(L.lu_factor(a), b), np.linalg.solve(a, b))
    near(L.lu_solve(L.lu_factor(a[0]), b[0, :, 0]), np.linalg.solve(a[0], b[0, :, 0]))
    spd = a @ turned(a) + np.eye(4)
    near(L.cholesky_inverse(np.linalg.cholesky(spd)), np.linalg.inv(spd))
    near(L.matrix_transpose(b), turned(b))
    near(L.matrix_exp(a), tl.linalg.expm(a).numpy())
    x = rng.standard_normal((2, 3, 6))
    near(L.tensorinv(x.reshape(6, 2, 3), ind=1), np.linalg.tensorinv(x.reshape(6, 2, 3), ind=1))
    near(L.tensorsolve(x.reshape(6, 2, 3), x[0, 0]), np.linalg.tensorsolve(x.reshape(6, 2, 3), x[0, 0]))
    for order in (None, "fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf):
        for keep in (False, True):
            near(L.norm(x, order, axis=(0, 2), keepdims=keep), np.linalg.norm(x, order, axis=(0, 2), keepdims=keep))
    for order in (None, 0, 1, 2, 3.5, -1, np.inf, -np.inf):
        near(L.norm(x, order, axis=1), np.linalg.norm(x, order, axis=1))
        near(L.norm(x[0, 0], order), np.linalg.norm(x[0, 0], order))
    near(L.norm(x, keepdims=True), np.linalg.norm(x, keepdims=True))


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (tl.OptionError, lambda: L.qr(np.eye(3), mode="raw")),
        (tl.ShapeError, lambda: L.lu(np.ones(3))),
        (tl.ShapeError, lambda: L.lu_solve(L.lu_factor(np.eye(3)), np.ones(2))),
        (tl.ShapeError, lambda: L.tensorsolve(np.ones((2, 3)), np.ones(2))),
        (tl.ShapeError, lambda: L.tensorinv(np.ones((2, 3)), ind=1)),
        (tl.OptionError, lambda: L.norm(np.ones((2, 3)), 2, axis=(0, 1, 2))),
        (tl.OptionError, lambda: L.vector_norm(np.ones(3), "fro")),
    ],
)
def test_errors(error, call):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_matrix_that_is_not_finite_is_nan_and_the_others_are_what_they_were(number):
    x = np.random.default_rng(2).normal(size=(3, 4, 4))
    x[1, 2, 0] = number
    for f in (tl.linalg.svd, tl.linalg.eigh, tl.linalg.qr, lambda x: (tl.linalg.pinv(x), tl.linalg.expm(x))):
        for y, alone in zip(f(x), f(x[2]), strict=True):
            assert np.isnan(y.numpy()[1]).all()
            np.testing.assert_array_equal(y.numpy()[2], alone.numpy())
        assert all(np.isnan(y.numpy()).all() for y in f(x[1]))
