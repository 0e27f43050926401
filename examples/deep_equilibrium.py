"""A deep equilibrium model: one layer without an end, z = tanh(W z + U x + b), whose output is its fixed point.

`tl.fixed_point` iterates until nothing changes; the gradient solves one linear system at the solution (the implicit function theorem), so
memory does not grow with the number of steps. Two arms of a spiral are told apart; beside it the same layer is unrolled through a few
steps and differentiated through each of them.

Source: Bai, Kolter, Koltun 2019, "Deep equilibrium models".
"""

from __future__ import annotations

import argparse
from typing import Any

import common
import numpy as np

import tlean as tl


def spirals(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of two arms that wind around each other, and whose they are."""
    turn, label = np.sqrt(rng.random(count)) * 2.2 * np.pi + 0.4, np.arange(count) % 2
    arm = np.where(label == 1, np.pi, 0.0)
    points = (turn / 7)[:, None] * np.stack([np.cos(turn + arm), np.sin(turn + arm)], axis=1)
    return points + rng.normal(0, 0.02, points.shape), label.astype(np.float64)


def features(x: Any) -> Any:
    """Sines of the two coordinates in several frequencies."""
    waves = [x] + [f(k * x) for k in (2.0, 4.0, 6.0) for f in (tl.sin, tl.cos)]
    return tl.concat(waves, axis=-1)


class Layer:
    """The layer, its readout, and the two ways to its output."""

    def __init__(self, width: int, steps: int, tolerance: float) -> None:
        self.width, self.steps, self.tolerance = width, steps, tolerance

    def first_values(self, rng: np.random.Generator) -> list[np.ndarray]:
        """W, U, b, and the readout's weights and bias."""
        n = self.width
        return [rng.normal(0, 0.5 / np.sqrt(n), (n, n)), rng.normal(0, 0.4, (14, n)), np.zeros(n), rng.normal(0, 0.3, (n,)), np.zeros(())]

    def weight(self, w: Any) -> Any:
        """W, made smaller where it has to be: with ‖W‖ < 1 there is one fixed point, and iteration finds it."""
        return w * (0.9 / tl.maximum(tl.sqrt(tl.sum(w * w)), 0.9))

    def implicit(self, params: Any, x: Any) -> Any:
        """Scores by the fixed point."""
        w, u, b, readout, bias = params
        w, drive = self.weight(w), features(x) @ u + b
        z = tl.fixed_point(lambda z: tl.tanh(z @ w + drive), tl.zeros_like(drive), tol=self.tolerance)
        return z @ readout + bias

    def unrolled(self, params: Any, x: Any) -> Any:
        """Scores after a fixed number of steps."""
        w, u, b, readout, bias = params
        w, drive = self.weight(w), features(x) @ u + b
        return tl.fori_loop(0, self.steps, lambda _, z: tl.tanh(z @ w + drive), tl.zeros_like(drive)) @ readout + bias


def train(args: argparse.Namespace, layer: Layer, scores: Any, x: np.ndarray, y: np.ndarray, name: str) -> tuple[list[Any], list[float]]:
    """Full batches of Adam."""
    first = layer.first_values(np.random.default_rng(args.seed))

    def loss(*arrays: Any) -> Any:
        *params, x, y = arrays
        return tl.bce_with_logits(scores(params, x), y)

    trainer = tl.ScalarTrainer(tl.Options(dtype="float64"), first, [x.shape, y.shape], loss)
    told, losses = common.Progress(args.steps, name), []
    for k in range(args.steps):
        rate = args.lr * (1 + np.cos(np.pi * k / args.steps)) / 2
        losses.append(trainer.adam_step(rate, 0.9, 0.999, 1e-8, x, y).item())
        told(k + 1, f"loss {losses[-1]:.4f}")
    return trainer.get_params(), losses


def residuals(layer: Layer, params: Any, x: np.ndarray, count: int) -> np.ndarray:
    """How much each step still changes the states of the data."""
    w, u, b, *_ = params

    @tl.jit
    def steps(w: Any, u: Any, b: Any, x: Any) -> Any:
        w, drive = layer.weight(w), features(x) @ u + b

        def step(z: Any, _: Any) -> Any:
            new = tl.tanh(z @ w + drive)
            return new, tl.max(tl.abs(new - z), axis=(0, 1))

        return tl.scan(step, tl.zeros_like(drive), length=count)[1]

    return np.asarray(steps(w, u, b, x))


def draw(args: argparse.Namespace, layer: Layer, params: Any, x: np.ndarray, y: np.ndarray, losses: Any, change: np.ndarray) -> None:
    """What the model says of the plane, the losses, how fast the fixed point is reached."""
    figure, (plane, loss, steps) = common.panels(3, (12.5, 3.9))
    side = np.linspace(-1.15, 1.15, 110)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    field = np.asarray(tl.jit(layer.implicit)(params, grid)).reshape(len(side), len(side))
    plane.contourf(side, side, 1 / (1 + np.exp(-np.clip(field, -40, 40))), levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.3)
    for label, colour in ((0, common.BLUE), (1, common.RED)):
        plane.plot(*x[y == label].T, "o", color=colour, markersize=3, label=f"arm {label + 1}")
    plane.set(title="Data, and the probability of arm 2", xlabel="x₁", ylabel="x₂", aspect="equal")
    figure.legend(*plane.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=2, fontsize=9)
    for (name, values), colour in zip(losses.items(), (common.BLUE, common.RED), strict=True):
        loss.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1, label=name)
    loss.set(title="Training", xlabel="step of Adam", ylabel="mean logistic loss", yscale="log")
    loss.legend(frameon=False, fontsize=9)
    steps.plot(np.arange(1, len(change) + 1), np.maximum(change, 1e-17), color=common.BLUE)
    steps.axhline(args.tolerance, color=common.GREY, linestyle="--", linewidth=0.8)
    steps.annotate("tolerance", (1, args.tolerance), textcoords="offset points", xytext=(0, 4), fontsize=9)
    steps.set(title="The way to the fixed point", xlabel="step", ylabel="largest change", yscale="log")
    common.save(figure, args, "deep_equilibrium.png")


def main() -> None:
    """Train both ways, compare, draw."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--points", type=int, help="of data (default: 400)")
    p.add_argument("--width", type=int, default=24, help="of the layer (default: %(default)s)")
    p.add_argument("--steps", type=int, help="of Adam (default: 500)")
    p.add_argument("--unroll", type=int, default=4, help="steps of the layer that is unrolled (default: %(default)s)")
    p.add_argument("--tolerance", type=float, default=1e-8, help="of the fixed point (default: %(default)s)")
    p.add_argument("--lr", type=float, default=2e-2, help="default: %(default)s")
    args = p.parse_args()
    common.settle(args, points=(400, 60), steps=(500, 20))
    if min(args.points, args.width, args.steps, args.unroll) < 1 or not (args.tolerance > 0 < args.lr):
        p.error("every number but the seed must be greater than 0")
    x, y = spirals(np.random.default_rng(args.seed), args.points)
    layer, losses, accuracy = Layer(args.width, args.unroll, args.tolerance), {}, {}
    params, losses["fixed point"] = train(args, layer, layer.implicit, x, y, "fixed point: step")
    other, losses[f"{args.unroll} steps, unrolled"] = train(args, layer, layer.unrolled, x, y, "unrolled: step")
    fresh = spirals(np.random.default_rng(args.seed + 1), 2000)
    for name, values, scores in zip(losses, (params, other), (layer.implicit, layer.unrolled), strict=True):
        accuracy[name] = float(np.mean((np.asarray(tl.jit(scores)(values, fresh[0])) > 0) == fresh[1]))
    change = residuals(layer, params, x, 60)
    for name, values in losses.items():
        print(f"{name}: loss {values[-1]:.4f}, {100 * accuracy[name]:.1f} % of new points right")
    small = change < args.tolerance
    print(f"steps to a change below {args.tolerance:g}: {int(np.argmax(small)) + 1 if small.any() else 'over 60'}")
    if args.plot:
        draw(args, layer, params, x, y, losses, change)


if __name__ == "__main__":
    common.run(main, __file__)
