"""Linear algebra: factors and solves against NumPy, exactly in fractions, by batch and by thread; what singular matrices do."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import tlean as tl
from tlean.reference.interpreter import Reference

SIZES = (1, 2, 3, 5, 8, 9, 17, 32, 33, 48, 70)


def matrices(n, lead=(), dtype=np.float64, seed=0):
    """Random matrices, and positive definite ones."""
    x = np.random.default_rng((seed, n)).standard_normal((*lead, n, n))
    return x.astype(dtype), (x @ np.swapaxes(x, -1, -2) / n + np.eye(n)).astype(dtype)


def transposed(x):
    return np.swapaxes(x, -1, -2)


def near(found, expected, tolerance):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=1e-300)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_values(n, dtype):
    x, s = matrices(n, (3,), dtype)
    b = np.random.default_rng(n).standard_normal((3, n, 2)).astype(dtype)
    exact, eps = s.astype(np.float64), 40 * n * np.finfo(dtype).eps
    factor = tl.linalg.cholesky(s).numpy()
    near(factor, np.linalg.cholesky(exact), eps)
    assert (np.triu(factor, 1) == 0).all()
    near(exact @ tl.linalg.solve(s, b).numpy(), b, 10 * eps)
    near(exact @ tl.linalg.cholesky_solve(b, factor).numpy(), b, 10 * eps)
    near(tl.linalg.inv(s).numpy(), np.linalg.inv(exact), 10 * eps)
    for lower in (False, True):
        t = np.tril(exact) if lower else np.triu(exact)
        near(t @ tl.linalg.solve_triangular(s, b, lower).numpy(), b, 10 * eps)
        near(transposed(t) @ tl.linalg.solve_triangular(s, b, lower, transpose=True).numpy(), b, 10 * eps)
    p, low, up = (v.numpy().astype(np.float64) for v in tl.linalg.lu(x))
    near(p @ low @ up, x, eps)
    assert np.abs(low).max() <= 1
    sign, size = (v.numpy() for v in tl.linalg.slogdet(s))
    expected = np.linalg.slogdet(exact)
    assert (sign == expected[0]).all()
    np.testing.assert_allclose(size, expected[1], rtol=eps, atol=eps)
    near(tl.linalg.det(s).numpy(), np.linalg.det(exact), 10 * eps)


@pytest.mark.parametrize("n", [2, 3, 7, 8, 16, 33])
def test_a_matrix_has_the_same_bits_in_any_batch(n):
    x, s = matrices(n, (21,), np.float32)
    every = [
        (tl.linalg.cholesky, s), (tl.linalg.inv, x), (tl.linalg.det, x), (lambda a: tl.linalg.lu_factor(a)[0], x),
        (lambda a: tl.linalg.solve_triangular(a, a), s),
    ]  # fmt: skip
    for function, a in every:
        together = function(a).numpy()
        for i in (0, 5, 15, 16, 20):
            assert function(a[i]).numpy().tobytes() == together[i].tobytes()
        assert function(a[3:8]).numpy().tobytes() == together[3:8].tobytes()


@pytest.mark.parametrize("n", [6, 40, 150])
def test_compiled_programs_and_threads_have_the_same_bits(n):
    x, s = matrices(n)
    b = x[:, :3].copy()

    def program(s, b):
        y = tl.linalg.solve(s, b) + tl.linalg.solve_triangular(tl.linalg.cholesky(s), b, True)
        return tl.sum(y * y) + tl.linalg.slogdet(s)[1]

    ops = tl.TapeM(dtype="float64")
    leaves = [ops.leaf(v) for v in (s, b)]
    a, c = leaves
    y = ops.linalg_solve(a, c) + ops.linalg_solve_triangular(ops.linalg_cholesky(a), c, True)
    loss = ops.sum(y * y) + ops.linalg_slogdet(a)[1]
    grads = ops.backward(loss, np.ones(()))
    before = tl.get_num_threads()
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            value, (ds, db) = tl.value_and_grad(program, argnums=(0, 1))(s, b)
            assert value.numpy().tobytes() == loss.value.numpy().tobytes()
            assert ds.numpy().tobytes() == grads[a.id].numpy().tobytes()
            assert db.numpy().tobytes() == grads[c.id].numpy().tobytes()
    finally:
        tl.set_num_threads(before)


def test_what_is_broadcast_and_converted():
    x, s = matrices(4, (2, 1))
    b = np.random.default_rng(1).standard_normal((3, 4, 2))
    near(tl.linalg.solve(s, b).numpy(), np.linalg.solve(s, b), 1e-13)
    near(tl.linalg.solve(s[0, 0], b[0, :, 0]).numpy(), np.linalg.solve(s[0, 0], b[0, :, 0]), 1e-13)
    # Of another layout, and of another dtype.
    near(tl.linalg.inv(transposed(x)).numpy(), np.linalg.inv(transposed(x)), 1e-12)
    mixed = tl.linalg.solve(s[0, 0].astype(np.float32), b[0])
    assert mixed.dtype == "float64"
    near(mixed.numpy(), np.linalg.solve(s[0, 0].astype(np.float32).astype(np.float64), b[0]), 1e-13)
    assert tl.linalg.det(np.array([[1, 2], [3, 4]])).dtype == "float32"


def test_what_is_singular_raises_at_once_and_gives_nan_in_programs():
    x, s = matrices(3, (2,))
    s[1] = -s[1]
    x[0, 2] = 0
    large = np.zeros((40, 40))
    calls = [
        (tl.linalg.cholesky, s, 1), (tl.linalg.inv, x, 0), (lambda a: tl.linalg.solve(a, np.ones((3, 1))), x, 0),
        (lambda a: tl.linalg.solve_triangular(a, np.ones((3, 1)), True), x, 0), (tl.linalg.cholesky, large, None),
        (tl.linalg.inv, large, None),
    ]  # fmt: skip
    for function, a, bad in calls:
        with pytest.raises(tl.LinAlgError, match=r"every matrix must be (invertible|positive definite), got"):
            function(a)
        y = tl.jit(function)(a).numpy()
        if bad is None:
            assert np.isnan(y).all()
            continue
        assert np.isnan(y[bad]).all()
        assert np.isfinite(y[1 - bad]).all()
    assert [float(v) for v in tl.linalg.slogdet(np.zeros((2, 2)))] == [0.0, -np.inf]
    assert float(tl.linalg.det([[1.0, 2.0], [2.0, 4.0]])) == 0.0
    assert np.isnan(tl.linalg.cholesky(np.full((0, 2, 2), np.nan)).numpy()).sum() == 0


@pytest.mark.parametrize("n", [12, 60])
def test_ill_conditioned_systems_are_solved_backward_stably(n):
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    a, b = u * np.logspace(0, -10, n) @ v, rng.standard_normal(n)
    y = tl.linalg.solve(a, b).numpy()
    assert np.abs(a @ y - b).max() <= 1e-14 * n * np.abs(a).max() * np.abs(y).max()
    s = (u * np.logspace(0, -10, n)) @ u.T
    factor = tl.linalg.cholesky(s).numpy()
    near(factor @ factor.T, (s + s.T) / 2, 1e-14 * n)


def test_exact_numbers():
    ops = Reference(Fraction)
    n = 6
    hilbert = ops.leaf([[Fraction(1, i + j + 1) for j in range(n)] for i in range(n)])
    inverse = ops.linalg_inv(hilbert)
    assert all(v.denominator == 1 for v in inverse.value.flat)
    assert (ops.matmul(hilbert, inverse).value == np.eye(n, dtype=int)).all()
    assert ops.linalg_det(hilbert).value == Fraction(1, 186313420339200000)
    assert (ops.linalg_solve(hilbert, [Fraction(1)] * n).value == inverse.value.sum(axis=1)).all()
    p, low, up = ops.linalg_lu(hilbert)
    assert (ops.matmul(ops.matmul(p, low), up).value == hilbert.value).all()
    assert ops.linalg_cholesky([[4, 2], [2, Fraction(29, 4)]]).value.tolist() == [[2, 0], [1, Fraction(5, 2)]]
    with pytest.raises(tl.DTypeError, match="linalg_cholesky: takes floats"):
        ops.linalg_cholesky([[2]])
    with pytest.raises(tl.LinAlgError, match="linalg_cholesky"):
        ops.linalg_cholesky([[-1]])


def test_derivatives_of_the_logarithm_of_the_determinant():
    # d logdet = tr(A⁻¹ dA), d² logdet = −tr(A⁻¹ dA A⁻¹ dA'): both ways of writing it.
    _, s = matrices(4)
    inverse = np.linalg.inv(s)
    hessian = -np.einsum("jk,li->ijkl", inverse, inverse)
    for function in (
        lambda a: tl.linalg.slogdet(a)[1],
        lambda a: 2.0 * tl.sum(tl.log(tl.diagonal(tl.linalg.cholesky(a)))),
    ):
        near(tl.grad(function)(s).numpy(), inverse, 1e-13)
    near(tl.hessian(lambda a: tl.linalg.slogdet(a)[1])(s).numpy().reshape(4, 4, 4, 4), hessian, 1e-12)
    # The Cholesky factor is that of the symmetric part.
    sym = (hessian + hessian.swapaxes(0, 1)) / 2
    sym = (sym + sym.swapaxes(2, 3)) / 2
    found = tl.hessian(lambda a: 2.0 * tl.sum(tl.log(tl.diagonal(tl.linalg.cholesky(a)))))(s)
    near(found.numpy().reshape(4, 4, 4, 4), sym, 1e-12)


def test_singular_matrices_of_any_dtype_are_errors():
    for x in (np.ones((2, 2), int), np.ones((17, 17), bool)):
        for f in (tl.linalg.inv, lambda a: tl.linalg.solve(a, a), tl.linalg.cholesky):
            with pytest.raises(tl.LinAlgError, match="every matrix must be"):
                f(x)
    with pytest.raises(tl.LinAlgError, match="invertible"):
        tl.linalg.solve(np.ones((2, 2), "float32"), np.ones(2))


@pytest.mark.parametrize(("dtype", "power"), [("float32", 70), ("float64", 600)])
@pytest.mark.parametrize("n", [3, 4])
def test_determinants_whose_minors_leave_the_range(n, dtype, power):
    """Rows and columns times powers of two: the determinant's bits are those of the same matrix at ordinary sizes."""
    a = np.random.default_rng(n).normal(size=(20, n, n)).astype(dtype)
    scales = np.ldexp(np.ones(n, dtype), np.array([power, -power, power, -power])[:n])
    for j, scaled in enumerate((a * scales[:, None], a * scales, a * scales[::-1, None])):
        wanted = tl.linalg.det(a).numpy() * (scales[0] if n == 3 and j < 3 else 1)
        for found in (tl.linalg.det(scaled), tl.jit(tl.linalg.det)(scaled), np.stack([tl.linalg.det(m) for m in scaled])):
            assert np.asarray(found).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("n", [3, 12, 19, 32, 40])
def test_factors_that_one_op_reads_are_not_made(n):
    a = matrices(n, (5,))[0]
    reads = {
        "packed": lambda o, a: o.linalg_lu_factor(a)[0],
        "rows": lambda o, a: o.linalg_lu_factor(a)[1],
        "det": lambda o, a: o.linalg_det(a),
        "solve": lambda o, a: o.linalg_solve(a, a),
    }
    together = tl.jit(lambda o, a: tuple(read(o, a) for read in reads.values()))(a)
    for read, expected in zip(reads.values(), together, strict=True):
        compiled = tl.compile_out(read, [a.shape], "float64")
        assert "lu_factors" not in [step.kernel for step in compiled.plan.program.steps]
        assert np.asarray(compiled(a)).tobytes() == np.asarray(expected).tobytes()


@pytest.mark.parametrize(("lead", "sides", "many"), [((), (17, 33), ()), ((2,), (18, 40), (2,)), ((), (20, 1), (3,)), ((), (40, 33), ())])
def test_factors_with_one_reader_are_those_that_the_reader_would_share(lead, sides, many):
    # Eager calls read factors; compiled ones make their own, where these are the same and each is made once.
    n, k = sides
    x, _ = matrices(n, lead)
    b = np.random.default_rng(n).standard_normal((*many, n, k))
    for f in (tl.linalg.solve, lambda x, b: tl.linalg.solve(tl.swapaxes(x, -1, -2), b)):
        np.testing.assert_array_equal(tl.jit(f)(x, b).numpy(), f(x, b).numpy())


def test_one_matrix_for_many_sides_is_factored_once_also_in_a_loop():
    x, _ = matrices(20)
    b = np.random.default_rng(0).standard_normal((3, 20, 1))
    compiled = tl.compile_out(lambda o, x, b: o.linalg_solve(x, b), [x.shape, b.shape], "float64")
    assert "lu_factors" in [step.kernel for step in compiled.plan.program.steps]

    def walk(x, b):
        return tl.scan(lambda c, s: (tl.linalg.solve(x, c) + s, None), b[0], b)[0]

    np.testing.assert_array_equal(tl.jit(walk)(x, b).numpy(), walk(x, b).numpy())
