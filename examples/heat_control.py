"""Heat on a plate is steered by an adjoint: which sources make a given picture after 2,000 steps of diffusion?

The plate has 128 × 128 cells and is cooled at its border. Sources burn all the time; which ones is the control, an array of 16,384
numbers. The gradient of the miss at the end goes back through all steps of a `scan`. With `--checkpoint` it stores some of the steps and
computes the others again: memory for 2,000 plates becomes memory for some tens, in little more time. What comes is linear in the sources,
so the loss is quadratic, and conjugate gradients find its minimum.

Sources: Lions 1971, "Optimal control of systems governed by partial differential equations"; Griewank & Walther 2000, algorithm 799
(revolve).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import common
import numpy as np

import tlean as tl


def target(cells: int) -> np.ndarray:
    """What is wanted: a ring, and a bar in it."""
    y, x = np.mgrid[-1 : 1 : cells * 1j, -1 : 1 : cells * 1j]
    r = np.hypot(x, y)
    ring = np.exp(-(((r - 0.62) / 0.09) ** 2))
    bar = np.exp(-((x / 0.07) ** 2) - (y / 0.33) ** 6)
    return (np.maximum(ring, bar) * 0.8).astype(np.float32)


def heat(source: Any, steps: int, rate: float, kept: dict[str, Any]) -> Any:
    """The plate after so many explicit steps of u_t = Δu + source from u = 0; what is beyond the border is at 0."""

    def step(u: Any, _: Any) -> tuple[Any, None]:
        wide = tl.pad(u, [(1, 1), (1, 1)])
        around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
        return u + rate * (around - 4.0 * u) + source, None

    return tl.scan(step, tl.zeros_like(source), length=steps, **kept)[0]


def minimum(value_and_grad: Any, shape: tuple[int, ...], iterations: int) -> tuple[np.ndarray, list[float]]:
    """The minimum of a quadratic function by conjugate gradients, and its values on the way; an iteration takes one gradient."""
    value, slope = value_and_grad(np.zeros(shape, np.float32))
    first, value = np.asarray(slope, np.float64), float(value)
    x, rest, told, losses = np.zeros(shape), -first, common.Progress(iterations, "iteration"), [value]
    ahead, square = rest, float((rest * rest).sum())
    for k in range(iterations):
        # The Hessian times the direction: what the gradient changes by. A direction of length 1 keeps the digits of float32.
        unit = float(np.sqrt((ahead * ahead).sum()))
        bent = (np.asarray(value_and_grad((ahead / unit).astype(np.float32))[1], np.float64) - first) * unit
        curved = float((ahead * bent).sum())
        if curved <= 0.0:
            break
        step = square / curved
        x, rest = x + step * ahead, rest - step * bent
        value -= step * square / 2
        losses.append(value)
        before, square = square, float((rest * rest).sum())
        ahead = rest + square / before * ahead
        told(k + 1, f"loss {value:.2e}")
    return x.astype(np.float32), losses


def draw(args: argparse.Namespace, wanted: np.ndarray, found: np.ndarray, source: np.ndarray, losses: list[float]) -> None:
    """What was wanted, what came, the sources, the loss."""
    figure, (a, b, c, d) = common.panels(4, (14, 3.5), (1, 1, 1, 1.05))
    for axes, values, title in ((a, wanted, "Wanted temperature"), (b, found, f"After {args.steps:,} steps")):
        image = axes.imshow(values, cmap="magma", vmin=0, vmax=float(wanted.max()))
        axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(image, ax=[a, b], shrink=0.85, label="temperature")
    source = 1000 * source
    most = float(np.abs(source).max())
    image = c.imshow(source, cmap="RdBu_r", vmin=-most, vmax=most)
    c.set(title="Sources: red heats, blue cools", xticks=[], yticks=[])
    figure.colorbar(image, ax=c, shrink=0.85, label="thousandths of a unit each step")
    d.plot(np.arange(1, len(losses) + 1), losses, color=common.BLUE)
    d.set(title="Mean square miss and price", xlabel="iteration", yscale="log")
    for axes in (a, b, c):
        axes.spines[:].set_visible(False)
    common.save(figure, args, "heat_control.png")


def main() -> None:
    """Find the sources, say what it took, draw."""
    p = common.parser(__file__, __doc__, seed=False)
    p.add_argument("--cells", type=int, help="along an edge of the plate (default: 128)")
    p.add_argument("--steps", type=int, help="of time (default: 2000)")
    p.add_argument("--iterations", type=int, help="of conjugate gradients (default: 120)")
    p.add_argument("--rate", type=float, default=0.2, help="of diffusion in a step, at most 0.25 (default: %(default)s)")
    p.add_argument("--price", type=float, default=1e-2, help="of the sources' mean square (default: %(default)s)")
    p.add_argument("--checkpoint", default="optimal", help='"none", "sqrt", "optimal", or every how many steps (default: %(default)s)')
    args = p.parse_args()
    common.settle(args, cells=(128, 32), steps=(2000, 100), iterations=(120, 15))
    if min(args.cells, args.steps, args.iterations) < 1 or not 0 < args.rate <= 0.25 or args.price < 0:
        p.error("every number must be greater than 0, --rate at most 0.25, --price at least 0")
    if args.checkpoint not in ("none", "sqrt", "optimal") and not args.checkpoint.isdigit():
        p.error(f"--checkpoint is none, sqrt, optimal or a number, got {args.checkpoint!r}")
    kept = {} if args.checkpoint == "none" else {"checkpoint": int(args.checkpoint) if args.checkpoint.isdigit() else args.checkpoint}
    wanted = target(args.cells)

    def loss(source: Any, wanted: Any) -> Any:
        miss = tl.mean(tl.square(heat(source, args.steps, args.rate, kept) - wanted))
        return miss + args.price * tl.mean(tl.square(source))

    begun = time.perf_counter()
    source, losses = minimum(tl.jit(tl.value_and_grad(lambda source: loss(source, wanted))), wanted.shape, args.iterations)
    each = (time.perf_counter() - begun) / (len(losses) + 1)
    found = np.asarray(tl.jit(lambda s: heat(s, args.steps, args.rate, {}))(source))
    whole = args.steps * wanted.nbytes / 2**20
    print(f"loss {losses[0]:.2e} -> {losses[-1]:.2e}; largest miss {np.abs(found - wanted).max():.3f}")
    print(f"{1000 * each:.0f} ms an iteration; storing every step would take {whole:.0f} MiB")
    if args.plot:
        draw(args, wanted, found, source, losses)


if __name__ == "__main__":
    common.run(main, __file__)
