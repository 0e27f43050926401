"""Robertson's reaction, which is stiff: three species over eleven decades of time, and how they depend on each rate constant.

The solution and its sensitivities by all constants are one compiled program: steps of a Rosenbrock method, differentiated forward. A fit
of the constants to noisy observations goes through the same program by Levenberg and Marquardt. Source: Hairer & Wanner 1996, "Solving
Ordinary Differential Equations II", IV.1.
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
from common import BLUE, GREEN, RED, panels, parser, save

RATES = np.array([0.04, 3e7, 1e4])
SPECIES = ("A", "B · 10⁴", "C")
SCALES = np.array([1.0, 1e4, 1.0])


def reaction(t: Any, y: Any, k: Any) -> Any:
    """A → B, 2B → B + C, B + C → A + C."""
    slow, fast, back = k[0] * y[0], k[1] * y[1] * y[1], k[2] * y[1] * y[2]
    return tl.stack([back - slow, slow - back - fast, fast])


def fit(solution: Callable[[Any], Any], seen: np.ndarray, logs: np.ndarray) -> None:
    """Fit the constants to observations from a start that is off, and print them."""

    def residuals(logs: Any) -> Any:
        return (solution(logs) * SCALES - seen)[1:]

    begun = time.perf_counter()
    found = tl.solvers.levenberg_marquardt(residuals, logs + np.array([0.5, -0.7, 0.6]), max_steps=30, tol=1e-6)
    print(f"fit: {found.steps.item()} steps in {time.perf_counter() - begun:.2f} s")
    for name, guess, true in zip(("k1", "k2", "k3"), np.exp(np.asarray(found.x)), RATES, strict=True):
        print(f"  {name} = {guess:.4g}, true {true:.4g}")


def main(argv: list[str] | None = None) -> None:
    """Solve, differentiate, fit; print and draw."""
    p = parser(__file__, __doc__)
    args = p.parse_args(argv)
    decades, points = (4, 20) if args.quick else (6, 100)
    times = np.concatenate([[0.0], np.logspace(-5, decades, points)])
    start = np.array([1.0, 0.0, 0.0])

    def solution(logs: Any) -> Any:
        return tl.solvers.odeint(reaction, start, times, tl.exp(logs), method="rodas4", rtol=1e-7, atol=1e-12)

    logs = np.log(RATES)
    run, sensitivities = tl.jit(solution), tl.jit(tl.jacfwd(solution))
    for what, program in (("solution", run), ("with sensitivities", sensitivities)):
        seconds = []
        for _ in range(2):
            begun = time.perf_counter()
            program(logs)
            seconds.append(time.perf_counter() - begun)
        print(f"{what}: {1e3 * seconds[0]:.0f} ms at the first call, {1e3 * seconds[1]:.2f} ms after it")
    ys, by_logs = np.asarray(run(logs)), np.asarray(sensitivities(logs))
    print(f"at t = {times[-1]:.0e}: " + ", ".join(f"{n} = {v:.6g}" for n, v in zip(SPECIES, ys[-1] * SCALES, strict=True)))
    print(f"largest change of A + B + C: {np.abs(ys.sum(1) - 1.0).max():.1e}")

    rng = np.random.default_rng(args.seed)
    seen = ys * SCALES * (1.0 + 0.02 * rng.standard_normal(ys.shape))
    if not args.quick:
        fit(solution, seen, logs)
    if args.plot:
        drawn, axes = panels(2, (11.0, 3.8))
        left, right = axes
        for k, color in enumerate((BLUE, RED, GREEN)):
            left.semilogx(times[1:], seen[1:, k], ".", color=color, markersize=3, alpha=0.5)
            left.semilogx(times[1:], ys[1:, k] * SCALES[k], color=color, label=SPECIES[k])
            right.semilogx(times[1:], by_logs[1:, 0, k], color=color, label=f"by log k{k + 1}")
        left.set(xlabel="time", title="the species, and noisy observations")
        right.set(xlabel="time", title="the sensitivity of A")
        left.legend()
        right.legend()
        save(drawn, args, "robertson.png")


if __name__ == "__main__":
    main()
