"""L-BFGS: minima of smooth functions by their gradients, with a curvature that is known from the last steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tlean.functions as F

from ..arguments import whole
from ..autodiff import value_and_grad
from ..loops import while_loop
from .implicit import minimum_at
from .vectors import Solution, Unknowns, dot, largest, solved, tolerance

#: The share of the promised descent that a step must reach, and the share of the slope that may be left.
DESCENT, SLOPE = 1e-4, 0.9
#: The most trials of a line search.
TRIALS = 30


def lbfgs(f: Callable[..., Any], x0: Any, *args: Any, tol: float | None = None, max_steps: int = 500, history: int = 10) -> Solution:
    """The minimum of f(x, *args) over x, by L-BFGS with a line search for the weak Wolfe conditions: one compiled program.

    The derivative of x by `args`, and by what f captures, is that of the minimum itself, by the implicit function theorem: it solves with
    the Hessian by conjugate gradients. x0 has none.

    Args:
        f: `f(x, *args)` returns a number.
        x0: the first guess, a tree.
        args: trees of further arguments.
        tol: the largest entry of the gradient at which x is the minimum, as a share of the value where that is above 1; None is 1e-8, in
            float32 1e-4.
        max_steps: the most steps.
        history: the steps that make the curvature.

    Raises: OptionError for an option that is none of these.

    Example:
        >>> tl.solvers.lbfgs(lambda x, a: tl.sum((x - a) ** 4 + (x - a) ** 2), np.zeros(2), np.array([1.0, 2.0])).x.tolist()
        [1.0, 2.0]
    """
    whole("lbfgs: history", history, 1)
    whole("lbfgs: max_steps", max_steps, 1)

    def record(program: Any, x0: Any, args: tuple[Any, ...]) -> Solution:
        unknowns = Unknowns("lbfgs", program, x0, args)
        enough = tolerance("lbfgs", tol, unknowns.dtype, (1e-4, 1e-8))

        of_vector = unknowns.function(f, args)

        def solve(f: Callable[[Any], Any], x: Any) -> Any:
            return _minimise(f, x, enough, max_steps, history)

        x, (steps, converged) = minimum_at(of_vector, unknowns.vector, solve)
        return Solution(unknowns.tree(x), of_vector(x), steps, converged)

    return solved("lbfgs", (f,), record, x0, args)


def _direction(g: Any, moves: Any, turns: Any, weights: Any, history: int) -> Any:
    # Two loops over the last steps, the newest last; steps that were not yet taken have the weight 0.
    q, shares = g, [None] * history
    for i in range(history - 1, -1, -1):
        shares[i] = weights[i] * dot(moves[i], q)
        q = q - shares[i] * turns[i]
    newest, turned = weights[history - 1], dot(turns[history - 1], turns[history - 1])
    q = q * F.where(F.greater(newest, 0.0), 1.0 / F.where(F.greater(newest, 0.0), newest * turned, 1.0), 1.0)
    for i in range(history):
        q = q + (shares[i] - weights[i] * dot(turns[i], q)) * moves[i]
    return -q


def _search(both: Callable[[Any], Any], x: Any, value: Any, d: Any, slope: Any, length: Any) -> Any:
    # A length between one that is too short and one that is too long, by halving; doubled while nothing is too long.
    zero = 0.0 * slope
    rounding = 8.0 * float(np.finfo(str(x.dtype)).eps)

    def missing(trial: Any) -> Any:
        return F.logical_and(F.logical_not(trial[6]), F.less(trial[7], TRIALS))

    def attempt(trial: Any) -> Any:
        a, short, long, _, _, _, _, k = trial
        point = x + a * d
        made, g = both(point)
        # Near the minimum values differ by rounding alone: then the slopes say whether it went down (Hager & Zhang 2005).
        end = dot(g, d)
        level = F.logical_and(F.less_equal(made, value + rounding * F.abs(value)), F.less_equal(end, (2.0 * DESCENT - 1.0) * slope))
        descends = F.logical_or(F.less_equal(made, value + (DESCENT * a) * slope), level)
        flat = F.greater_equal(end, SLOPE * slope)
        long = F.where(descends, long, a)
        short = F.where(F.logical_and(descends, F.logical_not(flat)), a, short)
        following = F.where(F.isinf(long), 2.0 * a, 0.5 * (short + F.where(F.isinf(long), a, long)))
        done = F.logical_and(descends, flat)
        return F.where(done, a, following), short, long, point, made, g, done, k + 1

    begin = (length, zero, zero + math.inf, x, value, d, F.less(zero, -1.0), 0)
    _, _, _, point, made, g, done, _ = while_loop(missing, attempt, begin)
    return point, made, g, F.logical_or(done, F.less(made, value))


def _minimise(f: Callable[[Any], Any], x: Any, enough: float, most: int, history: int) -> Any:
    both = value_and_grad(f)
    n, dtype = int(x.shape[0]), str(x.dtype)

    def flat_at(value: Any, g: Any) -> Any:
        # Where the value is infinite, an infinite gradient is not flat.
        return F.logical_and(F.less_equal(largest(g), enough * F.maximum(F.abs(value), 1.0)), F.isfinite(value))

    def go_on(carry: Any) -> Any:
        value, g, k, moving = carry[1], carry[2], carry[6], carry[7]
        return F.logical_and(F.logical_and(F.logical_not(flat_at(value, g)), moving), F.less(k, most))

    def step(carry: Any) -> Any:
        x, value, g, moves, turns, weights, k, _ = carry
        d = _direction(g, moves, turns, weights, history)
        slope = dot(g, d)
        downhill = F.less(slope, 0.0)
        d, slope = F.where(downhill, d, -g), F.where(downhill, slope, -dot(g, g))
        length = F.where(F.equal(k, 0), F.minimum(1.0 / F.maximum(largest(g), 1e-30), 1.0), 1.0)
        point, made, following, moved = _search(both, x, value, d, slope, length)
        move, turn = point - x, following - g
        curved = dot(move, turn)
        keep = F.greater(curved, 1e-14 * F.sqrt(dot(move, move) * dot(turn, turn)))
        weight = F.where(keep, 1.0 / F.where(keep, curved, 1.0), 0.0)

        def renewed(old: Any, entry: Any) -> Any:
            newer = F.concat([old[1:], F.expand_dims(entry, 0)])
            return F.where(keep, newer, old)

        return (
            F.where(moved, point, x),
            F.where(moved, made, value),
            F.where(moved, following, g),
            renewed(moves, move),
            renewed(turns, turn),
            renewed(weights, weight),
            k + 1,
            moved,
        )

    value, g = both(x)
    none = F.zeros((history, n), dtype=dtype)
    begin = (x, value, g, none, none, F.zeros((history,), dtype=dtype), 0, F.equal(F.sum(0.0 * g), 0.0))
    x, value, g, _, _, _, steps, _ = while_loop(go_on, step, begin)
    return x, (steps, flat_at(value, g))
