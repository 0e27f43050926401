"""Which training samples made a prediction? Per-sample gradients and influence functions, on a data set with wrong labels.

A small network learns two moons; some labels were turned over. `per_sample` is `vmap` of `grad`: the gradients of all samples in one
call, the bits of a loop. The influence of a sample on the loss of held-back ones is g_test · H⁻¹ g_sample, where H is the Hessian of the
training loss, of which only products with vectors are made (`jvp` of `grad`), solved by conjugate gradients. Samples that hurt most are
those to look at first.

Source: Koh & Liang 2017, "Understanding black-box predictions via influence functions".
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import common
import numpy as np

import tlean as tl
from tlean import nn


def moons(rng: np.random.Generator, count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other, and which one a point is of."""
    angle, label = np.pi * rng.random(count), np.arange(count) % 2
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[label == 1] = [1.0, 0.5] - points[label == 1]
    return points + rng.normal(0, noise, points.shape), label.astype(np.float64)


class Study:
    """A model, its training data, and the derivatives that influence needs."""

    def __init__(self, args: argparse.Namespace) -> None:
        rng = np.random.default_rng(args.seed)
        self.x, clean = moons(rng, args.samples, args.noise)
        self.turned = rng.permutation(args.samples)[: round(args.wrong * args.samples)]
        self.y = clean.copy()
        self.y[self.turned] = 1 - self.y[self.turned]
        self.test = moons(rng, args.samples, args.noise)
        width = args.width
        self.model = (
            nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
            .to("float64")
            .init(args.seed)
        )
        self.penalty = args.penalty
        self.values = self.model.state_dict()
        self.gradient = tl.jit(tl.grad(self.whole))
        self.per_sample = tl.jit(tl.vmap(tl.grad(self.loss), in_axes=(None, 0, 0)))
        self.one = tl.jit(tl.grad(self.loss))
        self.product = tl.jit(lambda w, v: tl.jvp(tl.grad(lambda w: self.whole(w, self.x, self.y)), (w,), (v,))[1])

    def scores(self, w: Any, x: Any) -> Any:
        """A logit for each point."""
        return self.model.apply(w, tl.reshape(x, (-1, 2)))

    def loss(self, w: Any, x: Any, y: Any) -> Any:
        """The mean loss of points (or the loss of one)."""
        return tl.bce_with_logits(tl.reshape(self.scores(w, x), (-1,)), tl.reshape(y, (-1,)))

    def whole(self, w: Any, x: Any, y: Any) -> Any:
        """The training loss: with a penalty, so that its Hessian has an inverse."""
        return self.loss(w, x, y) + 0.5 * self.penalty * sum(tl.sum(a * a) for a in w.values())

    def train(self, steps: int, rate: float) -> None:
        """Full-batch Adam."""
        params = [tl.Param(v, dtype="float64") for v in self.values.values()]
        told, names = common.Progress(steps, "step"), list(self.values)
        optimizer = tl.optim.Adam(params, lr=rate)
        for k in range(steps):
            optimizer.lr = rate * (1 + np.cos(np.pi * k / steps)) / 2
            grads = self.gradient(dict(zip(names, [np.asarray(p) for p in params], strict=True)), self.x, self.y)
            optimizer.step([grads[n] for n in names])
            told(k + 1)
        self.values = dict(zip(names, [np.array(p) for p in params], strict=True))


def rows(tree: Any, count: int) -> np.ndarray:
    """A tree of gradients as one matrix: a row for each sample."""
    return np.concatenate([np.asarray(tree[name]).reshape(count, -1) for name in sorted(tree)], axis=1)


def back(row: np.ndarray, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A row as a tree again."""
    found, at = {}, 0
    for name in sorted(like):
        found[name] = row[at : at + like[name].size].reshape(like[name].shape)
        at += like[name].size
    return found


def solved(study: Study, right: np.ndarray, damping: float, iterations: int) -> np.ndarray:
    """(H + damping)⁻¹ of a vector by conjugate gradients."""
    x, rest = np.zeros_like(right), right.copy()
    ahead, square, told = rest, rest @ rest, common.Progress(iterations, "product")
    for k in range(iterations):
        bent = rows(study.product(study.values, back(ahead, study.values)), 1)[0] + damping * ahead
        step = square / (ahead @ bent)
        x, rest = x + step * ahead, rest - step * bent
        before, square = square, rest @ rest
        told(k + 1, f"residual {np.sqrt(square):.1e}")
        if square < 1e-16 * (right @ right):
            break
        ahead = rest + square / before * ahead
    return x


def draw(args: argparse.Namespace, study: Study, harm: np.ndarray, found: np.ndarray) -> None:
    """The data by influence, and how soon a search by influence finds the wrong labels."""
    figure, (plane, search) = common.panels(2, (10.5, 4.2), (1.25, 1))
    u, v = np.meshgrid(np.linspace(-1.7, 2.7, 120), np.linspace(-1.3, 1.8, 100))
    field = np.asarray(tl.jit(study.scores)(study.values, np.stack([u.ravel(), v.ravel()], axis=1))).reshape(u.shape)
    plane.contourf(u, v, field, levels=[-1e9, 0, 1e9], colors=["#e9eff8", "#fbeee8"])
    plane.contour(u, v, field, levels=[0], colors=common.GREY, linewidths=0.8)
    size = 8 + 90 * np.clip(harm, 0, None) / max(harm.max(), 1e-12)
    for label, colour in ((0, common.BLUE), (1, common.RED)):
        chosen = study.y == label
        plane.scatter(*study.x[chosen].T, s=size[chosen], color=colour, linewidth=0, alpha=0.8, label=f"label {label}")
    wrong = study.turned
    plane.scatter(
        *study.x[wrong].T, s=size[wrong] + 30, facecolor="none", edgecolor=common.INK, linewidth=0.8, label="label was turned over"
    )
    plane.set(title="Training data; larger: removing it helps the test loss more", xlabel="x₁", ylabel="x₂")
    figure.legend(*plane.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=3, fontsize=9)
    share = 100 * np.arange(1, len(found) + 1) / len(found)
    search.plot(share, 100 * np.cumsum(found) / max(found.sum(), 1), color=common.BLUE, label="by influence")
    search.plot([0, 100], [0, 100], color=common.GREY, linestyle="--", linewidth=0.9, label="at random")
    search.set(
        title="Wrong labels found by looking at samples", xlabel="samples looked at, %", ylabel="wrong labels found, %", ylim=(0, 103)
    )
    search.legend(frameon=False, loc="lower right")
    common.save(figure, args, "influence.png")


def main() -> None:
    """Train, weigh every sample, look for the wrong labels."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--samples", type=int, help="of training, and as many held back (default: 600)")
    p.add_argument("--wrong", type=float, default=0.1, help="share of labels that are turned over (default: %(default)s)")
    p.add_argument("--noise", type=float, default=0.15, help="of the points (default: %(default)s)")
    p.add_argument("--width", type=int, default=16, help="of a layer (default: %(default)s)")
    p.add_argument("--penalty", type=float, default=1e-3, help="of the weights' squares (default: %(default)s)")
    p.add_argument("--steps", type=int, help="of Adam (default: 2000)")
    p.add_argument("--iterations", type=int, help="of conjugate gradients (default: 200)")
    args = p.parse_args()
    common.settle(args, samples=(600, 80), steps=(2000, 150), iterations=(200, 20))
    if min(args.samples, args.width, args.steps, args.iterations) < 1 or not (0 < args.wrong < 1 and args.penalty > 0 <= args.noise):
        p.error("every number but the seed must be greater than 0, --wrong less than 1")
    study = Study(args)
    study.train(args.steps, 0.02)
    begun = time.perf_counter()
    each = rows(study.per_sample(study.values, study.x, study.y), args.samples)
    passed = time.perf_counter() - begun
    alone = rows(study.one(study.values, study.x[0], study.y[0]), 1)[0]
    same = np.allclose(each[0], alone)
    print(f"{args.samples} gradients of {each.shape[1]} numbers in {1000 * passed:.1f} ms with compiling; the first as alone: {same}")
    test = rows(study.one(study.values, *study.test), 1)[0]
    # Removing a sample changes the weights by H⁻¹ g / n, and the test loss by this:
    harm = -each @ solved(study, test, 1e-3, args.iterations) / args.samples
    order = np.argsort(-harm)
    found = np.isin(order, study.turned)
    first = len(study.turned)
    hits, more = found[:first].sum(), found[: 2 * first].sum()
    print(f"{hits} of {first} wrong labels among the {first} samples that hurt most; {more} among {2 * first}")
    if args.plot:
        draw(args, study, harm, found)


if __name__ == "__main__":
    common.run(main, __file__)
