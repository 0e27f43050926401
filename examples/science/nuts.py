"""The No-U-Turn sampler on eight schools and on a logistic regression: chains that are one compiled program each.

Eight schools: the effects of coaching and how much they vary, by a hierarchical model. Logistic regression: nine coefficients by 500
observations. Source: Gelman et al. 2013, "Bayesian Data Analysis", 5.5; Hoffman & Gelman 2014, "The No-U-Turn Sampler".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

# Beside the folder of this file: what all examples share.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import BLUE, GREY, RED, panels, parser, save

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(p: Any) -> Any:
    """The log density of mean, logarithm of the deviation, and the schools' effects in units of it."""
    mean, log, z = p["mean"], p["log_deviation"], p["z"]
    prior = tl.stats.norm.logpdf(mean, 0.0, 5.0) + tl.sum(tl.stats.norm.logpdf(z)) - tl.log1p((tl.exp(log) / 5.0) ** 2) + log
    return prior + tl.sum(tl.stats.norm.logpdf(EFFECTS, mean + tl.exp(log) * z, ERRORS))


def regression(seed: int, n: int = 500, size: int = 8) -> tuple[Callable[[Any], Any], np.ndarray]:
    """The log density of the coefficients of a logistic regression, and the true ones."""
    rng = np.random.default_rng(seed)
    x = np.hstack([np.ones((n, 1)), rng.standard_normal((n, size))])
    true = rng.standard_normal(size + 1)
    y = (rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-x @ true))).astype(float)

    def density(b: Any) -> Any:
        score = x @ b
        return tl.sum(y * score - tl.softplus(score)) + tl.sum(tl.stats.norm.logpdf(b, 0.0, 2.0))

    return density, true


def chains(name: str, density: Callable[[Any], Any], start: Any, draws: int, seed: int, count: int = 4) -> list[Any]:
    """Chains from one start, with what they took."""
    run = tl.jit(lambda start, seed: tl.mcmc.nuts(density, start, draws=draws, seed=seed))
    begun = time.perf_counter()
    made = [run(start, seed)]
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    made += [run(start, seed + k) for k in range(1, count)]
    each = (time.perf_counter() - begun) / (count - 1)
    leaves = np.mean([m.leaves.numpy().mean() for m in made])
    print(f"{name}: the first chain took {first:.2f} s, each other one {each:.2f} s; {leaves:.1f} steps a draw")
    return made


def table(names: list[str], x: np.ndarray) -> None:
    """Means, quantiles and how good they are, of `(chains, draws, numbers)`."""
    size, rhat = tl.mcmc.effective_sample_size(x), tl.mcmc.split_rhat(x)
    print(f"{'':>14}  {'mean':>7}  {'5 %':>7}  {'50 %':>7}  {'95 %':>7}  {'worth':>7}  {'R-hat':>6}")
    for k, name in enumerate(names):
        low, middle, high = np.quantile(x[..., k], (0.05, 0.5, 0.95))
        print(f"{name:>14}  {x[..., k].mean():7.3f}  {low:7.3f}  {middle:7.3f}  {high:7.3f}  {size[k]:7.0f}  {rhat[k]:6.3f}")


def main(argv: list[str] | None = None) -> None:
    """Sample both models, print their tables, draw them."""
    p = parser(__file__, __doc__)
    p.add_argument("--draws", type=int, help="of each of four chains (default: 2000, or 200 with --quick)")
    args = p.parse_args(argv)
    if args.draws is not None and args.draws < 10:
        p.error("--draws is at least 10")
    draws = args.draws or (200 if args.quick else 2000)
    start = {"mean": np.array(0.0), "log_deviation": np.array(0.0), "z": np.zeros(8)}
    made = chains("eight schools", schools, start, draws, args.seed)
    mean = np.stack([m.x["mean"].numpy() for m in made])
    deviation = np.exp(np.stack([m.x["log_deviation"].numpy() for m in made]))
    effects = mean[..., None] + deviation[..., None] * np.stack([m.x["z"].numpy() for m in made])
    table(["mean", "deviation", *(f"school {c}" for c in "ABCDEFGH")], np.concatenate([mean[..., None], deviation[..., None], effects], -1))
    density, true = regression(args.seed, 100 if args.quick else 500)
    found = chains("logistic regression", density, np.zeros(9), draws, args.seed)
    coefficients = np.stack([m.x.numpy() for m in found])
    table([f"b{k}" for k in range(9)], coefficients)
    if args.plot:
        drawn, axes = panels(3, (13.8, 3.8))
        left, middle, right = axes
        bad = np.stack([m.diverging.numpy() for m in made]).reshape(-1)
        left.plot(mean.reshape(-1), np.log(deviation).reshape(-1), ".", color=BLUE, markersize=1, alpha=0.4)
        left.plot(mean.reshape(-1)[bad], np.log(deviation).reshape(-1)[bad], ".", color=RED, label="diverging")
        left.set(xlabel="mean effect", ylabel="logarithm of the deviation", title="eight schools")
        for axis, x, wanted, title in ((middle, effects, EFFECTS, "effects"), (right, coefficients, true, "coefficients")):
            low, at, high = np.quantile(x.reshape(-1, x.shape[-1]), (0.05, 0.5, 0.95), axis=0)
            places = np.arange(len(at))
            axis.vlines(places, low, high, color=BLUE, linewidth=3, alpha=0.5)
            axis.plot(places, at, "o", color=BLUE, markersize=4, label="posterior, 5 to 95 %")
            axis.plot(places, wanted, "x", color=RED, label="observed" if axis is middle else "true")
            axis.axhline(0.0, color=GREY, linewidth=0.5)
            axis.set(title=title, xticks=places, xticklabels=list("ABCDEFGH") if axis is middle else [f"b{k}" for k in places])
            axis.legend()
        save(drawn, args, "nuts.png")


if __name__ == "__main__":
    main()
