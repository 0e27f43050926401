"""Every distribution has every function, and each is SciPy's over all corners, with the gradients of differences."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean.stats.values import AT_LEAST_0, KNOWN, POSITIVE, SHARE

scipy_stats = pytest.importorskip("scipy.stats")
INF, NAN = np.inf, np.nan
POINTS = [-INF, -3.0, -0.5, 0.0, 0.2, 1.0, 1.5, 4.0, 50.0, INF, NAN]
SHARES = [-0.1, 0.0, 1e-6, 0.3, 0.9, 1.0, 1.1, NAN]
SCALES, PLACES, SHAPES = [-1.0, 0.0, 0.7, 2.0, NAN], [0.0, 1.5, NAN], [-1.0, 0.0, 0.4, 1.0, 31.5, NAN]
#: By name the values of every parameter; of t the degrees of freedom go to infinity.
GRIDS = {
    "norm": (PLACES, SCALES),
    "gamma": (SHAPES, PLACES, SCALES),
    "beta": (SHAPES, [0.5, -2.0, 3.0, NAN], [0.0, 1.5], SCALES),
    "t": ([*SHAPES, 1e12, INF], PLACES, SCALES),
    "poisson": ([-1.0, 0.0, 1e-3, 0.5, 40.0, 300.0, NAN],),
    "bernoulli": ([-0.1, 0.0, 0.3, 1.0, 1.1, NAN],),
}
CONTINUOUS = {"cdf", "entropy", "isf", "logcdf", "logpdf", "logsf", "mean", "pdf", "ppf", "rvs", "sf", "var"}
DISCRETE = {*CONTINUOUS, "logpmf", "pmf"} - {"logpdf", "pdf"}


def functions(name):
    return sorted({*getattr(tl.stats, name).__all__} - {"rvs"})


@pytest.mark.parametrize(("name", "function"), [(n, f) for n in GRIDS for f in functions(n)])
def test_values_are_scipys_at_every_corner(name, function):
    first = [] if function in ("mean", "var", "entropy") else [SHARES] if function in ("ppf", "isf") else [POINTS]
    grid = np.array(list(itertools.product(*first, *GRIDS[name]))).T
    with np.errstate(all="ignore"):
        found = np.asarray(getattr(getattr(tl.stats, name), function)(*grid))
        wanted = np.asarray(getattr(getattr(scipy_stats, name), function)(*grid), dtype=float)
    # What SciPy has otherwise: a certain event where there is no distribution, and ends of the support for impossible numbers.
    bad = np.isnan(grid[len(first) :]).any(axis=0) | (name in ("bernoulli", "poisson") and (grid[-1] < 0) | (grid[-1] > 1))
    odd = bad & (function in ("logcdf", "logsf")) & np.isnan(found)
    if name == "bernoulli" and function in ("ppf", "isf"):
        odd |= grid[1] == 0
    if name == "poisson" and function == "entropy":
        odd |= grid[0] > 100  # SciPy's sum stops before its end
    close = np.isclose(found, wanted, rtol=1e-9, atol=1e-12, equal_nan=True)
    k = np.flatnonzero(~(close | odd))
    assert not len(k), (grid[:, k[:3]].T.tolist(), found[k[:3]], wanted[k[:3]])


#: Inner points of every parameter.
INNER = {
    "norm": (0.4, 0.3, 1.7), "gamma": (2.3, 1.9, 0.3, 1.4), "beta": (0.35, 1.7, 2.6, 0.1, 1.2), "t": (0.8, 3.3, 0.2, 1.6),
    "poisson": (3.0, 2.7), "bernoulli": (0.0, 0.3),
}  # fmt: skip
WITHOUT = {("poisson", "ppf"), ("poisson", "isf"), ("bernoulli", "ppf"), ("bernoulli", "isf")}


@pytest.mark.parametrize("name", INNER)
def test_gradients_by_every_parameter(name):
    x, *parameters = INNER[name]

    def values(q, x, *parameters):
        made = []
        for function in functions(name):
            first = () if function in ("mean", "var", "entropy") else (q,) if function in ("ppf", "isf") else (x,)
            if (name, function) not in WITHOUT:
                made.append(getattr(getattr(tl.stats, name), function)(*first, *parameters))
        return tl.stack(made)

    point = [np.array(v) for v in (0.3, x, *parameters)]
    by = [k for k in range(len(point)) if name not in ("poisson", "bernoulli") or k > 1]
    for way in (tl.jacrev, tl.jacfwd):
        for k, found in zip(by, way(values, argnums=tuple(by))(*point), strict=True):
            sides = [np.asarray(values(*point[:k], point[k] + s * 1e-5, *point[k + 1 :])) for s in (1, -1)]
            np.testing.assert_allclose(np.asarray(found), (sides[0] - sides[1]) / 2e-5, rtol=1e-7, atol=1e-8, err_msg=str((name, k)))


def test_classes():
    logits = np.array([0.3, -1.0, 2.0, -800.0, 0.5, -40.0])
    shares = np.exp(logits - np.logaddexp.reduce(logits))
    law = tl.stats.categorical
    for k in range(-1, 7):
        below, above = np.sum(shares[: max(k + 1, 0)]), np.sum(shares[max(k + 1, 0) :])
        for name, wanted in (("cdf", below), ("sf", above)):
            found = getattr(law, name)(np.array(k), logits).item()
            assert found == pytest.approx(wanted, rel=1e-14, abs=1e-300), (name, k)
            with np.errstate(divide="ignore"):
                assert getattr(law, f"log{name}")(np.array(k), logits).item() == pytest.approx(np.log(wanted), rel=1e-12, abs=1e-15)
    q = np.array([0.0, 0.05, 0.5, 1e-17, 1.0])
    assert law.isf(q, logits).tolist() == [min(k for k in range(6) if np.sum(shares[k + 1 :]) <= v) for v in q]
    slope = tl.grad(lambda x: law.logsf(np.array(2), x))(logits)
    parts = shares * np.array([0, 0, 0, 1, 1, 1.0])
    np.testing.assert_allclose(np.asarray(slope), parts / parts.sum() - shares, rtol=1e-12, atol=1e-15)


def test_entropies_of_large_parameters():
    mp = pytest.importorskip("mpmath")

    def counts(mu):
        logs = [k * mp.log(mu) - mu - mp.loggamma(k + 1) for k in range(int(mu + 40 * mu**0.5 + 60))]
        return -mp.fsum(mp.exp(v) * v for v in logs)

    with mp.workprec(120):
        psi = lambda x: mp.psi(0, x)  # noqa: E731 - one expression
        gamma = lambda a: a + mp.loggamma(a) + (1 - a) * psi(a)  # noqa: E731 - one expression
        t = lambda v: (v + 1) / 2 * (psi((v + 1) / 2) - psi(v / 2)) + mp.log(v) / 2 + mp.log(mp.beta(v / 2, 0.5))  # noqa: E731
        beta = lambda a, b: gamma(a) + gamma(b) - gamma(a + b) - psi(a + b)  # noqa: E731 - one expression
        cases = [("gamma", gamma, (v,)) for v in (199.0, 201.0, 1e8)] + [("t", t, (v,)) for v in (199.0, 201.0, 1e8)]
        cases += [("beta", beta, v) for v in ((7.3, 1e8), (1e8, 1e8))] + [("poisson", counts, (v,)) for v in (0.01, 99.0, 101.0, 400.0)]
        for name, exact, point in cases:
            found = getattr(tl.stats, name).entropy(*(np.array(v) for v in point)).item()
            assert found == pytest.approx(float(exact(*map(mp.mpf, point))), rel=3e-14), (name, point)


def test_the_table_is_whole():
    """The table of `docs/science.md` is that of the modules, and every law of numbers has every function."""
    for name in tl.stats.__all__:
        own = {*getattr(tl.stats, name).__all__}
        if name in ("dirichlet", "multivariate_normal"):
            assert own == {"cov", "entropy", "logpdf", "mean", "pdf", "rvs", "var"}
        else:
            assert own == (CONTINUOUS if name in ("norm", "gamma", "beta", "t") else DISCRETE), name
    text = (Path(__file__).parents[2] / "docs" / "science.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, flags=re.M)
    assert {name for name, _ in rows} >= {*tl.stats.__all__}
    for name, row in rows:
        if name in tl.stats.__all__:
            assert set(re.findall(r"`(\w+)`", row)) == {*getattr(tl.stats, name).__all__}, name


#: What the parameters of each distribution must be.
BOUNDS = {
    "norm": (KNOWN, POSITIVE), "gamma": (POSITIVE, KNOWN, POSITIVE), "beta": (POSITIVE, POSITIVE, KNOWN, POSITIVE),
    "t": (POSITIVE, KNOWN, POSITIVE), "poisson": (AT_LEAST_0,), "bernoulli": (SHARE,),
}  # fmt: skip


@pytest.mark.parametrize(("name", "function"), [(n, f) for n in GRIDS for f in functions(n) if (n, f) not in WITHOUT])
def test_what_is_nan_for_its_parameters_has_gradients_of_nan(name, function):
    """By every argument, inside the support and outside, eagerly and compiled; rows of other parameters keep their bits."""
    first = [] if function in ("mean", "var", "entropy") else [[0.3, 0.9]] if function in ("ppf", "isf") else [[-3.0, 0.2, 1.0, 50.0]]
    grid = np.array(list(itertools.product(*first, *GRIDS[name]))).T
    with np.errstate(invalid="ignore"):
        wrong = [
            ~((v >= low if itself else v > low) & (v <= high))
            for v, (low, high, itself) in zip(grid[len(first) :], BOUNDS[name], strict=True)
        ]
    bad = np.any(wrong, axis=0)
    assert bad.any() and not bad.all()

    def density(*arguments):
        return getattr(getattr(tl.stats, name), function)(*arguments)

    def gradients(*arguments):
        return tl.grad(lambda *free: tl.sum(density(*free)), argnums=tuple(range(len(arguments))))(*arguments)

    with np.errstate(all="ignore"):
        assert np.isnan(np.asarray(density(*grid))[bad]).all()
        alone = gradients(*grid[:, ~bad])
        for way in (gradients, tl.jit(gradients)):
            for g, wanted in zip(way(*grid), alone, strict=True):
                assert np.isnan(np.asarray(g)[bad]).all()
                np.testing.assert_array_equal(np.asarray(g)[~bad], np.asarray(wanted))
        tangent = tl.jvp(density, (*grid,), (*np.ones_like(grid),))[1]
        assert np.isnan(np.asarray(tangent)[bad]).all()


def test_one_scale_of_many_points():
    x = np.array([-1.0, 0.5, 2.0])
    for scale, undefined in ((2.0, False), (-2.0, True), (0.0, True)):
        for f in (tl.stats.norm.logpdf, lambda x, loc, scale: tl.stats.gamma.logpdf(x, 2.0, loc, scale)):
            value, found = tl.value_and_grad(lambda *a, f=f: tl.sum(f(*a)), argnums=(0, 1, 2))(x, np.array(0.3), np.array(scale))
            assert np.isnan(float(value)) == undefined or float(value) == -INF
            assert all(np.isnan(np.asarray(g)).all() == undefined for g in found)


@pytest.mark.parametrize("function", ["logpdf", "pdf", "entropy", "mean", "var", "cov"])
def test_a_row_of_a_dirichlet_distribution_with_one_wrong_parameter(function):
    alpha, x = np.array([[0.5, 2.0, 1.5], [0.5, -2.0, 1.5], [1.0, 0.0, 3.0]]), np.full((3, 3), 1 / 3)
    arguments = (x, alpha) if function in ("logpdf", "pdf") else (alpha,)
    value, found = tl.value_and_grad(lambda *a: tl.sum(getattr(tl.stats.dirichlet, function)(*a)), argnums=tuple(range(len(arguments))))(
        *arguments
    )
    assert np.isnan(float(value))
    for g in found:
        assert np.isnan(np.asarray(g)[1:]).all() and np.isfinite(np.asarray(g)[0]).all()
