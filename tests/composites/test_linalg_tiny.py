"""Matrices whose pivots are so small that their reciprocals are infinite: what is finite of them is found, as of their multiples."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

#: Small whole numbers times these are exact, and so small that 1/x is infinite.
SCALES = {"float64": 2.0**-1034, "float32": 2.0**-136}
#: In registers, in lanes, rows as vectors, in panels.
SIZES = (1, 2, 3, 4, 6, 9, 16, 17, 30, 32, 33, 70)


def tiny(n, count, dtype, seed=0):
    """Matrices of whole numbers, those times the scale, and solutions."""
    rng = np.random.default_rng((seed, n, count))
    # The entries of a diagonal that is not dominant are exchanged.
    a = rng.integers(-9, 10, (count, n, n)) + np.roll(np.eye(n, dtype=int) * 9 * max(n // 4, 2), 1, axis=-1)
    x = rng.integers(-3, 4, (count, n, 2))
    return a.astype(dtype), (a * SCALES[dtype]).astype(dtype), x.astype(dtype)


def transposed(x):
    return np.ascontiguousarray(np.swapaxes(x, -1, -2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 3, 19])
@pytest.mark.parametrize("n", SIZES)
def test_values(n, count, dtype):
    scale, near = SCALES[dtype], 0.3 if dtype == "float32" else 1e-3
    a, small, x = tiny(n, count, dtype)
    with np.errstate(over="ignore"):
        assert np.isinf(1 / np.abs(small[small != 0])).all()
    sign, size = (np.asarray(v) for v in tl.linalg.slogdet(small))
    signs, sizes = np.linalg.slogdet(a.astype(np.float64))
    assert (sign == signs).all()
    np.testing.assert_allclose(size, sizes + n * np.log(scale), rtol=1e-3)
    for b, f in [
        (a @ x, lambda b: tl.linalg.solve(small, b)),
        (transposed(a) @ x, lambda b: tl.linalg.solve(transposed(small), b)),
        (a @ x, lambda b: tl.linalg.lu_solve(tl.linalg.lu_factor(small), b)),
    ]:
        np.testing.assert_allclose(np.asarray(f((b * scale).astype(dtype))), x, atol=near)
    p, low, up = (np.asarray(v) for v in tl.linalg.lu(small))
    assert np.abs(low).max() <= 1
    np.testing.assert_allclose(p @ low @ (up / scale), a, atol=near)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 3, 19])
@pytest.mark.parametrize("n", SIZES)
def test_triangles_and_inverses(n, count, dtype):
    scale = SCALES[dtype]
    # Ones beside the diagonal keep the solution small.
    t = np.eye(n) * 3.0 + np.eye(n, k=-1)
    x = np.random.default_rng(n).integers(-3, 4, (count, n, 5)).astype(float)
    small = np.broadcast_to((t * scale).astype(dtype), (count, n, n))
    for matrix, lower, turned in ((t, True, False), (t.T, True, True), (t.T, False, False)):
        b = (matrix @ x * scale).astype(dtype)
        found = tl.linalg.solve_triangular(small if lower else transposed(small), b, lower=lower, transpose=turned)
        np.testing.assert_array_equal(np.asarray(found), x)
    # Of one tiny pivot the inverse overflows in its own row alone.
    whole = np.diag([2.0] * (n - 1) + [scale]).astype(dtype)
    found = np.asarray(tl.linalg.solve(whole, np.eye(n, dtype=dtype)[:, : max(n - 1, 1)] * (scale if n == 1 else 1)))
    np.testing.assert_array_equal(found, np.eye(n)[:, : max(n - 1, 1)] * (1 if n == 1 else 0.5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", (2, 3, 4, 6, 16, 17, 32))
def test_each_matrix_has_its_own_bits(n, dtype):
    """Beside ordinary and singular ones, alone, and compiled."""
    _, small, x = tiny(n, 7, dtype)
    a = np.random.default_rng(n).standard_normal((7, n, n)).astype(dtype)
    b = x.copy()
    a[2], a[5] = small[2], small[5] * 2
    b[2] *= SCALES[dtype]
    # A zero is no tiny pivot.
    a[6] = 0

    def f(a, b):
        sign, size = tl.linalg.slogdet(a)
        return sign, size, tl.linalg.lu_factor(a)[0], tl.linalg.solve(a[:6], b[:6])

    together = [np.asarray(v) for v in f(a, b)]
    for compiled, eager in zip(tl.jit(f)(a, b), together, strict=True):
        assert np.asarray(compiled).tobytes() == eager.tobytes()
    for i in range(6):
        alone = tl.linalg.slogdet(a[i])
        assert [np.asarray(v).tobytes() for v in alone] == [v[i].tobytes() for v in together[:2]]
        assert np.asarray(tl.linalg.solve(a[i], b[i])).tobytes() == together[3][i].tobytes()
    assert np.isfinite(together[1][:6]).all() and together[0][6] == 0


def test_tiny_definite_matrices():
    for dtype, scale in SCALES.items():
        a = np.array([[4.0, 2.0], [2.0, 5.0]])
        np.testing.assert_allclose(np.asarray(tl.linalg.cholesky((a * scale).astype(dtype))) / scale**0.5, [[2, 0], [1, 2]], rtol=1e-3)
