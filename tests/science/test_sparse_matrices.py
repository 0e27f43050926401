"""Sparse matrices against SciPy and against dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

scipy_sparse = pytest.importorskip("scipy.sparse")
RNG = np.random.default_rng(11)


def matrix(rows: int, columns: int, density: float = 0.3, diagonal: float = 0.0) -> Any:
    made = scipy_sparse.random_array((rows, columns), density=density, rng=RNG, format="csr")
    return (made + diagonal * scipy_sparse.eye_array(rows, columns)).tocsr()


def test_matrices_go_in_and_out() -> None:
    for theirs in (matrix(5, 7), matrix(4, 4).tocoo(), scipy_sparse.csr_array((3, 4)), matrix(6, 2).tocsc()):
        ours = tl.sparse.from_scipy(theirs)
        assert ours.shape == theirs.shape and ours.nnz == theirs.nnz
        np.testing.assert_array_equal(ours.todense(), theirs.toarray())
        np.testing.assert_array_equal(ours.to_scipy().toarray(), theirs.toarray())
        np.testing.assert_array_equal(ours.T.todense(), theirs.toarray().T)
        np.testing.assert_array_equal(ours.diagonal(), np.diagonal(theirs.toarray()))
    np.testing.assert_array_equal(tl.sparse.from_dense(np.eye(3)[:2]).todense(), np.eye(3)[:2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 5), (5, 9)])
def test_products_are_those_of_dense_matrices(shape: tuple[int, int], dtype: str) -> None:
    theirs = matrix(*shape).astype(dtype)
    ours, dense = tl.sparse.from_scipy(theirs), theirs.toarray()
    x, many, left = (RNG.standard_normal(s).astype(dtype) for s in (shape[1:], (shape[1], 3), (2, shape[0])))
    tol = 1e-5 if dtype == "float32" else 1e-13
    for a, b in ((ours @ x, dense @ x), (ours @ many, dense @ many), (left @ ours, left @ dense), (tl.sparse.spmv(ours, x), dense @ x)):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)
    np.testing.assert_allclose((-2.0 * ours / 4.0) @ x, -0.5 * (dense @ x), rtol=tol, atol=tol)

    for y in (x, many):
        by_a, by_x = tl.grad(lambda a, y: tl.sum(tl.sin(a @ y)), argnums=(0, 1))(ours, y)
        all_a, all_x = tl.grad(lambda a, y: tl.sum(tl.sin(a @ y)), argnums=(0, 1))(dense, y)
        np.testing.assert_allclose(by_x, all_x, rtol=10 * tol, atol=10 * tol)
        np.testing.assert_allclose(by_a.todense(), np.asarray(all_a) * (dense != 0), rtol=10 * tol, atol=10 * tol)
    np.testing.assert_allclose(tl.jit(lambda a, x: a.T @ (a @ x))(ours, x), dense.T @ (dense @ x), rtol=10 * tol, atol=10 * tol)


def test_sparse_systems_have_derivatives_of_any_order() -> None:
    theirs = matrix(8, 8, diagonal=4.0)
    ours, dense = tl.sparse.from_scipy(theirs), theirs.toarray()
    b = RNG.standard_normal(8)
    np.testing.assert_allclose(tl.sparse.sparse_solve(ours, b), np.linalg.solve(dense, b), rtol=1e-11)
    places = dense != 0

    def sparse(data: Any, b: Any) -> Any:
        return tl.sum(tl.sin(tl.linalg.sparse_solve(tl.sparse.CSR.of(ours.pattern, data), b)))

    def full(data: Any, b: Any) -> Any:
        at = np.flatnonzero(places.reshape(-1))
        return tl.sum(tl.sin(tl.linalg.solve(tl.reshape(tl.segment_sum(data, at, 64), (8, 8)), b)))

    data = np.asarray(ours.data)
    for many in (b, RNG.standard_normal((8, 2))):
        for k in (0, 1):
            np.testing.assert_allclose(tl.grad(sparse, argnums=k)(data, many), tl.grad(full, argnums=k)(data, many), rtol=1e-9, atol=1e-12)
        moves = RNG.standard_normal(data.shape), RNG.standard_normal(many.shape)
        found, wanted = (tl.jvp(f, (data, many), moves)[1] for f in (sparse, full))
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
    np.testing.assert_allclose(tl.hessian(sparse)(data, b), tl.hessian(full)(data, b), rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(tl.jit(tl.sparse.sparse_solve)(ours, b), np.linalg.solve(dense, b), rtol=1e-11)


def test_conjugate_gradients_take_sparse_matrices() -> None:
    theirs = matrix(40, 40, 0.1)
    theirs = (theirs @ theirs.T + scipy_sparse.eye_array(40)).tocsr()
    a, b = tl.sparse.from_scipy(theirs), RNG.standard_normal(40)
    np.testing.assert_allclose(tl.linalg.conjugate_gradient(a, b), np.linalg.solve(theirs.toarray(), b), rtol=1e-6, atol=1e-9)
    by_a = tl.grad(lambda a: tl.sum(tl.linalg.conjugate_gradient(a, b)))(a)
    x, u = np.linalg.solve(theirs.toarray(), b), np.linalg.solve(theirs.toarray(), np.ones(40))
    np.testing.assert_allclose(by_a.todense(), -np.outer(u, x) * (theirs.toarray() != 0), rtol=1e-5, atol=1e-7)


def test_wrong_matrices_are_named() -> None:
    a = tl.sparse.from_dense(np.eye(3))
    with pytest.raises(tl.ShapeError, match="needs 3 rows at its right"):
        a @ np.ones(4)
    with pytest.raises(tl.OptionError, match="columns must be from 0 to 1"):
        tl.sparse.CSR([1.0], [2], [0, 1], (1, 2))
    with pytest.raises(tl.OptionError, match="indptr must go up"):
        tl.sparse.CSR([1.0], [0], [0, 2], (1, 2))
    with pytest.raises(tl.LinAlgError, match="must not be singular"):
        tl.sparse.sparse_solve(tl.sparse.CSR([1.0, 1.0], [0, 0], [0, 1, 2], (2, 2)), np.ones(2))
