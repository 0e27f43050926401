"""SciPy's solvers with derivatives from tlean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

scipy = pytest.importorskip("scipy")
pytest.importorskip("scipy.sparse")


def valley(p: Any, a: Any) -> Any:
    return tl.sum(100.0 * (p["y"] - p["x"] ** 2) ** 2 + (a - p["x"]) ** 2)


@pytest.mark.parametrize(
    "method", [None, "L-BFGS-B", "Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr", "Nelder-Mead"]
)
def test_minimize(method: str | None) -> None:
    options = {"options": {"maxiter": 5000, "maxfev": 5000}} if method == "Nelder-Mead" else {}
    found = tl.scipy.minimize(valley, {"x": np.full(2, 0.6), "y": np.array([0.5, -0.5])}, args=1.0, method=method, **options)
    tight = 1e-3 if method == "Nelder-Mead" else 1e-4
    np.testing.assert_allclose(found.x["x"], [1.0, 1.0], rtol=tight)
    np.testing.assert_allclose(found.x["y"], [1.0, 1.0], rtol=2 * tight)
    if method is not None and method != "Nelder-Mead":
        assert found.success and found.njev < 200


def test_bounds_are_scipys() -> None:
    found = tl.scipy.minimize(lambda x: tl.sum((x - 3.0) ** 2), np.zeros(2), method="L-BFGS-B", bounds=[(0, 1), (0, 5)])
    np.testing.assert_allclose(found.x, [1.0, 3.0], rtol=1e-6)


def test_roots_and_least_squares_take_the_jacobian() -> None:
    found = tl.scipy.root(lambda p: {"u": p["a"] ** 2 + p["b"] - 3.0, "v": p["a"] - p["b"] + 1.0}, {"a": 2.0, "b": 0.5})
    assert found.success and found.njev >= 1
    assert found.x["a"] == pytest.approx(1.0) and found.x["b"] == pytest.approx(2.0)
    t = np.linspace(0.0, 2.0, 20)
    y = 2.0 * np.exp(-1.5 * t)
    for method in ("trf", "lm"):
        fit = tl.scipy.least_squares(lambda p, y: p[0] * tl.exp(-p[1] * t) - y, np.ones(2), args=(y,), method=method)
        np.testing.assert_allclose(fit.x, [2.0, 1.5], rtol=1e-6)
        np.testing.assert_allclose(fit.jac[:, 1], -t * y, atol=1e-5)


def test_differential_equations_take_the_jacobian() -> None:
    def f(t: Any, y: Any, k: Any) -> Any:
        return {"a": -k * y["a"], "b": k * y["a"] - tl.sin(t) * y["b"]}

    found = tl.scipy.solve_ivp(f, (0.0, 2.0), {"a": 1.0, "b": np.zeros(2)}, method="Radau", args=50.0, t_eval=[0.0, 0.5, 2.0], rtol=1e-8)
    assert found.success and found.njev >= 1 and found.y.shape == (3, 3) and found.states["b"].shape == (3, 2)
    np.testing.assert_allclose(found.states["a"], np.exp(-50.0 * np.array([0.0, 0.5, 2.0])), atol=1e-6)
    plain = tl.scipy.solve_ivp(lambda t, y: -y, (0.0, 1.0), 1.0)
    assert plain.y[0, -1] == pytest.approx(np.exp(-1.0), rel=1e-3)


def test_sparse_jacobians_are_handed_over() -> None:
    n = 30

    def heat(t: Any, u: Any) -> Any:
        edge = tl.zeros((1,), dtype="float64")
        return float(n + 1) ** 2 * (tl.concat([u[1:], edge]) - 2.0 * u + tl.concat([edge, u[:-1]]))

    x = np.arange(1, n + 1) / (n + 1)
    found = tl.scipy.solve_ivp(heat, (0.0, 0.1), np.sin(np.pi * x), method="BDF", sparse=True, rtol=1e-8, atol=1e-10)
    rate = 4.0 * (n + 1) ** 2 * np.sin(0.5 * np.pi / (n + 1)) ** 2
    np.testing.assert_allclose(found.y[:, -1], np.exp(-0.1 * rate) * np.sin(np.pi * x), rtol=1e-5)
    fit = tl.scipy.least_squares(lambda x: tl.concat([10.0 * (x[1:] - x[:-1] ** 2), 1.0 - x]), np.zeros(20), sparse=True, method="trf")
    assert scipy.sparse.issparse(fit.jac) and fit.jac.nnz == 58
    np.testing.assert_allclose(fit.x, 1.0, rtol=1e-6)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(tl.OptionError, match="derivatives must be left to the program, got jac"):
        tl.scipy.minimize(valley, np.zeros(2), jac=lambda x: x)
    with pytest.raises(tl.DTypeError, match="unknowns must be numbers"):
        tl.scipy.root(lambda x: x, "no")
