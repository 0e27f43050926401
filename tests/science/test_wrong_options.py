"""What no function of these rooms takes: a clear error of tlean, never one of Python's or NumPy's, and never a result."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tlean as tl

A, V, Z = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])
PAIR = ("cross", "matmul", "outer", "solve", "solve_triangular", "lstsq", "vecdot", "tensordot", "tensorsolve", "cholesky_solve")
VECTORS = {"cross": (Z[:3], Z[1:]), "outer": (V, V), "vecdot": (V, V), "matmul": (A, A), "tensordot": (A, A), "cholesky_solve": (V, A)}


def double(x):
    return x * 2.0


def square(x):
    return tl.sum((x - 1.0) ** 2)


def shifted(x):
    return x - 1.0


def falling(t, y):
    return -y


def falls(q):
    return -0.5 * tl.sum(q * q)


def chain(log_density, x0, draws=2, warmup=2, seed=1, target=0.8, max_depth=3, dense_mass=False):
    return tl.mcmc.nuts(log_density, x0, draws=draws, warmup=warmup, seed=seed, target=target, max_depth=max_depth, dense_mass=dense_mass)


def calls():
    # By title a function and the arguments of a good call.
    special = {
        "multi_dot": ([A, A],), "matrix_power": (A, 2), "vander": (V,), "vector_norm": (V,), "tensorinv": (A, 1), "block_diag": None,
        "lu_solve": (tuple(np.asarray(f) for f in tl.linalg.lu_factor(A)), V), "conjugate_gradient": (double, V), "sparse_solve": None,
        "custom_linear_solve": (double, V, lambda f, b: b / 2.0),
    }  # fmt: skip
    for n in tl.linalg.__all__:
        args = special.get(n, VECTORS.get(n, (A, V)) if n in PAIR else (A,))
        if args is not None:
            yield f"linalg.{n}", getattr(tl.linalg, n), args
    half, whole = tl.fft.rfft(Z), tl.fft.rfft2(A)
    for n in sorted({*tl.fft.__all__} - {"ComplexArray", "as_complex", "from_parts"}):
        args = {"irfft": (half,), "irfft2": (whole,), "irfftn": (whole,), "fftfreq": (4,), "rfftfreq": (4,)}.get(n)
        yield f"fft.{n}", getattr(tl.fft, n), args or (A if n.rstrip("n2") != n or "shift" in n else Z,)
    laws = {
        "norm": (0.5, 0.0, 1.0), "t": (0.5, 3.0, 0.0, 1.0), "gamma": (0.5, 2.0, 0.0, 1.0), "beta": (0.5, 2.0, 2.0), "poisson": (2.0, 3.0),
        "bernoulli": (1.0, 0.3), "categorical": (np.array(1), V), "dirichlet": (np.array([0.3, 0.7]), V), "multivariate_normal": (V, V, A),
    }  # fmt: skip
    for law, args in laws.items():
        module = getattr(tl.stats, law)
        for n in module.__all__:
            yield f"stats.{law}.{n}", getattr(module, n), args[n in ("mean", "var", "entropy", "rvs", "cov") :]
    yield "solvers.lbfgs", tl.solvers.lbfgs, (square, V)
    for n in ("levenberg_marquardt", "gauss_newton", "newton_krylov"):
        yield f"solvers.{n}", getattr(tl.solvers, n), (shifted, V)
    yield "solvers.odeint", tl.solvers.odeint, (falling, V, np.array([0.0, 1.0]))
    yield "mcmc.split_rhat", tl.mcmc.split_rhat, (np.ones((2, 8)),)
    yield "mcmc.effective_sample_size", tl.mcmc.effective_sample_size, (np.ones((2, 8)),)
    yield "linalg.block_diag", lambda a, b: tl.linalg.block_diag(a, b), (A, V)
    matrix, room = tl.sparse.from_dense(A), tl.sparse
    yield "sparse.CSR", room.CSR, (V, [1, 0], [0, 1, 2], (2, 2))
    for n, args in {
        "from_dense": (A,),
        "from_scipy": (None,),
        "spmv": (matrix, V),
        "spmm": (matrix, A),
        "sparse_solve": (matrix, V),
    }.items():
        yield f"sparse.{n}", getattr(room, n), args
    yield "linalg.sparse_solve", tl.linalg.sparse_solve, (matrix, V)
    yield "CSR @ x", lambda x: matrix @ x, (V,)
    yield "x @ CSR", matrix.__rmatmul__, (V,)
    yield "CSR * x", lambda x: matrix * x, (2.0,)
    yield "CSR / x", lambda x: matrix / x, (2.0,)
    yield "sparse.sparse_jacobian", room.sparse_jacobian, (double,)
    yield "sparse.sparse_hessian", room.sparse_hessian, (square,)
    yield "mcmc.nuts", chain, (falls, V)
    yield "interp", tl.interp, (V, Z[:3], Z[:3])
    yield "cubic_spline", tl.cubic_spline, (V, Z, Z**2)


#: None of these is an argument of any function here, but where `GOOD` says so.
WRONG = ["no", b"x", object(), {"k": 1}, {7}, np.array(["a"]), np.array([object()])]
CALLS = {title: (function, args) for title, function, args in calls()}
#: A tree of arrays, and the name of a node.
GOOD = {("x0", 3), ("y0", 3), ("b", 3), ("f", 0), ("name", 0)}


@pytest.mark.parametrize("title", CALLS)
def test_wrong_arguments_are_refused(title):
    function, args = CALLS[title]
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) or p.name in ("name", "args"):
            continue
        for k, wrong in enumerate(WRONG):
            if (p.name, k) in GOOD:
                continue
            given, named = list(args), {}
            if i < len(args):
                given[i] = wrong
            else:
                named[p.name] = wrong
            with pytest.raises(tl.TleanError):
                function(*given, **named)
                pytest.fail(f"{p.name}={wrong!r} is taken")


def test_nuts_draws_its_seed():
    """Half of the process's seeds are above the integers' range."""
    for _ in range(6):
        assert tl.mcmc.nuts(lambda q: -0.5 * tl.sum(q * q), V, draws=2, warmup=0).x.shape == (2, 2)
    with pytest.raises(tl.OptionError, match="seed must be an int of 64 bits"):
        tl.mcmc.nuts(lambda q: -0.5 * tl.sum(q * q), V, draws=2, warmup=0, seed=10**30)


def test_scipys_solvers():
    pytest.importorskip("scipy")
    adapters = tl.scipy
    calls = [
        lambda: adapters.minimize(None, V),
        lambda: adapters.minimize(square, V, method="no"),
        lambda: adapters.root(shifted, V, method=3),
        lambda: adapters.least_squares("f", V),
        lambda: adapters.solve_ivp(falling, 3.0, V),
        lambda: adapters.solve_ivp(falling, (0.0, 1.0), V, method="rk"),
    ]
    for f in calls:
        with pytest.raises(tl.OptionError):
            f()


def test_truth_is_no_word():
    assert tl.sum(A, keepdims=1).shape == tl.sum(A, keepdims=np.True_).shape == (1, 1)
    for wrong in ("a", 2, None, 0.5, [], [True]):
        with pytest.raises(tl.OptionError, match="must be True or False"):
            tl.linalg.svd(A, full_matrices=wrong)


def test_random_patterns_are_refused_or_are_matrices():
    """Rows, columns and sides with some numbers changed: an error, or the matrix that they describe, duplicates and all."""
    rng, taken = np.random.default_rng(3), 0
    for _ in range(1500):
        m, n = (int(v) for v in rng.integers(0, 5, 2))
        counts = rng.integers(0, 4, m) if n else np.zeros(m, np.int64)
        indptr, indices = np.concatenate([[0], np.cumsum(counts)]), rng.integers(0, max(n, 1), int(counts.sum()))
        for array in (indptr, indices):
            if array.size and rng.random() < 0.3:
                array[rng.integers(array.size)] = rng.choice([-(2**62), -1, 0, 1, 2, 5, 2**31, 2**62])
        if rng.random() < 0.3:
            m, n = (int(v) for v in rng.choice([-1, 0, 1, 2, 3, 4], 2))
        if rng.random() < 0.2:
            indices = indices[:-1]
        data, x = rng.standard_normal(indices.size), rng.standard_normal((max(n, 0), 2))
        try:
            a = tl.sparse.CSR(data, indices, indptr, (m, n))
        except tl.TleanError:
            continue
        dense = np.zeros((m, n))
        np.add.at(dense, (np.repeat(np.arange(m), np.diff(indptr)), indices), data)
        taken += 1
        assert np.array_equal(a.todense(), dense) or np.allclose(a.todense(), dense, rtol=0, atol=1e-15)
        np.testing.assert_allclose(a @ x, dense @ x, rtol=0, atol=1e-13)
        np.testing.assert_allclose(a.T @ np.ones(m), dense.T @ np.ones(m), rtol=0, atol=1e-13)
    assert taken > 300


def test_random_sparse_systems():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(5)
    for _ in range(60):
        n = int(rng.integers(1, 6))
        dense = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.5)
        dense[np.diag_indices(n)] += 3.0 * (rng.random(n) < 0.9)
        b = rng.standard_normal((n, 2) if rng.random() < 0.5 else n)
        if np.linalg.matrix_rank(dense) < n:
            with pytest.raises(tl.LinAlgError, match="must not be singular"):
                tl.sparse.sparse_solve(tl.sparse.from_dense(dense), b)
        elif np.linalg.cond(dense) < 1e6:
            np.testing.assert_allclose(
                tl.sparse.sparse_solve(tl.sparse.from_dense(dense), b), np.linalg.solve(dense, b), rtol=1e-8, atol=1e-9
            )


def test_multiples_of_a_sparse_matrix_are_by_numbers():
    """A vector would multiply entries in the order they are kept in."""
    matrix = tl.sparse.from_dense(A)
    for wrong in (Z, V[:1], matrix):
        for f in (lambda w: matrix * w, lambda w: matrix / w):
            with pytest.raises(tl.TleanError):
                f(wrong)
    assert (np.array(2.0) * matrix.todense()).tolist() == (matrix * np.array(2.0)).todense().tolist()
    assert tl.jit(lambda s: (matrix * s).todense())(np.array(2.0)).tolist() == (2.0 * A).tolist()


def test_wrong_densities():
    for wrong in (
        lambda q: q,
        lambda q: None,
        lambda q: "no",
        lambda q: tl.sum(q) > 0,
        lambda q: {"a": tl.sum(q)},
        lambda q: (tl.sum(q), 1),
    ):
        with pytest.raises(tl.TleanError):
            chain(wrong, V)
    for point in (np.array([1, 2]), np.array([True]), [], (), {}, None):
        with pytest.raises(tl.TleanError):
            chain(lambda q: tl.sum(tl.stack(tl.tree.flatten(q)[0])) if tl.tree.flatten(q)[0] else 0.0, point)
    assert not np.isfinite(chain(lambda q: tl.sum(q) * np.nan, V).log_density.numpy()).any()
