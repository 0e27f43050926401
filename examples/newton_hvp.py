"""Newton's method with conjugate gradients: each step solves H·d = −∇f by Hessian-vector products alone, no Hessian is ever made.

Two problems: the Rosenbrock function in many dimensions, and logistic regression on two clouds of points. `--compare` runs gradient descent
for as many gradient evaluations beside it. Source: Nocedal & Wright 2006, "Numerical Optimization", algorithm 7.1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tlean as tl

Vector = np.ndarray


def rosenbrock(ops: Any, x: Any) -> Any:
    """Σ 100·(x[i+1] − x[i]²)² + (1 − x[i])²; its minimum is 0, at 1."""
    n = x.shape[0]
    head, tail = ops.slice_range0(x, 0, n - 1), ops.slice_range0(x, 1, n - 1)
    valley = ops.scale(ops.sum(ops.square(ops.sub(tail, ops.square(head)))), 100.0)
    return ops.add(valley, ops.sum(ops.square(ops.shift(ops.neg(head), 1.0))))


def logistic(points: np.ndarray, labels: np.ndarray) -> Callable[..., Any]:
    """The mean logistic loss of a linear classifier, with a small quadratic penalty."""

    def loss(ops: Any, w: Any) -> Any:
        logits = ops.linear(ops.reshape(w, (1, w.shape[0])), None, ops.const(points))
        fit = ops.bce_with_logits(ops.reshape(logits, (len(points),)), ops.const(labels))
        return ops.add(fit, ops.scale(ops.sum(ops.square(w)), 1e-4))

    return loss


def clouds(n: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points around two centres, and which of the two each belongs to."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(size)
    labels = np.arange(n) % 2
    points = rng.standard_normal((n, size)) + 0.3 * np.where(labels[:, None] == 1, centre, -centre)
    return points, labels.astype(np.float64)


class Problem:
    """A scalar function of one vector, with what a step needs: value, gradient, Hessian times vector, each compiled once."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self._value_and_grad = tl.value_and_grad(f)
        self._value = tl.jit(f)
        self._product = tl.jit(lambda ops, x, v: tl.hvp(f, (x,), (v,))[0])
        self.products = 0

    def value(self, x: Vector) -> float:
        """f(x)"""
        return self._value(x).item()

    def value_and_grad(self, x: Vector) -> tuple[float, Vector]:
        """f(x) and ∇f(x)"""
        value, g = self._value_and_grad(x)
        return value.item(), np.array(g)

    def product(self, x: Vector, v: Vector) -> Vector:
        """∇²f(x)·v"""
        self.products += 1
        return np.array(self._product(x, v))


def direction(problem: Problem, x: Vector, g: Vector) -> Vector:
    """Conjugate gradients on H·d = −g, until the residual is small or the curvature is not positive."""
    d, r, p = np.zeros_like(g), g.copy(), -g
    enough = min(0.5, np.linalg.norm(g) ** 0.5) * np.linalg.norm(g)
    for _ in range(2 * len(g)):
        h = problem.product(x, p)
        curvature = p @ h
        if curvature <= 1e-12 * (p @ p):
            return d if d.any() else -g
        step = (r @ r) / curvature
        d = d + step * p
        following = r + step * h
        if np.linalg.norm(following) < enough:
            return d
        p, r = -following + (following @ following) / (r @ r) * p, following
    return d


def newton(problem: Problem, x: Vector, iterations: int, tolerance: float) -> tuple[Vector, list[float]]:
    """Newton-CG with a backtracking line search; returns the point and the norm of the gradient at every iteration."""
    norms = []
    print(f"{'iteration':>9}  {'f':>13}  {'|gradient|':>11}  {'step':>7}  {'products':>8}")
    step = float("nan")
    for k in range(iterations + 1):
        value, g = problem.value_and_grad(x)
        norms.append(float(np.linalg.norm(g)))
        print(f"{k:9}  {value:13.6e}  {norms[-1]:11.3e}  {step:7.4f}  {problem.products:8}", flush=True)
        if norms[-1] < tolerance or k == iterations:
            break
        d = direction(problem, x, g)
        step, slope = 1.0, g @ d
        # Armijo's rule: as far as the function goes down by a share of what the slope promises.
        while problem.value(x + step * d) > value + 1e-4 * step * slope and step > 1e-10:
            step /= 2
        x = x + step * d
    return x, norms


def descent(problem: Problem, x: Vector, evaluations: int, lr: float) -> float:
    """The norm of the gradient after so many steps of gradient descent."""
    g = problem.value_and_grad(x)[1]
    for _ in range(evaluations):
        x = x - lr * g
        g = problem.value_and_grad(x)[1]
    return float(np.linalg.norm(g))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    p = argparse.ArgumentParser(prog="newton_hvp.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--problem", choices=("rosenbrock", "logistic"), default="rosenbrock", help="default: %(default)s")
    p.add_argument("--size", type=int, default=10, help="unknowns (default: %(default)s)")
    p.add_argument("--points", type=int, default=1000, help="points of the logistic regression (default: %(default)s)")
    p.add_argument("--iterations", type=int, default=200, help="at most so many (default: %(default)s)")
    p.add_argument("--tolerance", type=float, default=1e-8, help="of the gradient's norm (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of the points (default: %(default)s)")
    p.add_argument("--compare", action="store_true", help="run gradient descent for as many evaluations")
    args = p.parse_args(argv)
    if args.size < 2 or args.points < 2 or args.iterations < 1 or not args.tolerance > 0:
        p.error("--size and --points are at least 2, --iterations at least 1, --tolerance is greater than 0")
    return args


def main(argv: list[str] | None = None) -> None:
    """Minimise, and print every iteration."""
    args = parse(argv)
    if args.problem == "rosenbrock":
        problem, x, lr = Problem(rosenbrock), np.zeros(args.size), 5e-4
    else:
        problem, x, lr = Problem(logistic(*clouds(args.points, args.size, args.seed))), np.zeros(args.size), 0.5
    begun = time.perf_counter()
    _, norms = newton(problem, x, args.iterations, args.tolerance)
    print(f"{len(norms) - 1} iterations and {problem.products} products in {time.perf_counter() - begun:.2f} s", file=sys.stderr)
    print("converged" if norms[-1] < args.tolerance else f"not converged: the gradient's norm is {norms[-1]:.1e}")
    if args.compare:
        count = len(norms) + problem.products
        print(f"gradient descent, {count} evaluations: the gradient's norm is {descent(problem, x, count, lr):.1e}")


if __name__ == "__main__":
    main()
