"""Curve fitting by Levenberg and Marquardt: two peaks on a slope, the errors of the parameters, and what each observation does to them.

The fit is a program like any other: its derivative by the observations is that of the minimum, by the implicit function theorem. So the
errors of the parameters follow from those of the observations directly, and a batch of fits is `tl.vmap` of one.
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
from common import BLUE, GREEN, GREY, RED, panels, parser, save

NAMES = ("height 1", "place 1", "width 1", "height 2", "place 2", "width 2", "level", "slope")
TRUE = np.array([3.0, 3.2, 0.45, 1.6, 4.6, 0.7, 0.6, 0.08])
GUESS = np.array([2.0, 2.9, 0.8, 2.0, 5.0, 0.8, 0.0, 0.0])


def peaks(p: Any, x: Any) -> Any:
    """Two normal peaks on a straight line."""
    first = p[0] * tl.exp(-0.5 * ((x - p[1]) / p[2]) ** 2)
    second = p[3] * tl.exp(-0.5 * ((x - p[4]) / p[5]) ** 2)
    return first + second + p[6] + p[7] * x


def main(argv: list[str] | None = None) -> None:
    """Fit once, fit many repetitions, print and draw."""
    p = parser(__file__, __doc__)
    p.add_argument("--points", type=int, help="observations (default: 200, or 60 with --quick)")
    args = p.parse_args(argv)
    if args.points is not None and args.points < 20:
        p.error("--points is at least 20")
    n, noise = args.points or (60 if args.quick else 200), 0.12
    rng = np.random.default_rng(args.seed)
    x = np.linspace(0.0, 8.0, n)
    clean = np.asarray(peaks(TRUE, x))
    y = clean + noise * rng.standard_normal(n)

    def fit(y: Any) -> Any:
        return tl.solvers.levenberg_marquardt(lambda p: peaks(p, x) - y, GUESS)

    run = tl.jit(fit)
    begun = time.perf_counter()
    found = run(y)
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    run(y)
    print(f"{found.steps.item()} steps; {1e3 * first:.0f} ms at the first call, {1e3 * (time.perf_counter() - begun):.2f} ms after it")
    influence = np.asarray(tl.jacrev(lambda y: fit(y).x)(y))
    errors = noise * np.sqrt((influence**2).sum(1))
    repeated = np.asarray(tl.vmap(lambda y: fit(y).x)(clean + noise * rng.standard_normal((20 if args.quick else 400, n))))
    print(f"{'':>10}  {'fit':>7}  {'error':>7}  {'repeated':>8}  {'true':>6}")
    for name, value, error, spread, true in zip(NAMES, np.asarray(found.x), errors, repeated.std(0), TRUE, strict=True):
        print(f"{name:>10}  {value:7.3f}  {error:7.3f}  {spread:8.3f}  {true:6.2f}")
    if args.plot:
        drawn, axes = panels(2, (11.0, 3.8))
        left, right = axes
        left.plot(x, y, ".", color=GREY, label="observations")
        left.plot(x, clean, color=RED, linewidth=3, alpha=0.5, label="true")
        left.plot(x, np.asarray(peaks(found.x, x)), color=BLUE, label="fit")
        left.set(xlabel="x", title="two peaks on a slope")
        left.legend()
        for k, color in ((1, BLUE), (4, GREEN)):
            right.plot(x, influence[k], color=color, label=NAMES[k])
        right.axhline(0.0, color=GREY, linewidth=0.5)
        right.set(xlabel="x", title="what an observation there does to a place")
        right.legend()
        save(drawn, args, "curve_fit.png")


if __name__ == "__main__":
    main()
