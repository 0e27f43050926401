"""A hidden Markov model: which of several regimes was a series in?

The forward algorithm is a `scan` in logarithms. Its gradient fits the model; and the derivative of the log-likelihood in the log-density
of each observation is the probability of each state given the whole series, which otherwise takes the backward algorithm. The most
probable path (Viterbi) is a `scan` forward that remembers, and one back that reads.

Source: Rabiner 1989, "A tutorial on hidden Markov models"; Eisner 2016, "Inside-outside and forward-backward algorithms are just
backprop".
"""

from __future__ import annotations

import argparse
from itertools import permutations
from typing import Any

import common
import numpy as np

import tlean as tl


def simulated(rng: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A series of three regimes, and the regimes."""
    stay, means, spreads = 0.97, np.array([-1.0, 0.2, 1.4]), np.array([0.35, 0.9, 0.4])
    states = np.zeros(length, np.int64)
    for t in range(1, length):
        states[t] = states[t - 1] if rng.random() < stay else (states[t - 1] + rng.integers(1, 3)) % 3
    return rng.normal(means[states], spreads[states]), states


def densities(params: Any, x: Any) -> Any:
    """The log-density of each observation in each state: `(T, K)`."""
    z = (x.reshape(-1, 1) - params["mean"]) * tl.exp(-params["spread"])
    return -0.5 * z * z - params["spread"] - 0.5 * np.log(2 * np.pi)


def likelihood(params: Any, logs: Any) -> Any:
    """The log-likelihood, by the forward algorithm."""
    moves = tl.log_softmax(params["moves"], axis=-1)

    def step(alpha: Any, log: Any) -> tuple[Any, None]:
        return tl.logsumexp(alpha.reshape(-1, 1) + moves, axis=0) + log, None

    alpha, _ = tl.scan(step, tl.log_softmax(params["start"], axis=-1) + logs[0], logs[1:])
    return tl.logsumexp(alpha)


def path(params: Any, logs: Any) -> Any:
    """The most probable states: `(T,)`."""
    moves = tl.log_softmax(params["moves"], axis=-1)

    def ahead(best: Any, log: Any) -> tuple[Any, Any]:
        every = best.reshape(-1, 1) + moves
        return tl.max(every, axis=0) + log, tl.argmax(every, axis=0)

    def back(state: Any, before: Any) -> tuple[Any, Any]:
        return before[state], state

    best, before = tl.scan(ahead, tl.log_softmax(params["start"], axis=-1) + logs[0], logs[1:])
    first, rest = tl.scan(back, tl.argmax(best), before, reverse=True)
    return tl.concat([first.reshape(1), rest], axis=0)


def fit(args: argparse.Namespace, x: np.ndarray) -> tuple[dict[str, np.ndarray], list[float]]:
    """Adam on the mean log-likelihood."""
    k, rng = args.states, np.random.default_rng(args.seed)
    names = ("mean", "moves", "spread", "start")
    first = [np.quantile(x, (np.arange(k) + 0.5) / k) + rng.normal(0, 0.05, k), 2.0 * np.eye(k), np.full(k, np.log(x.std())), np.zeros(k)]

    def loss(mean: Any, moves: Any, spread: Any, start: Any, x: Any) -> Any:
        params = dict(zip(names, (mean, moves, spread, start), strict=True))
        return -likelihood(params, densities(params, x)) / len(x)

    trainer = tl.ScalarTrainer(tl.Options(dtype="float64"), first, [x.shape], loss)
    told, losses = common.Progress(args.steps, "step"), []
    for step in range(args.steps):
        rate = args.lr * (1 + np.cos(np.pi * step / args.steps)) / 2
        losses.append(trainer.adam_step(rate, 0.9, 0.999, 1e-8, x).item())
        told(step + 1, f"log-likelihood of an observation {-losses[-1]:.4f}")
    return dict(zip(names, [np.asarray(p) for p in trainer.get_params()], strict=True)), losses


def draw(
    args: argparse.Namespace, x: np.ndarray, truth: np.ndarray | None, chances: np.ndarray, states: np.ndarray, losses: list[float]
) -> None:
    """The series over its regimes, their probabilities, the log-likelihood."""
    figure, (series, climb) = common.panels(2, (12.5, 4.2), (2.4, 1))
    shown = min(len(x), 800)
    t, colours = np.arange(shown), (common.BLUE, "#c79a2b", common.RED, common.GREEN, common.GREY, common.INK)
    low, high = x.min() - 0.3, x.max() + 0.3
    bottom = np.zeros(shown)
    for k in range(chances.shape[1]):
        top = bottom + chances[:shown, k]
        series.fill_between(
            t,
            low + (high - low) * bottom,
            low + (high - low) * top,
            color=colours[k % 6],
            alpha=0.25,
            linewidth=0,
            label=f"P(regime {k + 1})",
        )
        bottom = top
    series.plot(t, x[:shown], color=common.INK, linewidth=0.7, label="series")
    rows = [("most probable path", states)] + ([("truth", truth)] if truth is not None else [])
    for row, (name, values) in enumerate(rows):
        y = low - (0.12 + 0.09 * row) * (high - low)
        series.scatter(t, np.full(shown, y), c=[colours[s % 6] for s in values[:shown]], s=9, marker="s", linewidth=0)
        series.text(shown * 1.01, y, name, va="center", fontsize=8)
    series.set(
        title="Regimes given the whole series", xlabel="time", ylabel="value", xlim=(0, shown), ylim=(low - 0.28 * (high - low), high)
    )
    figure.legend(*series.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=5, fontsize=9)
    climb.plot(np.arange(1, len(losses) + 1), -np.array(losses), color=common.BLUE)
    climb.set(title="Log-likelihood of an observation", xlabel="step of Adam")
    common.save(figure, args, "hidden_markov.png")


def main() -> None:
    """Fit, decode, draw."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--file", metavar="CSV", help="a file with the series in its first column (default: a generated one)")
    p.add_argument("--length", type=int, help="of the generated series (default: 1500)")
    p.add_argument("--states", type=int, default=3, help="regimes (default: %(default)s)")
    p.add_argument("--steps", type=int, help="of Adam (default: 400)")
    p.add_argument("--lr", type=float, default=5e-2, help="default: %(default)s")
    args = p.parse_args()
    common.settle(args, length=(1500, 200), steps=(400, 30))
    if min(args.length - 1, args.states, args.steps) < 1 or not args.lr > 0:
        p.error("every number but the seed must be greater than 0")
    x, truth = (
        (tl.data.read_csv(args.file)[:, 0].astype(np.float64), None)
        if args.file
        else simulated(np.random.default_rng(args.seed), args.length)
    )
    params, losses = fit(args, x)
    logs = np.asarray(tl.jit(densities)(params, x))
    chances = np.asarray(tl.grad(likelihood, argnums=1)(params, logs))
    states = np.asarray(tl.jit(path)(params, logs))
    # Regimes by their means, from low to high.
    order = np.argsort(params["mean"])
    chances, states = chances[:, order], np.argsort(order)[states]
    moves = np.exp(params["moves"] - np.log(np.exp(params["moves"]).sum(axis=1, keepdims=True)))[order][:, order]
    sums = np.allclose(chances.sum(axis=1), 1)
    print(f"log-likelihood of an observation: {-losses[0]:.4f} -> {-losses[-1]:.4f}; probabilities sum to 1: {sums}")
    for k, i in enumerate(order):
        print(f"regime {k + 1}: mean {params['mean'][i]:+.3f}, spread {np.exp(params['spread'][i]):.3f}, stays with {moves[k, k]:.3f}")
    if truth is not None and args.states == 3:
        right = max(float(np.mean(np.array(turn)[states] == truth)) for turn in permutations(range(3)))
        print(f"{100 * right:.1f} % of the times in the right regime")
    if args.plot:
        draw(args, x, truth, chances, states, losses)


if __name__ == "__main__":
    common.run(main, __file__)
