"""Solvers against closed forms and SciPy, with derivatives by the implicit function theorem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

optimize = pytest.importorskip("scipy.optimize")
RNG = np.random.default_rng(7)
solvers = tl.solvers


def rosenbrock(x: Any) -> Any:
    return tl.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def decay(p: Any, t: Any, y: Any) -> Any:
    return p["a"] * tl.exp(-p["k"] * t) + p["c"] - y


def test_lbfgs_finds_minima_of_trees_with_derivatives() -> None:
    for x0 in (np.zeros(10), np.full(25, -1.2)):
        found = tl.jit(lambda x0: solvers.lbfgs(rosenbrock, x0, max_steps=1000))(x0)
        assert found.converged.item() and np.abs(np.asarray(found.x) - 1.0).max() < 1e-6 and found.value.item() < 1e-12

    m = RNG.standard_normal((6, 6))
    a = m @ m.T + np.eye(6)

    def objective(p: Any, a: Any, b: Any) -> Any:
        x = tl.concat([p["u"], tl.reshape(p["v"], (4,))])
        return 0.5 * tl.sum(x * (a @ x)) - tl.sum(b * x)

    def solution(b: Any) -> Any:
        p = solvers.lbfgs(objective, {"u": np.zeros(2), "v": np.zeros((2, 2))}, a, b).x
        return tl.concat([p["u"], tl.reshape(p["v"], (4,))])

    b = RNG.standard_normal(6)
    np.testing.assert_allclose(solution(b), np.linalg.solve(a, b), rtol=1e-6)
    np.testing.assert_allclose(tl.jacrev(solution)(b), np.linalg.inv(a), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(tl.jacfwd(solution)(b), np.linalg.inv(a), rtol=1e-8, atol=1e-10)


def test_a_solver_that_stops_early_says_so() -> None:
    found = solvers.lbfgs(rosenbrock, np.zeros(10), max_steps=3)
    assert found.steps.item() == 3 and not found.converged.item()
    found = solvers.newton_krylov(lambda x: x * x + 1.0, np.array([3.0]), max_steps=20)
    assert not found.converged.item()
    found = solvers.levenberg_marquardt(lambda x: tl.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]]), np.array([-1.2, 1.0]), max_steps=2)
    assert found.steps.item() == 2 and not found.converged.item()


def test_roots_have_second_derivatives() -> None:
    def root(a: Any) -> Any:
        return solvers.newton_krylov(lambda x: x**3 + x - a, tl.ones_like(a)).x

    a = np.array([0.5, 2.0, -7.0])
    x = np.asarray(root(a))
    np.testing.assert_allclose(x**3 + x, a, rtol=1e-9)
    slope = 1.0 / (3.0 * x**2 + 1.0)
    np.testing.assert_allclose(tl.grad(lambda a: tl.sum(root(a)))(a), slope, rtol=1e-8)
    np.testing.assert_allclose(tl.hessian(lambda a: tl.sum(root(a)))(a), np.diag(-6.0 * x * slope**3), rtol=1e-7, atol=1e-9)
    single = np.asarray(solvers.newton_krylov(lambda x: x * x - 2.0, np.float32(1.0)).x)
    assert single.dtype == np.float32 and abs(single - 2**0.5) < 1e-5


@pytest.mark.parametrize("linear", ["gmres", "cg"])
def test_newton_krylov_solves_a_boundary_value_problem(linear: str) -> None:
    # u'' = exp(u), whose Jacobian is symmetric; 60 unknowns, more than a basis of GMRES.
    n = 60
    h = 1.0 / (n + 1)

    def equation(u: Any) -> Any:
        edge = tl.zeros((1,), dtype="float64")
        return -(tl.concat([u[1:], edge]) - 2.0 * u + tl.concat([edge, u[:-1]])) / h**2 - tl.exp(u)

    found = solvers.newton_krylov(equation, np.zeros(n), linear=linear, tol=1e-8)
    assert found.converged.item()
    theirs = optimize.root(lambda u: -(np.r_[u[1:], 0] - 2 * u + np.r_[0, u[:-1]]) / h**2 - np.exp(u), np.zeros(n), tol=1e-12)
    np.testing.assert_allclose(found.x, theirs.x, rtol=1e-8)


@pytest.mark.parametrize("method", ["levenberg_marquardt", "gauss_newton"])
def test_curves_are_fitted_and_differentiated(method: str) -> None:
    fit = getattr(solvers, method)
    t = np.linspace(0.0, 3.0, 40)
    y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.05 * RNG.standard_normal(40)

    def parameters(y: Any) -> Any:
        p = fit(decay, {"a": 1.0, "k": 1.0, "c": 0.0}, t, y).x
        return tl.stack([p["a"], p["k"], p["c"]])

    theirs = optimize.least_squares(lambda p: p[0] * np.exp(-p[1] * t) + p[2] - y, [1.0, 1.0, 0.0], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(parameters(y), theirs.x, rtol=1e-7)
    # The implicit derivative has the curvature of the residuals, not JᵀJ alone.
    direction = RNG.standard_normal(40)
    step = 1e-3
    sides = [np.asarray(parameters(y + s * step * direction)) for s in (1, -1)]
    np.testing.assert_allclose(tl.jvp(parameters, (y,), (direction,))[1], (sides[0] - sides[1]) / (2 * step), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(tl.jacrev(parameters)(y)) @ direction, (sides[0] - sides[1]) / (2 * step), rtol=1e-4, atol=1e-5)


def test_levenberg_marquardt_takes_hard_starts() -> None:
    found = solvers.levenberg_marquardt(lambda x: tl.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]]), np.array([-1.2, 1.0]))
    assert found.converged.item()
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-9)
    # More unknowns than residuals, and a Jacobian that is singular at the solution.
    powell = lambda x: tl.stack([x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, 10**0.5 * (x[0] - x[3]) ** 2])  # noqa: E731
    assert solvers.levenberg_marquardt(powell, np.array([3.0, -1.0, 0.0, 1.0])).value.item() < 1e-16


def test_linear_systems_by_products() -> None:
    m = RNG.standard_normal((30, 30))
    a, b = m @ m.T + 5.0 * np.eye(30), RNG.standard_normal(30)
    np.testing.assert_allclose(tl.linalg.conjugate_gradient(a, b), np.linalg.solve(a, b), rtol=1e-7)

    def total(s: Any, b: Any) -> Any:
        return tl.sum(tl.sin(tl.linalg.conjugate_gradient(lambda x: a @ x + s * x, b, tol=1e-13)))

    def dense(s: Any, b: Any) -> Any:
        return tl.sum(tl.sin(tl.linalg.solve(a + s * np.eye(30), b)))

    for k in (0, 1):
        ours, theirs = (tl.grad(f, argnums=k)(np.array(0.3), b) for f in (total, dense))
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-10)
    second = [tl.grad(lambda s, f=f: tl.grad(f)(s, b))(np.array(0.3)).item() for f in (total, dense)]
    assert second[0] == pytest.approx(second[1], rel=1e-6)
    diagonal = np.diag(a)
    near = tl.linalg.conjugate_gradient(a, b, preconditioner=lambda x: x / diagonal)
    np.testing.assert_allclose(near, np.linalg.solve(a, b), rtol=1e-7)

    def by_any(b: Any) -> Any:
        return tl.linalg.custom_linear_solve(lambda x: m @ x, b, lambda f, b: tl.linalg.solve(tl.jacfwd(f)(tl.zeros_like(b)), b))

    np.testing.assert_allclose(tl.jacrev(by_any)(b), np.linalg.inv(m), rtol=1e-8, atol=1e-8)


def test_wrong_options_are_named() -> None:
    with pytest.raises(tl.OptionError, match="linear must be"):
        solvers.newton_krylov(lambda x: x, np.ones(2), linear="lu")
    with pytest.raises(tl.OptionError, match="tol must be a positive number"):
        solvers.lbfgs(rosenbrock, np.ones(2), tol=0.0)
    with pytest.raises(tl.ShapeError, match="as many equations as x has unknowns"):
        solvers.newton_krylov(lambda x: x[:1], np.ones(2))
    with pytest.raises(tl.DTypeError, match="unknowns must be floats"):
        solvers.lbfgs(lambda x: tl.sum(x), np.ones(2, dtype=int))


def test_what_is_no_function_and_what_is_no_minimum():
    for solver in (tl.solvers.lbfgs, tl.solvers.newton_krylov, tl.solvers.gauss_newton, tl.solvers.levenberg_marquardt):
        with pytest.raises(tl.OptionError, match="f must be a function, got float"):
            solver(3.0, np.ones(2))
    with pytest.raises(tl.TleanError, match="newton_krylov: restart must be"):
        tl.solvers.newton_krylov(lambda x: x * x - 2.0, np.ones(2), restart=0)
    assert not tl.solvers.lbfgs(lambda x: tl.sum(x * x) * np.inf, np.ones(2)).converged.item()
