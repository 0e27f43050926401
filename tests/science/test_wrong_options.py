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
