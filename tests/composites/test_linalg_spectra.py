"""Decompositions and functions of matrices against NumPy, SciPy and PyTorch; degenerate spectra; what has no decomposition."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.linalg import expm

import tlean as tl

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")


def near(found, expected, tolerance=1e-12):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= tolerance * max(np.abs(expected).max(initial=0), 1e-300)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(4, 4), (2, 6, 3), (3, 5), (1, 1), (20, 20)])
def test_values(rng, shape):
    x = rng.standard_normal(shape)
    u, s, vh = (v.numpy() for v in tl.linalg.svd(x))
    near(s, np.linalg.svd(x, compute_uv=False))
    near((u * s[..., None, :]) @ vh, x)
    near(tl.linalg.svdvals(x), s)
    q, r = (v.numpy() for v in tl.linalg.qr(x))
    near(q @ r, x)
    near(np.swapaxes(q, -1, -2) @ q, np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], *q.shape[-1:] * 2)))
    assert (np.diagonal(r, axis1=-2, axis2=-1) >= 0).all()
    assert (np.tril(r, -1) == 0).all()
    near(tl.linalg.pinv(x), np.linalg.pinv(x), 1e-11)
    b = rng.standard_normal((*shape[:-1], 2))
    near(tl.linalg.lstsq(x, b), np.linalg.pinv(x) @ b, 1e-11)
    for order in ("fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf):
        near(tl.linalg.matrix_norm(x, order), np.linalg.norm(x, order, axis=(-2, -1)))
    near(tl.linalg.cond(x), np.linalg.cond(x), 1e-10)
    if shape[-1] != shape[-2]:
        return
    near(tl.linalg.cond(x, 1), np.linalg.cond(x, 1), 1e-10)
    near(tl.linalg.expm(3.0 * x), expm(3.0 * x))
    for n in (-3, 0, 1, 2, 5):
        near(tl.linalg.matrix_power(x, n), np.linalg.matrix_power(x, n), 1e-9)
    w, v = (y.numpy() for y in tl.linalg.eigh(x + x.T))
    near(w, np.linalg.eigvalsh(x + x.T))
    near(tl.linalg.eigvalsh(x), w / 2)
    near((v * w) @ v.T, x + x.T)
    assert (v[np.argmax(np.abs(v) > 1e-12, axis=0), range(len(w))] > 0).all()


def test_products_of_vectors(rng):
    a, b = rng.standard_normal((4, 3)), rng.standard_normal(3)
    near(tl.linalg.cross(a, b), np.cross(a, b))
    near(tl.linalg.cross(a.T, a.T, axis=0), np.zeros((3, 4)))
    near(tl.linalg.vecdot(a, b), a @ b)
    with pytest.raises(tl.ShapeError, match="linalg_cross: a must have 3 entries"):
        tl.linalg.cross(a.T, b)


#: Functions that do not depend on the signs of vectors, with PyTorch's counterparts.
SCALARS = {
    "eigh": (lambda x, la: la.eigh(x + x.swapaxes(-1, -2)), lambda w, v: ((v**4).sum() + (w**3).sum())),
    "svd": (
        lambda x, la: la.svd(x) if la is tl.linalg else la.svd(x, full_matrices=False),
        lambda u, s, vh: (u**4).sum() + (s**3).sum() + (vh**4).sum(),
    ),
    "qr": (lambda x, la: la.qr(x), lambda q, r: (q**4).sum() + (r**4).sum()),
    "svdvals": (lambda x, la: (la.svdvals(x),), lambda s: (s**3).sum()),
    "pinv": (lambda x, la: (la.pinv(x),), lambda y: (y**3).sum()),
    "nuc": (lambda x, la: (la.matrix_norm(x, "nuc"),), lambda y: (y**2).sum()),
    "cond": (lambda x, la: (la.cond(x),), lambda y: y.sum()),
    "cholesky": (lambda x, la: (la.cholesky(x @ x.swapaxes(-1, -2) + 1.0),), lambda y: (y**3).sum()),
    "inv": (lambda x, la: (la.inv(x),), lambda y: (y**3).sum()),
    "det": (lambda x, la: (la.det(x),), lambda y: (y**3).sum()),
    "solve": (lambda x, la: (la.solve(x, x[..., :1] ** 2),), lambda y: (y**3).sum()),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALARS)
def test_first_and_second_derivatives_are_those_of_pytorch(rng, name):
    decompose, scalar = SCALARS[name]
    tall = name in ("svd", "qr", "pinv", "svdvals", "nuc")
    x = rng.standard_normal((4, 3) if tall else (3, 3)) + 2 * np.eye(4 if tall else 3, 3)
    ours = lambda x: scalar(*decompose(x, tl.linalg))  # noqa: E731
    theirs = lambda x: scalar(*decompose(x, torch.linalg))  # noqa: E731
    if name == "cholesky":
        ours = lambda x: scalar(tl.linalg.cholesky(tl.matmul(x, x, transpose_b=True) + np.eye(3)))  # noqa: E731
        theirs = lambda x: scalar(torch.linalg.cholesky(x @ x.T + torch.eye(3, dtype=torch.float64)))  # noqa: E731
    t = torch.from_numpy(x)
    near(tl.jit(ours)(x), theirs(t).numpy(), 1e-11)
    near(tl.grad(ours)(x), torch.func.grad(theirs)(t).numpy(), 1e-10)
    near(
        np.asarray(tl.hessian(ours)(x)).reshape(x.size, x.size),
        torch.autograd.functional.hessian(theirs, t).numpy().reshape(x.size, x.size),
        1e-9,
    )


def test_degenerate_spectra_have_finite_derivatives(rng):
    one = np.eye(4)
    t = rng.standard_normal((4, 4))
    near(tl.grad(lambda x: tl.sum(tl.linalg.eigvalsh(x) ** 2))(one), 2 * one)
    near(tl.grad(lambda x: tl.sum(tl.linalg.svdvals(x)))(one), one)
    near(tl.grad(lambda x: tl.sum(tl.linalg.pinv(x) * t))(one), -t)
    for a in (one, np.zeros((4, 4)), np.ones((4, 4)), np.diag([1.0, 1.0, 2.0, 2.0])):
        for f in (lambda x: tl.sum(tl.linalg.eigh(x)[1] * t), lambda x: tl.sum(tl.linalg.svd(x)[0] * t) + tl.sum(tl.linalg.svd(x)[2] * t)):
            assert np.isfinite(tl.grad(f)(a).numpy()).all()
            assert np.isfinite(tl.hessian(f)(a).numpy()).all()


def test_exponentials_of_large_and_small_matrices(rng):
    x = rng.standard_normal((3, 5, 5)) * np.array([1e-8, 1.0, 30.0])[:, None, None]
    near(tl.linalg.expm(x)[2], expm(x[2]), 1e-10)
    together = tl.linalg.expm(x).numpy()
    for i in range(3):
        assert (tl.linalg.expm(x[i]).numpy() == together[i]).all()
    near(tl.linalg.expm(x.astype(np.float32))[1], expm(x[1].astype(np.float32)), 1e-5)
    generator = np.array([[0.0, -1.0], [1.0, 0.0]])
    # e^(tG) turns by the angle t.
    near(tl.grad(lambda t: tl.linalg.expm(t * generator)[1, 0])(np.array(0.3)), np.cos(0.3))
    near(tl.hessian(lambda t: tl.linalg.expm(t * generator)[1, 0])(np.array(0.3)), -np.sin(0.3))


def test_what_has_no_decomposition_gives_nan(rng):
    x = rng.standard_normal((3, 4, 4))
    x[1, 2, 2] = np.nan
    for f in (tl.linalg.eigvalsh, tl.linalg.svdvals, tl.linalg.pinv, tl.linalg.expm):
        y = f(x).numpy()
        assert np.isnan(y[1]).all()
        assert np.isfinite(y[[0, 2]]).all()
    with pytest.raises(tl.OptionError, match="linalg_matrix_norm: ord must be"):
        tl.linalg.matrix_norm(x, "l2")
