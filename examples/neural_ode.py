"""A neural differential equation: a small network learns dy/dt from a few noisy points of a spiral.

The loss goes through a solver: Runge and Kutta's fourth order with fixed steps, a `scan`, or Dormand and Prince's fifth order, which
chooses its steps by an estimate of their error, a `while_loop`. Both are one op each, compiled once, whatever the number of steps; the
gradient is that of the steps that were taken.

Sources: Chen, Rubanova, Bettencourt, Duvenaud 2018, "Neural ordinary differential equations"; Dormand & Prince 1980.
"""

from __future__ import annotations

import argparse
from typing import Any

import common
import numpy as np

import tlean as tl

# Dormand & Prince 1980: the stages, the weights of order 5 (the last stage's), and what they differ by from those of order 4.
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def spiral(y: Any) -> Any:
    """The equation to be found: dy/dt = A y³."""
    return (y**3) @ np.array([[-0.1, -2.0], [2.0, -0.1]])


def network(params: Any, y: Any) -> Any:
    """Two layers on y³."""
    w, b, v, c = params
    return tl.tanh((y * y * y) @ w + b) @ v + c


def fixed(f: Any, y: Any, times: np.ndarray, substeps: int) -> Any:
    """y at these times, by Runge and Kutta's method with so many steps between two of them: `(times, *y)`."""

    def stretch(y: Any, width: Any) -> Any:
        h = width / substeps

        def step(_: Any, y: Any) -> Any:
            a = f(y)
            b = f(y + a * (h / 2))
            c = f(y + b * (h / 2))
            return y + (a + 2.0 * b + 2.0 * c + f(y + c * h)) * (h / 6)

        y = tl.fori_loop(0, substeps, step, y)
        return y, y

    return tl.concat([y.reshape(1, *y.shape), tl.scan(stretch, y, np.diff(times))[1]], axis=0)


def adaptive(f: Any, y: Any, times: np.ndarray, tolerance: float) -> tuple[Any, Any]:
    """y at these times by Dormand and Prince's method, and how many steps it took and gave up: `(times, *y)`, `(2,)`."""

    def attempt(state: Any) -> Any:
        t, end, y, h, counts = state
        h = tl.minimum(h, end - t)
        slopes = [f(y)]
        for row in STAGES:
            slopes.append(f(y + h * sum(a * k for a, k in zip(row, slopes, strict=True) if a)))
        new = y + h * sum(a * k for a, k in zip(STAGES[-1], slopes, strict=False) if a)
        error = h * sum(a * k for a, k in zip(ERROR, slopes, strict=True) if a)
        scaled = tl.sqrt(tl.mean(tl.square(error / (tolerance * (1.0 + tl.maximum(tl.abs(y), tl.abs(new)))))) + 1e-20)
        good = scaled <= 1.0
        grown = h * tl.clamp(0.9 * scaled**-0.2, 0.2, 5.0)
        counts = counts + tl.stack([tl.where(good, 1.0, 0.0), tl.where(good, 0.0, 1.0)])
        return tl.where(good, t + h, t), end, tl.where(good, new, y), tl.stop_gradient(grown), counts

    def stretch(state: Any, end: Any) -> Any:
        t, y, h, counts = state
        _, _, y, h, counts = tl.while_loop(lambda s: s[0] < s[1] * (1 - 1e-12), attempt, (t, end, y, h, counts))
        return (end, y, h, counts), y

    first = tl.zeros((), dtype=y.dtype)
    (_, _, _, counts), ys = tl.scan(stretch, (first, y, first + 0.05, tl.zeros((2,), dtype=y.dtype)), times[1:])
    return tl.concat([y.reshape(1, *y.shape), ys], axis=0), counts


def solver(args: argparse.Namespace, times: np.ndarray) -> Any:
    """`solve(params, y)`: the points of a solution and how many steps they took."""
    if args.solver == "rk4":
        return lambda params, y: (fixed(lambda y: network(params, y), y, times, args.substeps), np.zeros(2))
    return lambda params, y: adaptive(lambda y: network(params, y), y, times, args.tolerance)


def train(args: argparse.Namespace, data: np.ndarray, times: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Steps of Adam on short stretches of the data."""
    rng = np.random.default_rng(args.seed)
    params = [rng.normal(0, 0.3, (2, args.width)), np.zeros(args.width), rng.normal(0, 0.3, (args.width, 2)), np.zeros(2)]
    length = min(args.stretch, len(times))
    solve = solver(args, times[:length])

    def loss(w: Any, b: Any, v: Any, c: Any, y: Any, wanted: Any) -> Any:
        return tl.mean(tl.abs(solve((w, b, v, c), y)[0] - wanted))

    trainer = tl.ScalarTrainer(tl.Options(dtype="float64"), params, [(args.batch, 2), (length, args.batch, 2)], loss)
    told, losses = common.Progress(args.steps, "step"), []
    for step in range(args.steps):
        at = rng.integers(0, len(times) - length + 1, args.batch)
        wanted = data[at[None, :] + np.arange(length)[:, None]]
        rate = args.lr * (1 + np.cos(np.pi * step / args.steps)) / 2
        losses.append(trainer.adam_step(rate, 0.9, 0.999, 1e-8, data[at], wanted).item())
        told(step + 1, f"loss {losses[-1]:.4f}")
    return [np.asarray(p) for p in trainer.get_params()], losses


def draw(args: argparse.Namespace, data: np.ndarray, path: np.ndarray, field: Any, losses: list[float], costs: Any) -> None:
    """The plane with the field that was learned, the loss, and what a tolerance costs."""
    figure, (plane, loss, cost) = common.panels(3, (12.5, 3.9), (1.15, 1, 1))
    grid = np.stack(np.meshgrid(np.linspace(-2.2, 2.2, 18), np.linspace(-2.2, 2.2, 18)), axis=-1)
    slope = field(grid.reshape(-1, 2)).reshape(grid.shape)
    slope = slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-9)
    plane.quiver(grid[..., 0], grid[..., 1], slope[..., 0], slope[..., 1], color="#c3cad3", width=0.003, scale=30)
    plane.plot(data[:, 0], data[:, 1], "o", color=common.GREY, markersize=3, label="data, with noise")
    plane.plot(path[:, 0], path[:, 1], color=common.RED, linewidth=1.6, label="solution of the network's equation")
    plane.plot(*data[0], "o", color=common.INK, markersize=5)
    plane.set(
        title="Directions that were learned, and one solution", xlabel="y₁", ylabel="y₂", aspect="equal", xlim=(-2.3, 2.3), ylim=(-2.3, 2.3)
    )
    figure.legend(*plane.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=2, fontsize=9)
    loss.plot(np.arange(1, len(losses) + 1), losses, color=common.BLUE, linewidth=0.8)
    loss.set(title=f"Training through {args.solver}", xlabel="step of Adam", ylabel="mean absolute error", yscale="log")
    tolerances, steps, errors = costs
    cost.plot(steps, errors, "o-", color=common.BLUE, markersize=4)
    for tol, n, e in zip(tolerances, steps, errors, strict=True):
        cost.annotate(f"10$^{{{round(np.log10(tol))}}}$", (n, e), textcoords="offset points", xytext=(6, 3), fontsize=8, color=common.INK)
    cost.set(title="Dormand and Prince: error by tolerance", xlabel="steps taken", ylabel="error at the end", xscale="log", yscale="log")
    marks = [n for n in (5, 10, 20, 50, 100, 200, 500, 1000, 2000) if steps[0] * 0.8 <= n <= steps[-1] * 1.3]
    cost.set_xticks(marks, [str(n) for n in marks])
    cost.set_xticks([], minor=True)
    loss.set_yticks(
        marks := [n for n in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if min(losses) * 0.8 <= n <= max(losses) * 1.3], [f"{n:g}" for n in marks]
    )
    loss.set_yticks([], minor=True)
    common.save(figure, args, "neural_ode.png")


def main() -> None:
    """Train, solve with several tolerances, draw."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--solver", choices=("rk4", "dopri5"), default="dopri5", help="that training goes through (default: %(default)s)")
    p.add_argument("--steps", type=int, help="of Adam (default: 1500)")
    p.add_argument("--points", type=int, help="of data (default: 400)")
    p.add_argument("--batch", type=int, default=16, help="stretches of data in a step (default: %(default)s)")
    p.add_argument("--stretch", type=int, default=12, help="points of a stretch (default: %(default)s)")
    p.add_argument("--substeps", type=int, default=2, help="of rk4 between two points (default: %(default)s)")
    p.add_argument("--tolerance", type=float, default=1e-4, help="of dopri5 (default: %(default)s)")
    p.add_argument("--width", type=int, default=50, help="of the network (default: %(default)s)")
    p.add_argument("--lr", type=float, default=1e-2, help="default: %(default)s")
    args = p.parse_args()
    common.settle(args, steps=(1500, 20), points=(400, 60))
    if min(args.steps, args.batch, args.substeps, args.width, args.stretch - 1, args.points - 1) < 1 or not args.tolerance > 0 < args.lr:
        p.error("every number but the seed must be greater than 0, --stretch and --points greater than 1")
    times = np.linspace(0.0, 10.0 * min(1.0, args.points / 200), args.points)
    start = np.array([2.0, 0.0])
    exact = np.asarray(tl.jit(lambda y: fixed(spiral, y, times, 20))(start))
    data = exact + np.random.default_rng(args.seed).normal(0, 0.02, exact.shape)
    params, losses = train(args, data, times)
    solve = tl.jit(lambda params, y, tol: adaptive(lambda y: network(params, y), y, times[:: len(times) - 1], tol))
    best = np.asarray(solve(params, start, 1e-11)[0])[-1]
    tolerances = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]
    found = [solve(params, start, tol) for tol in tolerances]
    steps = [int(np.asarray(counts)[0]) for _, counts in found]
    errors = [max(float(np.linalg.norm(np.asarray(ys)[-1] - best)), 1e-16) for ys, _ in found]
    path = np.asarray(tl.jit(lambda params, y: adaptive(lambda y: network(params, y), y, times, 1e-6)[0])(params, start))
    print(f"loss {np.mean(losses[-20:]):.4f}; distance from the exact solution {np.abs(path - exact).mean():.4f}")
    for tol, (_, counts), error in zip(tolerances, found, errors, strict=True):
        taken, lost = np.asarray(counts)
        print(f"tolerance {tol:.0e}: {taken:.0f} steps, {lost:.0f} given up, error {error:.1e}")
    if args.plot:
        field = tl.jit(network)
        draw(args, data, path, lambda y: np.asarray(field(params, y)), losses, (tolerances, steps, errors))


if __name__ == "__main__":
    common.run(main, __file__)
