"""A Kalman filter for vector observations: the likelihood of a track by its noises, maximised by L-BFGS, and the smoothed track.

A body moves in a plane, its velocity shaken by noise; a radar sees its place, with errors that are not the same in both directions. The
filter is one `tl.scan`, the fit one compiled program. Source: Särkkä 2013, "Bayesian Filtering and Smoothing", chapters 4 and 8.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

# Beside the folder of this file: what all examples share.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import BLUE, GREY, RED, panels, parser, save

STEP = 0.1
#: Place and velocity in two directions: how they move in a step, and what is seen.
MOVE = np.block([[np.eye(2), STEP * np.eye(2)], [np.zeros((2, 2)), np.eye(2)]])
SEEN = np.hstack([np.eye(2), np.zeros((2, 2))])
#: The covariance that shaking a velocity gives in a step, of strength 1.
SHAKEN = np.block([[STEP**3 / 3 * np.eye(2), STEP**2 / 2 * np.eye(2)], [STEP**2 / 2 * np.eye(2), STEP * np.eye(2)]])


def noises(p: Any) -> tuple[Any, Any]:
    """The covariances of the motion and of the observations; p holds logarithms of deviations."""
    return tl.exp(2.0 * p["shake"]) * SHAKEN, tl.diag(tl.exp(2.0 * p["error"]))


def filtered(p: Any, track: Any) -> tuple[Any, Any]:
    """The log likelihood of each observation, and mean and covariance of the state: as predicted, and after it."""
    motion, error = noises(p)

    def step(carry: Any, seen: Any) -> Any:
        mean, cov = carry
        mean, cov = MOVE @ mean, MOVE @ cov @ MOVE.T + motion
        spread = SEEN @ cov @ SEEN.T + error
        surprise = seen - SEEN @ mean
        gain = tl.linalg.solve(spread, SEEN @ cov)
        likely = tl.stats.multivariate_normal.logpdf(seen, SEEN @ mean, spread)
        after = (mean + surprise @ gain, cov - tl.swapaxes(gain, 0, 1) @ spread @ gain)
        return after, (likely, mean, cov, *after)

    start = (np.zeros(4), 10.0 * np.eye(4))
    return tl.scan(step, start, track)[1]


def smoothed(p: Any, track: Any) -> Any:
    """The mean of the state at each time, given all observations: Rauch, Tung and Striebel's sweep back."""
    _, before, spread, mean, cov = filtered(p, track)

    def back(following: Any, row: Any) -> Any:
        mean, cov, predicted, cov_predicted = row
        gain = tl.linalg.solve(cov_predicted, MOVE @ cov)
        mean = mean + (following - predicted) @ gain
        return mean, mean

    last = mean[-1]
    others = tl.scan(back, last, (mean[:-1], cov[:-1], before[1:], spread[1:]), reverse=True)[1]
    return tl.concat([others, tl.expand_dims(last, 0)])


def simulated(n: int, shake: float, error: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True states, and what is seen of them."""
    rng = np.random.default_rng(seed)
    states = np.zeros((n, 4))
    state = np.array([0.0, 0.0, 1.0, 0.5])
    root = np.linalg.cholesky(shake**2 * SHAKEN)
    for k in range(n):
        state = states[k] = MOVE @ state + root @ rng.standard_normal(4)
    return states, states[:, :2] + error * rng.standard_normal((n, 2))


def main(argv: list[str] | None = None) -> None:
    """Fit the noises, print them beside the true ones, draw the track."""
    p = parser(__file__, __doc__)
    p.add_argument("--steps", type=int, help="observations (default: 1000, or 100 with --quick)")
    args = p.parse_args(argv)
    if args.steps is not None and args.steps < 10:
        p.error("--steps is at least 10")
    shake, error = 0.8, np.array([0.5, 0.2])
    states, track = simulated(args.steps or (100 if args.quick else 1000), shake, error, args.seed)

    def loss(p: Any) -> Any:
        return -tl.sum(filtered(p, track)[0])

    start = {"shake": np.array(0.0), "error": np.zeros(2)}
    begun = time.perf_counter()
    found = tl.solvers.lbfgs(loss, start, tol=1e-4)
    print(f"L-BFGS: {found.steps.item()} steps in {time.perf_counter() - begun:.2f} s, log likelihood {-found.value.item():.2f}")
    # The curvature at the maximum says how sure the fit is.
    order = ("error", "shake")
    blocks = tl.hessian(loss)(found.x)
    rows = [np.concatenate([np.asarray(blocks[a][b]).reshape(-1, 2 if b == "error" else 1) for b in order], axis=1) for a in order]
    sure = np.sqrt(np.diag(np.linalg.inv(np.concatenate(rows))))
    for name, k, true in (("error of x", 0, error[0]), ("error of y", 1, error[1]), ("shaking", 2, shake)):
        log = np.concatenate([np.asarray(found.x["error"]), [found.x["shake"].item()]])[k]
        print(f"{name:>10}: {np.exp(log):.3f} ± {np.exp(log) * sure[k]:.3f}, true {true:.3f}")
    path = np.asarray(smoothed(found.x, track))
    errors = [np.sqrt(np.mean((path[:, :2] - states[:, :2]) ** 2)), np.sqrt(np.mean((track - states[:, :2]) ** 2))]
    print(f"distance from the true places: {errors[0]:.3f} smoothed, {errors[1]:.3f} as seen")
    if args.plot:
        drawn, axes = panels(2, (11.0, 3.8))
        left, right = axes
        begin = slice(0, 100)
        left.plot(*track[begin].T, ".", color=GREY, markersize=4, label="seen")
        left.plot(*states[begin, :2].T, color=RED, linewidth=3, alpha=0.5, label="true")
        left.plot(*path[begin, :2].T, color=BLUE, linewidth=1, label="smoothed")
        left.set(xlabel="x", ylabel="y", title="the first 100 observations")
        left.legend()
        times = STEP * np.arange(len(path))
        right.plot(times, states[:, 2], color=RED, linewidth=3, alpha=0.5, label="true")
        right.plot(times, path[:, 2], color=BLUE, linewidth=1, label="smoothed")
        right.set(xlabel="time", title="velocity along x, which is not seen")
        right.legend()
        save(drawn, args, "kalman_filter.png")


if __name__ == "__main__":
    main()
