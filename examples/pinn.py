"""A physics-informed network: a small perceptron that solves the viscous Burgers equation, u_t + u·u_x = ν·u_xx, with no data inside.

The loss is how much the network breaks the equation at random points, and how far it is from the start and from the borders; u_t, u_x and
u_xx are derivatives of the network in its inputs, taken inside the loss, so training differentiates three times. The picture shows the
solution beside a finite-difference one. Source: Raissi, Perdikaris, Karniadakis 2019, "Physics-informed neural networks", section 3.1.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

NU = 0.1 / math.pi
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def network(ops: Any, params: Any, x: Any, t: Any) -> Any:
    """u at the points (x, t), each of shape (N, 1)."""
    h = ops.concat([x, t], axis=1)
    *hidden, w, b = params
    for k in range(0, len(hidden), 2):
        h = ops.tanh(ops.linear(hidden[k], hidden[k + 1], h))
    return ops.linear(w, b, h)


def residual(ops: Any, params: Any, x: Any, t: Any, nu: float) -> Any:
    """u_t + u·u_x − ν·u_xx at every point."""

    def total(ops: Any, x: Any, t: Any) -> Any:
        # Each point's u depends on its own x and t alone, so the gradient of the sum holds every point's own derivative.
        return ops.sum(network(ops, params, x, t))

    def slope(ops: Any, x: Any, t: Any) -> Any:
        return ops.sum(tl.grad(total)(ops, x, t))

    u = network(ops, params, x, t)
    u_x, u_t = tl.grad(total, argnums=(0, 1))(ops, x, t)
    u_xx = tl.grad(slope)(ops, x, t)
    return ops.sub(ops.add(u_t, ops.mul(u, u_x)), ops.scale(u_xx, nu))


def make_loss(nu: float) -> Any:
    """The mean square of the residual, plus that of the errors at the start and at the borders."""

    def loss(ops: Any, *refs: Any) -> Any:
        *params, x, t, x_known, t_known, u_known = refs
        inside = ops.mean(ops.square(residual(ops, params, x, t, nu)))
        known = ops.mse_loss(network(ops, params, x_known, t_known), u_known)
        return ops.add(inside, known), inside

    return loss


def initial_values(width: int, depth: int, seed: int) -> list[np.ndarray]:
    """Weights by Glorot & Bengio 2010, equation 16; biases 0."""
    rng = tl.Rng(seed)
    sizes = [2, *[width] * depth, 1]
    values = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        bound = math.sqrt(6 / (fan_in + fan_out))
        values += [rng.uniform((fan_out, fan_in), -bound, bound), np.zeros(fan_out, np.float32)]
    return values


def sample(rng: np.random.Generator, points: int, known: int) -> list[np.ndarray]:
    """Points inside, and points at t = 0 and x = ±1 with their values: u(x, 0) = −sin πx, u(±1, t) = 0."""
    x, t = rng.uniform(-1, 1, (points, 1)), rng.uniform(0, 1, (points, 1))
    starts = rng.uniform(-1, 1, (known, 1))
    borders = np.where(rng.random((known, 1)) < 0.5, -1.0, 1.0)
    x_known = np.concatenate([starts, borders])
    t_known = np.concatenate([np.zeros((known, 1)), rng.uniform(0, 1, (known, 1))])
    u_known = np.concatenate([-np.sin(np.pi * starts), np.zeros((known, 1))])
    return [x, t, x_known, t_known, u_known]


def finite_differences(nu: float, cells: int = 512, frames: int = 101) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The solution on a grid, to compare: (x, t, u of shape (frames, cells + 1)). Explicit, conservative upwind for the flux u²/2."""
    x = np.linspace(-1, 1, cells + 1)
    h = x[1] - x[0]
    u = -np.sin(np.pi * x)
    steps = math.ceil(1 / min(0.4 * h, 0.4 * h * h / nu) / (frames - 1))
    dt = 1 / (steps * (frames - 1))
    found = [u.copy()]
    for _ in range(frames - 1):
        for _ in range(steps):
            left, right = u[:-1], u[1:]
            # Godunov's flux: the wave decides from which side it comes.
            flux = np.maximum(np.maximum(left, 0) ** 2, np.minimum(right, 0) ** 2) / 2
            u[1:-1] += dt * (-(flux[1:] - flux[:-1]) / h + nu * (u[2:] - 2 * u[1:-1] + u[:-2]) / h**2)
        found.append(u.copy())
    return x, np.linspace(0, 1, frames), np.array(found)


def picture(path: Path, x: np.ndarray, t: np.ndarray, exact: np.ndarray, found: np.ndarray, losses: list[float]) -> None:
    """The network's solution over space and time, slices of both solutions, and the loss."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "savefig.dpi": 150,
    }
    with plt.rc_context(style):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained", width_ratios=(1.3, 1, 1))
        mesh = left.pcolormesh(t, x, found.T, cmap="RdBu_r", vmin=-1, vmax=1, shading="gouraud")
        left.set(title="u(x, t), the network's", xlabel="t", ylabel="x")
        left.grid(False)
        figure.colorbar(mesh, ax=left)
        for k, when in enumerate((0.25, 0.5, 0.75)):
            row = round(when * (len(t) - 1))
            middle.plot(x, exact[row] + 2.2 * k, color="#d1603d", linewidth=3, alpha=0.5, label="finite differences" if k == 0 else None)
            middle.plot(x, found[row] + 2.2 * k, color="#3b6fb6", linewidth=1.2, label="network" if k == 0 else None)
            middle.annotate(f"t = {when}", (0.98, 2.2 * k + 0.25), ha="right", fontsize=9)
        middle.set(title="u(x) at three times", xlabel="x", yticks=[])
        middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
        right.plot(np.arange(1, len(losses) + 1), losses, color="#3b6fb6", linewidth=0.8)
        right.set(title="Loss", xlabel="step", yscale="log")
        figure.savefig(path, bbox_inches="tight", pad_inches=0.12)
        plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    p = argparse.ArgumentParser(prog="pinn.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steps", type=int, default=3000, help="of Adam (default: %(default)s)")
    p.add_argument("--points", type=int, default=512, help="random points inside at every step (default: %(default)s)")
    p.add_argument("--known", type=int, default=128, help="points at the start and as many at the borders (default: %(default)s)")
    p.add_argument("--width", type=int, default=32, help="of a hidden layer (default: %(default)s)")
    p.add_argument("--depth", type=int, default=4, help="hidden layers (default: %(default)s)")
    p.add_argument("--lr", type=float, default=5e-3, help="at the start; it falls to 0 along a cosine (default: %(default)s)")
    p.add_argument("--nu", type=float, default=NU, help="viscosity (default: 0.1/π)")
    p.add_argument("--backend", choices=("compiled", "eager"), default="compiled", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where the picture goes (default: %(default)s)")
    p.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help="draw the picture")
    args = p.parse_args(argv)
    if min(args.steps, args.points, args.known, args.width, args.depth) < 1 or not (args.lr > 0 and args.nu > 0):
        p.error("every number but the seed is greater than 0")
    return args


def main(argv: list[str] | None = None) -> None:
    """Train, compare with finite differences, draw."""
    args = parse(argv)
    rng = np.random.default_rng(args.seed)
    shapes = [(args.points, 1)] * 2 + [(2 * args.known, 1)] * 3
    trainer = tl.ScalarTrainer(
        tl.Options(backend=args.backend), initial_values(args.width, args.depth, args.seed), shapes, make_loss(args.nu)
    )
    losses: list[float] = []
    begun = told = time.perf_counter()
    for step in range(args.steps):
        lr = args.lr * (1 + math.cos(math.pi * step / args.steps)) / 2
        loss = trainer.adam_step(lr, BETA1, BETA2, EPS, *sample(rng, args.points, args.known)).item()
        if not math.isfinite(loss):
            raise SystemExit(f"the loss became {loss} at step {step}: try a smaller --lr than {args.lr:g}")
        losses.append(loss)
        now = time.perf_counter()
        if now - told > 2 or step + 1 == args.steps:
            told, rate = now, (step + 1) / (now - begun)
            left = (args.steps - step - 1) / rate
            print(f"step {step + 1}/{args.steps}  loss {loss:.3e}  {rate:.0f} steps/s  {left:.0f} s left", file=sys.stderr, flush=True)

    x, t, exact = finite_differences(args.nu)
    grid_t, grid_x = (g.reshape(-1, 1) for g in np.meshgrid(t, x, indexing="ij"))
    found = np.array(tl.jit(network)(trainer.get_params(), grid_x.astype(np.float32), grid_t.astype(np.float32))).reshape(exact.shape)
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    print(f"loss {losses[-1]:.3e}, of it the equation {np.asarray(trainer.aux).item():.3e}")
    if args.plot:
        args.out.mkdir(parents=True, exist_ok=True)
        path = args.out / "pinn.png"
        picture(path, x, t, exact, found, losses)
        print(f"picture: {path}")
    print(f"distance from the finite-difference solution: {error:.2%}")


if __name__ == "__main__":
    main()
