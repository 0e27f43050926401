"""Optimal transport by Sinkhorn's iteration: how far two clouds of points are from each other, and a cloud that flows to the other.

The iteration is a fixed point, `tl.fixed_point`, so gradients come from where it ends and no step of it is kept. The distance without the
blur of the entropy moves each point straight to where its mass belongs. Source: Cuturi 2013; Feydy et al. 2019, "Interpolating between
Optimal Transport and MMD using Sinkhorn Divergences".
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


def cost(x: Any, y: Any) -> Any:
    """Half the squared distance of each point of one cloud from each of the other."""
    return 0.5 * tl.sum((tl.expand_dims(x, 1) - tl.expand_dims(y, 0)) ** 2, axis=-1)


def transport(x: Any, y: Any, blur: float) -> Any:
    """The cost of moving one cloud onto the other, with entropy of that much blur, by the potential at the fixed point."""
    c = cost(x, y) / blur
    n, m = c.shape

    def other(f: Any) -> Any:
        return -tl.logsumexp(tl.expand_dims(f, 1) - c, axis=0) + float(np.log(n))

    def step(f: Any) -> Any:
        # The mean of old and new settles faster.
        return 0.5 * (f - tl.logsumexp(tl.expand_dims(other(f), 0) - c, axis=1) + float(np.log(m)))

    f = tl.fixed_point(step, tl.zeros((n,), dtype="float64"), tol=1e-7, max_steps=1000)
    return blur * (tl.mean(f) + tl.mean(other(f)))


def divergence(x: Any, y: Any, blur: float) -> Any:
    """The distance of two clouds: 0 where they are one, which the blurred cost is not."""
    return transport(x, y, blur) - 0.5 * (transport(x, x, blur) + transport(y, y, blur))


def clouds(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A blot, and two half moons."""
    rng = np.random.default_rng(seed)
    angle = np.pi * rng.uniform(size=n)
    side = np.arange(n) % 2
    moons = np.stack([np.cos(angle) * (1 - 2 * side) + side, np.sin(angle) * (1 - 2 * side) + 0.5 * side], axis=1)
    return np.array([0.5, 0.2]) + 0.25 * rng.standard_normal((n, 2)), moons + 0.05 * rng.standard_normal((n, 2))


def main(argv: list[str] | None = None) -> None:
    """Let the blot flow to the moons; print the distance, draw the way."""
    p = parser(__file__, __doc__)
    p.add_argument("--points", type=int, help="of each cloud (default: 150, or 30 with --quick)")
    p.add_argument("--steps", type=int, help="of the flow (default: 8, or 2 with --quick)")
    p.add_argument("--blur", type=float, default=0.05, help="of the entropy (default: %(default)s)")
    args = p.parse_args(argv)
    if (args.points is not None and args.points < 2) or (args.steps is not None and args.steps < 1) or not args.blur > 0:
        p.error("--points is at least 2, --steps at least 1, --blur greater than 0")
    n, steps = args.points or (30 if args.quick else 150), args.steps or (2 if args.quick else 8)
    x, y = clouds(n, args.seed)
    both = tl.value_and_grad(lambda x: divergence(x, y, args.blur))
    ways, begun = [x], time.perf_counter()
    for k in range(steps):
        value, g = both(x)
        # Each point has a share of 1/n of the mass.
        x = x - 0.5 * n * np.asarray(g)
        ways.append(x)
        print(f"step {k + 1}/{steps}: distance {value.item():.6f}", flush=True)
    print(f"{time.perf_counter() - begun:.2f} s", file=sys.stderr)
    print(f"at the end: {both(x)[0].item():.6f}")
    if args.plot:
        drawn, axes = panels(3, (13.8, 3.8))
        for axis, k in zip(axes, (0, (steps + 2) // 4, steps), strict=True):
            axis.plot(*y.T, ".", color=GREY, markersize=4, label="where to")
            axis.plot(*ways[k].T, ".", color=BLUE if k else RED, markersize=4, label="the cloud")
            axis.set(title=f"after {k} steps", aspect="equal", xlim=(-1.4, 2.4), ylim=(-1.0, 1.5))
        axes[0].legend(loc="lower left")
        save(drawn, args, "sinkhorn.png")


if __name__ == "__main__":
    main()
