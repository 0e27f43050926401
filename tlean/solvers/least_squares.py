"""Least squares: Gauss–Newton, and Levenberg–Marquardt, which damps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tlean.functions as F

from ..arguments import whole
from ..autodiff import jacfwd, jacrev
from ..loops import while_loop
from .implicit import minimum_at
from .vectors import Solution, Unknowns, dot, largest, solved, tolerance


def levenberg_marquardt(
    f: Callable[..., Any], x0: Any, *args: Any, tol: float | None = None, max_steps: int = 100, damping: float = 1e-3
) -> Solution:
    """The x with the smallest sum of squares of the residuals f(x, *args), by the method of Levenberg and Marquardt: one compiled program.

    Each step solves (JᵀJ + λD)·d = −Jᵀf, J being the Jacobian and D the largest diagonals of JᵀJ so far; λ falls where the step does what
    it promised and rises where it does not. The derivative of x by `args`, and by what f captures, is that of the minimum itself, by the
    implicit function theorem; x0 has none.

    Args:
        f: `f(x, *args)` returns residuals, a tree.
        x0: the first guess, a tree.
        args: trees of further arguments.
        tol: the minimum is where every entry of Jᵀf is at most this, in units of the columns of J and the norm of f; or where a step is
            at most this share of x. None is 1e-10, in float32 1e-5.
        max_steps: the most steps.
        damping: the first λ.

    Returns: the solution; its value is half the sum of squares.
    Raises: OptionError for an option that is none of these.

    Example:
        >>> t = np.array([0.0, 1.0, 2.0])
        >>> tl.solvers.levenberg_marquardt(lambda k, y: tl.exp(-k * t) - y, 1.0, np.exp(-0.5 * t)).x.item()
        0.5
    """
    return _least_squares("levenberg_marquardt", f, x0, args, tol, max_steps, damping)


def gauss_newton(f: Callable[..., Any], x0: Any, *args: Any, tol: float | None = None, max_steps: int = 100) -> Solution:
    """The same without damping: each step is a linear least squares problem, and is halved until the sum goes down.

    It suits problems that start near their solution, or are nearly linear; a Jacobian without full rank takes the shortest step.

    Args:
        f: `f(x, *args)` returns residuals, a tree.
        x0: the first guess, a tree.
        args: trees of further arguments.
        tol, max_steps: as in `levenberg_marquardt`.

    Returns: the solution; its value is half the sum of squares.
    Raises: OptionError for an option that is none of these.
    """
    return _least_squares("gauss_newton", f, x0, args, tol, max_steps, None)


def _least_squares(name: str, f: Callable[..., Any], x0: Any, args: Any, tol: Any, most: int, damping: float | None) -> Solution:
    whole(f"{name}: max_steps", most, 1)

    def record(program: Any, x0: Any, args: tuple[Any, ...]) -> Solution:
        unknowns = Unknowns(name, program, x0, args)
        enough = tolerance(name, tol, unknowns.dtype, (1e-5, 1e-10))

        residual = unknowns.function(f, args, vectors=True)

        def solve(_: Any, x: Any) -> Any:
            if damping is None:
                return _undamped(residual, x, enough, most)
            return _damped(residual, x, enough, most, damping)

        x, (steps, converged) = minimum_at(lambda x: _half(residual(x)), unknowns.vector, solve)
        return Solution(unknowns.tree(x), _half(residual(x)), steps, converged)

    return solved(name, (f,), record, x0, args)


def _half(r: Any) -> Any:
    return 0.5 * dot(r, r)


def _with_jacobian(residual: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
    first = residual(x)
    return first, (jacfwd if int(x.shape[0]) <= int(first.shape[0]) else jacrev)(residual)


def _small(g: Any, scale: Any, r: Any, enough: float) -> Any:
    # |Jᵀr|ᵢ ≤ tol·|Jᵢ|·|r|: the cosines between the residuals and the columns of J.
    return F.all(F.less_equal(F.abs(g), enough * F.sqrt(scale * dot(r, r))))


def _damped(residual: Callable[[Any], Any], x: Any, enough: float, most: int, damping: float) -> Any:
    first, jacobian = _with_jacobian(residual, x)

    def products(x: Any, r: Any) -> Any:
        j = jacobian(x)
        return j.T @ j, j.T @ r

    def go_on(carry: Any) -> Any:
        return F.logical_and(F.logical_not(carry[8]), F.less(carry[7], most))

    def step(carry: Any) -> Any:
        x, r, a, g, scale, weight, factor, k, _ = carry
        d = -F.linalg_cholesky_solve(g, F.linalg_cholesky(a + F.diag(weight * scale)))
        point = x + d
        made = residual(point)
        promised = 0.5 * dot(d, weight * scale * d - g)
        gain = 0.5 * (dot(r, r) - dot(made, made)) / promised
        # A NaN compares as false: it is no gain.
        good = F.greater(gain, 1e-4)
        narrow = F.less_equal(F.sqrt(dot(scale * d, d)), enough * F.sqrt(dot(scale * x, x)))
        x, r = F.where(good, point, x), F.where(good, made, r)
        a, g = products(x, r)
        scale = F.maximum(scale, F.diagonal(a))
        fall = F.maximum(1.0 / 3.0, 1.0 - (2.0 * F.where(good, gain, 0.0) - 1.0) ** 3)
        weight = F.clamp(weight * F.where(good, fall, factor), 1e-15, 1e15)
        done = F.logical_or(narrow, _small(g, F.diagonal(a), r, enough))
        return x, r, a, g, scale, weight, F.where(good, 2.0, 2.0 * factor), k + 1, done

    a, g = products(x, first)
    scale = F.maximum(F.diagonal(a), 1e-30)
    one = F.ones_like(g[0])
    begin = (x, first, a, g, scale, damping * one, 2.0 * one, 0, _small(g, F.diagonal(a), first, enough))
    x, _, _, _, _, _, _, steps, done = while_loop(go_on, step, begin)
    return x, (steps, done)


def _undamped(residual: Callable[[Any], Any], x: Any, enough: float, most: int) -> Any:
    first, jacobian = _with_jacobian(residual, x)

    def go_on(carry: Any) -> Any:
        return F.logical_and(F.logical_not(carry[3]), F.less(carry[2], most))

    def step(carry: Any) -> Any:
        x, r, k, _, _ = carry
        j = jacobian(x)
        d = -F.linalg_lstsq(j, r)
        size, slope = 0.5 * dot(r, r), dot(j @ d, r)

        def too_long(trial: Any) -> Any:
            a, _, made, halved = trial
            good = F.less_equal(0.5 * dot(made, made), size + 1e-4 * a * slope)
            return F.logical_and(F.logical_not(good), F.less(halved, 40))

        def halve(trial: Any) -> Any:
            a, _, _, halved = trial
            point = x + 0.5 * a * d
            return 0.5 * a, point, residual(point), halved + 1

        _, point, made, halved = while_loop(too_long, halve, (F.ones_like(size), x + d, residual(x + d), 0))
        narrow = F.less_equal(largest(d), enough * largest(x))
        stuck = F.greater_equal(halved, 40)
        small = _small(j.T @ r, F.sum(j * j, axis=0), r, enough)
        done = F.logical_or(small, F.logical_or(narrow, stuck))
        return F.where(stuck, x, point), F.where(stuck, r, made), k + 1, done, F.logical_or(small, narrow)

    never = F.less(dot(first, first), -1.0)
    x, _, steps, _, converged = while_loop(go_on, step, (x, first, 0, never, never))
    return x, (steps, converged)
