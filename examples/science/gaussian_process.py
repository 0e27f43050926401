"""Gaussian processes: kernels of three kinds, whose scales maximise the likelihood by L-BFGS, and what they say between the observations.

Each fit is one compiled program: Cholesky factors, their gradients, line searches and all. Source: Rasmussen & Williams 2006, "Gaussian
Processes for Machine Learning", algorithm 2.1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

# Beside the folder of this file: what all examples share.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import BLUE, RED, panels, parser, save

KERNELS = ("rbf", "matern 3/2", "matern 5/2")


def correlation(name: str, squares: Any) -> Any:
    """Of two points by their squared distance, in units of the length."""
    if name == "rbf":
        return tl.exp(-0.5 * squares)
    # A little away from 0, where the root has no derivative.
    far = tl.sqrt(squares + 1e-12) * (3.0 if name == "matern 3/2" else 5.0) ** 0.5
    more = 0.0 if name == "matern 3/2" else far * far / 3.0
    return (1.0 + far + more) * tl.exp(-far)


def covariance(name: str, p: Any, a: Any, b: Any) -> Any:
    """The covariance of the process at two sets of places; p holds logarithms of amplitude and length."""
    return tl.exp(2.0 * p["amplitude"]) * correlation(name, (a[:, None] - b[None, :]) ** 2 * tl.exp(-2.0 * p["length"]))


def factor(name: str, p: Any, x: np.ndarray) -> Any:
    """The Cholesky factor of the observations' covariance."""
    return tl.linalg.cholesky(covariance(name, p, x, x) + (tl.exp(2.0 * p["noise"]) + 1e-8) * np.eye(len(x)))


def surprise(name: str, x: np.ndarray, y: np.ndarray) -> Callable[[Any], Any]:
    """Minus the log likelihood of the observations."""

    def loss(p: Any) -> Any:
        lower = factor(name, p, x)
        white = tl.linalg.solve_triangular(lower, y, lower=True)
        return 0.5 * tl.sum(white**2) + tl.sum(tl.log(tl.diagonal(lower))) + 0.5 * len(x) * np.log(2.0 * np.pi)

    return loss


def predict(name: str, p: Any, x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[Any, Any]:
    """Mean and deviation of the process."""
    lower, between = factor(name, p, x), covariance(name, p, x, at)
    white = tl.linalg.solve_triangular(lower, between, lower=True)
    mean = tl.swapaxes(white, 0, 1) @ tl.linalg.solve_triangular(lower, y, lower=True)
    return mean, tl.sqrt(tl.exp(2.0 * p["amplitude"]) - tl.sum(white * white, axis=0))


def observations(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy values of a function at random places, with a gap."""
    rng = np.random.default_rng(seed)
    x = np.sort(np.concatenate([rng.uniform(0.0, 4.5, n // 2), rng.uniform(6.5, 10.0, n - n // 2)]))
    return x, np.sin(1.4 * x) + 0.3 * np.abs(x - 5.0) + 0.15 * rng.standard_normal(n)


def main(argv: list[str] | None = None) -> None:
    """Fit each kernel, print its scales, draw what it says."""
    p = parser(__file__, __doc__)
    p.add_argument("--points", type=int, help="observations (default: 80, or 20 with --quick)")
    args: argparse.Namespace = p.parse_args(argv)
    if args.points is not None and args.points < 4:
        p.error("--points is at least 4")
    x, y = observations(args.points or (20 if args.quick else 80), args.seed)
    level = y.mean()
    at = np.linspace(-0.5, 10.5, 60 if args.quick else 400)
    fits = {}
    print(f"{'kernel':>10}  {'log likelihood':>14}  {'amplitude':>9}  {'length':>6}  {'noise':>6}  {'steps':>5}  {'time':>7}")
    for name in KERNELS:
        begun = time.perf_counter()
        start = {"amplitude": np.array(0.0), "length": np.array(0.0), "noise": np.array(-1.5)}
        found = tl.solvers.lbfgs(surprise(name, x, y - level), start, tol=1e-5)
        scales = {k: float(np.exp(v)) for k, v in found.x.items()}
        row = f"{name:>10}  {-found.value.item():14.3f}  {scales['amplitude']:9.3f}  {scales['length']:6.3f}  {scales['noise']:6.3f}"
        print(f"{row}  {found.steps.item():5d}  {time.perf_counter() - begun:5.2f} s", flush=True)
        fits[name] = [np.asarray(v) for v in predict(name, found.x, x, y - level, at)]
    if args.plot:
        drawn, axes = panels(len(KERNELS), (4.6 * len(KERNELS), 3.8))
        for axis, (name, (mean, deviation)) in zip(axes, fits.items(), strict=True):
            axis.fill_between(at, level + mean - 2 * deviation, level + mean + 2 * deviation, color=BLUE, alpha=0.2, linewidth=0)
            axis.plot(at, level + mean, color=BLUE, label="mean, and two deviations")
            axis.plot(x, y, "o", markersize=3, color=RED, label="observations")
            axis.set(title=name, xlabel="x", ylim=(y.min() - 2.0, y.max() + 2.0))
        axes[0].legend()
        save(drawn, args, "gaussian_process.png")


if __name__ == "__main__":
    main()
