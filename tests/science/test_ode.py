"""Differential equations: orders of convergence, SciPy's solutions, derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

integrate = pytest.importorskip("scipy.integrate")
odeint = tl.solvers.odeint
TIMES = np.array([0.0, 0.5, 0.6, 1.7, 4.0])
START = np.array([1.0, 0.5])


def pulled(t: Any, y: Any, a: Any) -> Any:
    return tl.stack([y[1], a * (1.0 - y[0] ** 2) * y[1] - y[0] + tl.sin(t)])


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    def f(t: float, y: Any) -> Any:
        return [y[1], 1.5 * (1 - y[0] ** 2) * y[1] - y[0] + np.sin(t)]

    return integrate.solve_ivp(f, (0, 4), START, t_eval=TIMES, method="DOP853", rtol=1e-13, atol=1e-13).y.T


def error(exact: np.ndarray, **options: Any) -> float:
    return float(np.abs(np.asarray(odeint(pulled, START, TIMES, 1.5, **options)) - exact).max())


@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("implicit_euler", 1)])
def test_fixed_steps_have_their_order(method: str, order: int, exact: np.ndarray) -> None:
    coarse, fine = (error(exact, method=method, steps=n) for n in (40, 80))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("method", ["dopri5", "rodas4"])
def test_the_error_follows_the_tolerance(method: str, exact: np.ndarray) -> None:
    # The times in between are those of the curve within a step.
    for tol in (1e-5, 1e-8):
        assert error(exact, method=method, rtol=tol, atol=tol) < 30.0 * tol
    back = odeint(pulled, exact[-1], TIMES[::-1].copy(), 1.5, method=method, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(back, exact[::-1], atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "rodas4"}, {"method": "rk4", "steps": 20}, {"method": "implicit_euler", "steps": 20}, {"max_steps": 45}],
)
def test_derivatives_are_those_of_differences(options: dict[str, Any]) -> None:
    tight = {} if options.keys() & {"steps", "max_steps"} else {"rtol": 1e-10, "atol": 1e-10}

    def total(y0: Any, a: Any, times: Any) -> Any:
        return tl.sum(odeint(pulled, y0, times, a, **options, **tight) ** 2)

    at = (START, np.array(1.5), TIMES)
    value = tl.jit(total)
    moves = (np.array([0.3, -0.2]), np.array(0.7), np.array([0.0, 0.1, -0.1, 0.2, 0.3]))
    step = 1e-4
    sides = [float(value(*(x + s * step * m for x, m in zip(at, moves, strict=True)))) for s in (1, -1)]
    wanted = (sides[0] - sides[1]) / (2 * step)
    gradients = tl.grad(total, argnums=(0, 1, 2))(*at)
    assert sum(np.sum(np.asarray(g) * m) for g, m in zip(gradients, moves, strict=True)) == pytest.approx(wanted, rel=1e-4)
    assert float(tl.jvp(total, at, moves)[1]) == pytest.approx(wanted, rel=1e-4)
    if "max_steps" in options:
        second = tl.grad(lambda a: tl.grad(total, argnums=1)(START, a, TIMES))(np.array(1.5))
        ahead = [float(tl.grad(total, argnums=1)(START, np.array(1.5 + s), TIMES)) for s in (1e-3, -1e-3)]
        assert float(second) == pytest.approx((ahead[0] - ahead[1]) / 2e-3, rel=1e-3)


def robertson(t: Any, y: Any, k: Any) -> Any:
    slow, fast, back = k[0] * y[0], k[1] * y[1] * y[1], k[2] * y[1] * y[2]
    return tl.stack([back - slow, slow - back - fast, fast])


def test_robertsons_reaction_is_radaus_with_sensitivities() -> None:
    k, y0 = np.array([0.04, 3e7, 1e4]), np.array([1.0, 0.0, 0.0])
    times = np.concatenate([[0.0], np.logspace(-4, 6, 21)])

    def theirs(k: Any, times: Any, rtol: float) -> Any:
        def f(t: float, y: Any) -> Any:
            slow, fast, back = k[0] * y[0], k[1] * y[1] * y[1], k[2] * y[1] * y[2]
            return [back - slow, slow - back - fast, fast]

        return integrate.solve_ivp(f, (0.0, times[-1]), y0, t_eval=times, method="Radau", rtol=rtol, atol=1e-14).y.T

    solve = tl.jit(lambda k: odeint(robertson, y0, times, k, method="rodas4", rtol=1e-8, atol=1e-13))
    wanted, size = theirs(k, times, 1e-9), np.array([1.0, 4e-5, 1.0])
    assert np.abs((np.asarray(solve(k)) - wanted) / size).max() < 1e-6
    # By the logarithm of each constant.
    ahead = np.asarray(tl.jacfwd(solve)(k)) * k
    back = np.asarray(tl.jacrev(lambda k: solve(k)[-1])(k)) * k
    np.testing.assert_allclose(back / size[:, None], ahead[-1] / size[:, None], atol=1e-8)
    early = times[:14]
    differences = [theirs(k * np.where(np.arange(3) == 1, 1.0 + s, 1.0), early, 1e-7) for s in (1e-2, -1e-2)]
    np.testing.assert_allclose(ahead[:14, :, 1] / size, (differences[0] - differences[1]) / 2e-2 / size, atol=1e-4)


def test_trees_floats_and_solutions_that_end() -> None:
    times = np.linspace(0.0, 1.0, 3)
    made = odeint(lambda t, y: {"x": y["v"], "v": -y["x"]}, {"x": np.ones(2), "v": 0.0 * np.ones(2)}, times)
    np.testing.assert_allclose(made["x"][:, 1], np.cos(times), atol=1e-6)
    single = odeint(lambda t, y: -y, np.float32(1.0), times.astype("float32"))
    assert single.dtype == np.float32 and np.abs(np.asarray(single) - np.exp(-times)).max() < 1e-3
    assert odeint(lambda t, y: -y, 1.0, times).dtype == np.float64
    # y' = y² goes to infinity at 1.
    made = np.asarray(odeint(lambda t, y: y * y, 1.0, np.array([0.0, 0.5, 1.5, 2.0])))
    np.testing.assert_allclose(made[:2], [1.0, 2.0], rtol=1e-6)
    assert np.isnan(made[2:]).all()
    assert np.isnan(odeint(lambda t, y: -y, 1.0, np.array([0.0, 50.0]), max_steps=3)[1].item())
    many = tl.vmap(lambda a: odeint(pulled, START, TIMES, a))(np.array([0.5, 1.5]))
    np.testing.assert_allclose(many[1], odeint(pulled, START, TIMES, 1.5), atol=1e-7)


def test_wrong_options_are_named() -> None:
    with pytest.raises(tl.OptionError, match="method must be one of"):
        odeint(pulled, START, TIMES, 1.5, method="euler")
    with pytest.raises(tl.OptionError, match="rtol must be a positive number"):
        odeint(pulled, START, TIMES, 1.5, rtol=-1.0)
    with pytest.raises(tl.ShapeError, match="f must return what y looks like"):
        odeint(lambda t, y: y[:1], START, TIMES)


@pytest.mark.parametrize(("method", "options"), [("dopri5", {"rtol": 1e-10, "atol": 1e-12}), ("rk4", {"steps": 40})])
def test_the_adjoint_equation_gives_the_derivative_of_the_equation(method: str, options: dict[str, Any]) -> None:
    # y(t) = y₀ exp(−a (t − t₀)): every derivative is known, by the state, the rate and all times.
    ts, a, y0 = np.array([0.25, 0.75, 2.0]), np.array([0.7, 1.3]), np.array([2.0, -1.0])
    w = np.arange(6.0).reshape(3, 2) - 1.5

    def total(y0: Any, ts: Any, a: Any) -> Any:
        ys = tl.solvers.odeint(lambda t, y, a, k: -k * a * y, y0, ts, a, 1.0, method=method, adjoint=True, **options)
        return tl.sum(w * ys)

    for times in (ts, ts[::-1].copy()):
        decay = np.exp(-a * (times - times[0])[:, None])
        slopes = w * y0 * decay * -a
        wanted = (w * decay).sum(0), slopes.sum(1), (w * y0 * decay * (times[0] - times)[:, None]).sum(0)
        wanted[1][0] -= slopes.sum()
        for grad in (tl.grad(total, argnums=(0, 1, 2)), tl.jit(tl.grad(total, argnums=(0, 1, 2)))):
            for found, exact in zip(grad(y0, times, a), wanted, strict=True):
                np.testing.assert_allclose(np.asarray(found), exact, rtol=1e-6, atol=1e-6)
    many = tl.vmap(tl.grad(total), in_axes=(0, None, None))(np.stack([y0, 2 * y0]), ts, a)
    np.testing.assert_allclose(np.asarray(many)[0], np.asarray(tl.grad(total)(y0, ts, a)), rtol=1e-8)
    with pytest.raises(tl.NodeError, match="belongs to another graph") as info:
        tl.grad(lambda a: tl.sum(tl.solvers.odeint(lambda t, y: -a * y, y0, ts, adjoint=True)))(a)
    assert "pass them as arguments" in "".join(info.value.__notes__)
    one = tl.grad(lambda y: tl.sum(tl.solvers.odeint(lambda t, y: -y, y, ts[:1], adjoint=True)))(y0)
    assert one.tolist() == [1.0, 1.0]


def test_the_adjoint_equation_of_a_tree_agrees_with_the_steps() -> None:
    w = np.random.default_rng(0).standard_normal((4, 2))

    def f(t: Any, y: Any, p: Any) -> Any:
        return {"a": y["b"] * p["rate"][0] + tl.sin(t), "b": -y["a"] * p["rate"][1] + 0.1 * y["b"]}

    def total(p: Any, adjoint: bool) -> Any:
        start = {"a": np.array(1.0), "b": np.array(0.5)}
        ys = tl.solvers.odeint(f, start, np.linspace(0.0, 3.0, 4), p, method="rodas4", rtol=1e-9, atol=1e-11, adjoint=adjoint)
        return tl.sum(w[:, 0] * ys["a"]) + tl.sum(w[:, 1] * ys["b"] ** 2)

    p = {"rate": np.array([1.1, 0.8]), "kind": np.array(3)}
    by_steps, by_equation = (tl.grad(lambda p, way=way: total(p, way))(p)["rate"] for way in (False, True))
    np.testing.assert_allclose(np.asarray(by_equation), np.asarray(by_steps), rtol=1e-6)
