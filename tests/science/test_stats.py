"""Distributions against SciPy: log densities at inner points, at corners and outside, their gradients, and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

scipy_stats = pytest.importorskip("scipy.stats")
INF = np.inf

#: Name, SciPy's distribution, its arguments: points first.
CASES: list[tuple[str, str, tuple[Any, ...]]] = [
    ("norm", "logpdf", (np.array([-40.0, 0.3, 2.0]), np.array([[0.5], [-1.0]]), 2.5)),
    ("t", "logpdf", (np.array([-30.0, 0.3, 2.0]), np.array([[0.7], [3.0], [1e7]]), 0.5, 2.0)),
    ("gamma", "logpdf", (np.array([-1.0, 0.2501, 0.9, 7.0, 0.2]), np.array([[0.4], [1.0], [31.5]]), 0.25, 1.7)),
    ("beta", "logpdf", (np.array([-0.1, 1e-7, 0.3, 0.999, 1.1]), np.array([[0.4], [1.0], [50.0]]), np.array(1.0))),
    ("bernoulli", "logpmf", (np.array([0, 1, 2, 1]), np.array([0.3, 0.3, 0.5, 0.0]))),
    ("poisson", "logpmf", (np.array([0, 3, 170, -1, 2.5]), np.array([[1e-3], [4.0], [150.0]]))),
]


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "function", "arguments"), CASES)
def test_log_densities_are_scipys(name: str, function: str, arguments: tuple[Any, ...]) -> None:
    ours, theirs = getattr(tl.stats, name), getattr(scipy_stats, name)
    density = getattr(ours, function)
    wanted = getattr(theirs, function)(*arguments)
    close(density(*arguments), wanted)
    close(tl.jit(density)(*arguments), wanted)
    close(getattr(ours, function.removeprefix("log"))(*arguments), np.exp(wanted))

    # Gradients are finite outside of the support too, and those of differences inside.
    places = [k for k, a in enumerate(arguments) if k and np.asarray(a).dtype.kind == "f"]

    def total(*free: Any) -> Any:
        given = list(arguments)
        for k, v in zip(places, free, strict=True):
            given[k] = v
        value = density(*given)
        return tl.sum(tl.where(np.isfinite(wanted), value, 0.0))

    free = [np.asarray(arguments[k], dtype=float) for k in places]
    gradients = tl.grad(total, argnums=tuple(range(len(free))))(*free)
    for k, g in enumerate(gradients):
        assert np.isfinite(np.asarray(g)).all() or name == "bernoulli"
        step = 1e-6 * np.maximum(1e-3, np.abs(free[k]))
        sides = [float(total(*free[:k], free[k] + s * step, *free[k + 1 :])) for s in (1.0, -1.0)]
        if name != "bernoulli":
            np.testing.assert_allclose(np.sum(np.asarray(g) * step), (sides[0] - sides[1]) / 2, rtol=1e-5, atol=1e-9)


def test_corners_of_the_support() -> None:
    corners = np.array([0.0, 3.0]), np.array([[0.5], [1.0], [2.5]])
    close(tl.stats.gamma.logpdf(*corners), scipy_stats.gamma.logpdf(*corners))
    corners = np.array([0.0, 1.0]), np.array([[0.5], [1.0], [2.5]]), np.array([[1.0], [2.5], [0.5]])
    close(tl.stats.beta.logpdf(*corners), scipy_stats.beta.logpdf(*corners))


def test_the_normal_distribution_has_its_tails() -> None:
    x = np.array([-35.0, -1.0, 0.4, 9.0])
    for name in ("cdf", "logcdf", "sf", "logsf"):
        close(getattr(tl.stats.norm, name)(x, 0.25, 1.5), getattr(scipy_stats.norm, name)(x, 0.25, 1.5))
    close(tl.stats.norm.ppf(np.array([1e-9, 0.2, 0.9]), 1.0, 2.0), scipy_stats.norm.ppf([1e-9, 0.2, 0.9], 1.0, 2.0))


def test_densities_of_vectors() -> None:
    rng = np.random.default_rng(0)
    a, mean, x = rng.standard_normal((4, 3, 3)), rng.standard_normal(3), rng.standard_normal((4, 3))
    cov = a @ a.transpose(0, 2, 1) + 0.1 * np.eye(3)
    wanted = [scipy_stats.multivariate_normal.logpdf(x[k], mean, cov[k]) for k in range(4)]
    close(tl.stats.multivariate_normal.logpdf(x, mean, cov), wanted)
    alpha, shares = np.array([[0.5, 1.0, 3.0], [2.0, 2.0, 9.0]]), np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    close(tl.stats.dirichlet.logpdf(shares, alpha), [scipy_stats.dirichlet.logpdf(s, a) for s, a in zip(shares, alpha, strict=True)])
    logits = rng.standard_normal((2, 5))
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    close(tl.stats.categorical.logpmf(np.array([4, 0]), logits), [logs[0, 4], logs[1, 0]])
    close(tl.stats.categorical.logpmf(np.array([4, 0, 1]), logits[0]), logs[0, [4, 0, 1]])
    close(tl.stats.categorical.logpmf(3, logits[1]), logs[1, 3])
    close(tl.stats.categorical.logpmf(np.array([5, 2, -1]), logits[0]), [-INF, logs[0, 2], -INF])
    close(tl.jit(tl.stats.categorical.logpmf)(np.array([4, 0]), logits), [logs[0, 4], logs[1, 0]])


def test_plain_numbers_do_not_lose_digits() -> None:
    x = np.array([0.3, 1.7])
    close(tl.stats.norm.logpdf(x, 0.1, 0.3), scipy_stats.norm.logpdf(x, 0.1, 0.3))
    close(tl.jit(lambda x: tl.stats.gamma.logpdf(x, 2.3, 0.0, 0.7))(x), scipy_stats.gamma.logpdf(x, 2.3, 0.0, 0.7))
    assert tl.stats.poisson.logpmf(np.array([1, 2]), 0.3).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("norm", (1.0, 2.0)), ("t", (3.0, 1.0, 2.0)), ("gamma", (2.3, 1.0, 2.0)), ("beta", (0.7, 2.0))],
)
def test_numbers_follow_their_distribution(name: str, arguments: tuple[float, ...]) -> None:
    drawn = np.asarray(getattr(tl.stats, name).rvs(*arguments, shape=(20000,), seed=5, dtype="float64"))
    assert drawn.dtype == np.float64
    assert scipy_stats.kstest(drawn, getattr(scipy_stats, name)(*arguments).cdf).pvalue > 1e-3


def test_discrete_and_vector_numbers() -> None:
    counts = np.bincount(np.asarray(tl.stats.poisson.rvs(3.0, (20000,), seed=1)), minlength=12)[:12]
    assert scipy_stats.chisquare(counts, counts.sum() * (p := scipy_stats.poisson.pmf(np.arange(12), 3.0)) / p.sum()).pvalue > 1e-3
    assert abs(np.asarray(tl.stats.bernoulli.rvs(0.3, (20000,), seed=2)).mean() - 0.3) < 0.015
    classes = np.asarray(tl.stats.categorical.rvs(np.log([0.2, 0.5, 0.3]), (20000,), seed=3))
    assert np.abs(np.bincount(classes) / 20000 - [0.2, 0.5, 0.3]).max() < 0.015
    cov = np.array([[2.0, 0.6], [0.6, 0.5]])
    drawn = np.asarray(tl.stats.multivariate_normal.rvs(np.array([1.0, -1.0]), cov, shape=20000, seed=4))
    assert np.abs(drawn.mean(0) - [1.0, -1.0]).max() < 0.05 and np.abs(np.cov(drawn.T) - cov).max() < 0.06
    # Reparameterised: the mean of x² has the derivative 2·loc by loc.
    moved = tl.grad(lambda loc: tl.mean(tl.stats.norm.rvs(loc, 1.0, (20000,), seed=6) ** 2))(np.array(1.5))
    assert abs(float(moved) - 3.0) < 0.05


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("norm", (np.array([[0.5], [-1.0]]), 2.5)),
        ("t", (np.array([[0.7], [3.5], [40.0]]), 0.5, 2.0)),
        ("gamma", (np.array([[0.4], [1.0], [31.5]]), 0.25, 1.7)),
        ("beta", (np.array([[0.4], [1.0], [50.0]]), 2.0, -1.0, 3.0)),
    ],
)
def test_distribution_functions_and_moments_are_scipys(name: str, arguments: tuple[Any, ...]) -> None:
    ours, theirs = getattr(tl.stats, name), getattr(scipy_stats, name)(*arguments)
    q = np.array([1e-9, 0.03, 0.4, 0.75, 1 - 1e-6])
    x = ours.ppf(q, *arguments)
    np.testing.assert_allclose(np.asarray(x), theirs.ppf(q), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(ours.isf(q, *arguments)), theirs.isf(q), rtol=1e-9)
    for function in ("cdf", "sf", "logcdf", "logsf"):
        density, wanted = getattr(ours, function), getattr(theirs, function)(np.asarray(x))
        np.testing.assert_allclose(np.asarray(density(x, *arguments)), wanted, rtol=2e-10)
        outside = np.array([-1e4, 1e4])
        np.testing.assert_allclose(np.asarray(tl.jit(density)(outside, *arguments)), getattr(theirs, function)(outside), rtol=2e-10)
    for function in ("entropy", "mean", "var"):
        found, wanted = np.asarray(getattr(ours, function)(*arguments)), getattr(theirs, function)()
        assert found.shape == np.broadcast_shapes(*map(np.shape, arguments))
        np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), rtol=1e-10)
    # The slope by each parameter is that of a difference, and the quantile undoes the distribution function.
    free, x, q = tuple(np.asarray(a, dtype=float) for a in arguments), np.asarray(x)[:, 1:], q[1:]
    slopes = tl.grad(lambda *p: tl.sum(ours.cdf(x, *p)), argnums=tuple(range(len(free))))(*free)
    for k, slope in enumerate(slopes):
        step = 1e-6 * np.maximum(1e-2, np.abs(free[k]))
        up, down = (getattr(scipy_stats, name).cdf(np.asarray(x), *free[:k], free[k] + s * step, *free[k + 1 :]) for s in (1.0, -1.0))
        np.testing.assert_allclose(np.sum(np.asarray(slope) * step), (up - down).sum() / 2, rtol=1e-5, atol=1e-11)
    still = tl.grad(lambda *p: tl.sum(ours.cdf(ours.ppf(q, *p), *p)), argnums=tuple(range(len(free))))(*free)
    for slope in still:
        assert np.abs(np.asarray(slope)).max() < 1e-9


def test_discrete_distribution_functions_and_moments() -> None:
    k, mu = np.array([-1.0, 0.0, 2.5, 3.0, 40.0]), np.array([[1e-3], [4.0], [150.0]])
    for function in ("cdf", "sf", "logcdf", "logsf"):
        with np.errstate(divide="ignore"):
            close(getattr(tl.stats.poisson, function)(k, mu), getattr(scipy_stats.poisson, function)(k, mu))
            close(
                getattr(tl.stats.bernoulli, function)(k, np.array([[0.3]])), getattr(scipy_stats.bernoulli, function)(k, np.array([[0.3]]))
            )
    q = np.array([0.0, 1e-9, 0.3, 0.95, 1.0, 1.5])
    for ppf in (tl.stats.poisson.ppf, tl.jit(tl.stats.poisson.ppf)):
        close(ppf(q, mu), scipy_stats.poisson.ppf(q, mu))
    close(tl.stats.bernoulli.ppf(q, np.array([[0.3], [0.05]])), scipy_stats.bernoulli.ppf(q, np.array([[0.3], [0.05]])))
    for function in ("entropy", "mean", "var"):
        close(getattr(tl.stats.bernoulli, function)(np.array([0.0, 0.3, 1.0])), getattr(scipy_stats.bernoulli, function)([0.0, 0.3, 1.0]))
    close(tl.stats.poisson.mean(mu), mu)
    close(tl.stats.poisson.var(mu), mu)
    p = np.array([0.2, 0.5, 0.3])
    logits = np.log(p) + 1.5
    close(tl.stats.categorical.cdf(np.array([-1, 0, 1, 2, 3]), logits), [0.0, 0.2, 0.7, 1.0, 1.0])
    close(tl.stats.categorical.sf(np.array([-1, 0, 1, 2, 3]), logits), [1.0, 0.8, 0.3, 0.0, 0.0])
    assert tl.stats.categorical.ppf(np.array([0.0, 0.1, 0.3, 0.9, 1.0]), logits).tolist() == [0, 0, 1, 2, 2]
    close(tl.stats.categorical.entropy(logits), scipy_stats.entropy(p))
    close(tl.stats.categorical.mean(logits), 1.1)
    close(tl.stats.categorical.var(logits), 0.5 + 4 * 0.3 - 1.1**2)


def test_moments_of_vectors() -> None:
    alpha = np.array([0.5, 1.0, 3.0])
    for function in ("entropy", "mean", "var", "cov"):
        close(getattr(tl.stats.dirichlet, function)(alpha), getattr(scipy_stats.dirichlet, function)(alpha))
    mean, cov = np.array([1.0, -2.0]), np.array([[2.0, 0.6], [0.6, 0.5]])
    close(tl.stats.multivariate_normal.entropy(mean, cov), scipy_stats.multivariate_normal.entropy(mean, cov))
    close(tl.stats.multivariate_normal.mean(mean, cov), mean)
    close(tl.stats.multivariate_normal.var(mean, cov), [2.0, 0.5])


def test_what_is_no_number_has_no_density():
    """NaN stays NaN, beside points of the support and outside it, at once and compiled."""
    for law, params in (("gamma", (2.0,)), ("beta", (2.0, 3.0)), ("poisson", (3.5,)), ("bernoulli", (0.3,))):
        ours, theirs = getattr(tl.stats, law), getattr(scipy_stats, law)
        names = ("logpdf", "pdf") if hasattr(ours, "logpdf") else ("logpmf", "pmf", "cdf", "sf", "logcdf", "logsf")
        for name in names:
            x = np.array([np.nan, -1.0, 1.0, np.inf][: 4 if law == "bernoulli" else 3])
            wanted = getattr(theirs, name)(x, *params)
            for run in (getattr(ours, name), tl.jit(getattr(ours, name))):
                np.testing.assert_allclose(run(x, *params), wanted, rtol=1e-9)


@pytest.mark.parametrize(("name", "shapes"), [("norm", ()), ("t", (3.0,)), ("gamma", (2.0,))])
def test_numbers_of_a_wrong_scale(name: str, shapes: tuple[float, ...]) -> None:
    """NaN with a gradient of NaN, as the law's other functions; a scale of 0 is the constant, as SciPy's."""
    rvs = getattr(tl.stats, name).rvs
    scales = np.array([-2.0, 0.0, 2.0])
    drawn = [f(scales) for f in (lambda s: rvs(*shapes, 0.5, s, seed=3), tl.jit(lambda s: rvs(*shapes, 0.5, s, seed=3)))]
    assert all(np.isnan(d[0].item()) and d[1].item() == 0.5 and d[2].item() != 0.5 for d in drawn)
    gradient = tl.grad(lambda s: tl.sum(rvs(*shapes, 0.5, s, seed=3)))(scales).numpy()
    assert np.isnan(gradient[0]) and np.isfinite(gradient[1:]).all() and abs(gradient[2] * 2.0 + 0.5 - drawn[0][2].item()) < 1e-12
    assert np.isnan(np.asarray(rvs(*shapes, 0.5, -1.0, shape=3))).all()


def test_numbers_of_students_law_have_one_set_of_bits() -> None:
    def draw(df: Any) -> Any:
        return tl.stats.t.rvs(df, 0.5, 1.7, shape=200, seed=3)

    assert np.array_equal(draw(np.array(3.3)), tl.jit(draw)(np.array(3.3)))
