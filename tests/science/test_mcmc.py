"""The No-U-Turn sampler: known densities, a long run of another sampler, and its settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlean as tl

Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
#: Means, deviations and quantiles (0.05, 0.5, 0.95) of 400,000 draws of BlackJAX 1.7.1, of which the least are worth 178,000.
LONG = {
    "mu": (4.3917, 3.3127, (-1.0695, 4.4075, 9.7943)),
    "log_tau": (0.8011, 1.1717, (-1.3921, 1.0111, 2.2848)),
    "z": (0.3181, 0.9889, (-1.3256, 0.3280, 1.9261)),
}


def schools(p: Any) -> Any:
    """Eight schools, with the effects as standard numbers."""
    effects = p["mu"] + tl.exp(p["log_tau"]) * p["z"]
    prior = tl.stats.norm.logpdf(p["mu"], 0.0, 5.0) - tl.log1p((tl.exp(p["log_tau"]) / 5.0) ** 2) + p["log_tau"]
    return tl.sum(tl.stats.norm.logpdf(p["z"])) + prior + tl.sum(tl.stats.norm.logpdf(Y, effects, SIGMA))


def test_eight_schools_are_those_of_a_long_run() -> None:
    start = {"mu": np.array(0.0), "log_tau": np.array(0.0), "z": np.zeros(8)}
    found = tl.mcmc.nuts(schools, start, draws=20000, seed=3)
    assert found.diverging.numpy().mean() < 0.002 and 0.75 < found.acceptance.numpy().mean() < 0.97
    for name, (mean, deviation, quantiles) in LONG.items():
        x = found.x[name].numpy()
        x = x[:, 0] if x.ndim == 2 else x
        size = float(tl.mcmc.effective_sample_size(x[None]))
        assert size > 3000
        assert abs(x.mean() - mean) < 4.0 * deviation * (1.0 / size + 1.0 / 178000) ** 0.5
        for share, q in zip((0.05, 0.5, 0.95), quantiles, strict=True):
            assert abs((x < q).mean() - share) < 4.0 * (share * (1.0 - share) / size) ** 0.5


@pytest.mark.parametrize("dense", [False, True])
def test_a_normal_density_has_its_moments(dense: bool) -> None:
    cov = np.array([[4.0, 0.9, 0.0], [0.9, 0.25, 0.0], [0.0, 0.0, 100.0]])
    mean, precision = np.array([1.0, -2.0, 30.0]), np.linalg.inv(cov)
    run = tl.jit(
        lambda x0, seed: tl.mcmc.nuts(lambda x: -0.5 * tl.sum((x - mean) * (precision @ (x - mean))), x0, seed=seed, dense_mass=dense)
    )
    chains = [run(np.zeros(3), k) for k in range(3)]
    x = np.stack([np.asarray(c.x) for c in chains])
    size = tl.mcmc.effective_sample_size(x)
    assert (size > 500).all() and (tl.mcmc.split_rhat(x) < 1.02).all()
    assert (np.abs(x.mean((0, 1)) - mean) < 4.5 * np.sqrt(np.diag(cov) / size)).all()
    np.testing.assert_allclose(np.cov(x.reshape(-1, 3).T)[:2, :2], cov[:2, :2], rtol=0.25)
    mass = np.asarray(chains[0].inverse_mass)
    np.testing.assert_allclose(np.diag(mass) if dense else mass, np.diag(cov), rtol=0.4)
    assert not dense or mass[0, 1] == pytest.approx(0.9, rel=0.4)
    # The same seed gives the same chain, another seed another.
    np.testing.assert_array_equal(run(np.zeros(3), 1).x, chains[1].x)
    assert (np.asarray(chains[0].x) != np.asarray(chains[1].x)).any()


def test_effective_samples_of_an_autoregression() -> None:
    rng, r = np.random.default_rng(0), 0.7
    x = np.zeros((4, 20000))
    for k in range(1, x.shape[1]):
        x[:, k] = r * x[:, k - 1] + rng.standard_normal(4)
    assert float(tl.mcmc.effective_sample_size(x)) == pytest.approx(80000 * (1 - r) / (1 + r), rel=0.1)
    assert tl.mcmc.split_rhat(x) < 1.01 < 1.1 < tl.mcmc.split_rhat(x + np.arange(4)[:, None])
    with pytest.raises(tl.ShapeError, match="4 draws or more"):
        tl.mcmc.split_rhat(np.zeros((2, 3)))


def test_settings_are_checked() -> None:
    for options, said in (
        ({"draws": 0}, "draws must be at least 1"),
        ({"target": 1.0}, "between 0 and 1"),
        ({"max_depth": 20}, "at most 16"),
    ):
        with pytest.raises(tl.OptionError, match=said):
            tl.mcmc.nuts(schools, np.zeros(2), **options)
    short = tl.mcmc.nuts(lambda x: -0.5 * tl.sum(x * x), np.zeros(1), draws=5, warmup=0, seed=0)
    assert short.x.shape == (5, 1) and short.leaves.numpy().min() >= 1
