"""Equations: Newton's method, whose linear systems are solved by products with the Jacobian alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tlean.functions as F

from ..arguments import choice, whole
from ..autodiff import jvp
from ..errors import ShapeError
from ..loops import while_loop
from .implicit import root_at
from .linear import cg, gmres
from .vectors import Solution, Unknowns, dot, solved, tolerance


def newton_krylov(
    f: Callable[..., Any],
    x0: Any,
    *args: Any,
    tol: float | None = None,
    max_steps: int = 50,
    linear: Literal["gmres", "cg"] = "gmres",
    restart: int = 20,
) -> Solution:
    """The x with f(x, *args) = 0, by Newton's method: each step solves J·d = −f by GMRES on products with the Jacobian J.

    A step is halved until the residual goes down. The derivative of x by `args`, and by what f captures, is that of the solution itself,
    by the implicit function theorem; x0 has none.

    Args:
        f: `f(x, *args)` returns as many equations as x has unknowns, a tree of the shapes of x.
        x0: the first guess, a tree.
        args: trees of further arguments.
        tol: the root mean square of f at which x is the solution; None is 1e-10, in float32 1e-5.
        max_steps: the most steps.
        linear: "gmres"; or "cg" where J is symmetric and definite.
        restart: the vectors that GMRES keeps.

    Raises: OptionError for an option that is none of these; ShapeError where f has another number of equations.

    Example:
        >>> round(tl.solvers.newton_krylov(lambda x, a: x * x - a, 1.0, 2.0).x.item(), 4)
        1.4142
    """
    choice("newton_krylov", "linear", linear, ("gmres", "cg"))
    max_steps, restart = whole("newton_krylov: max_steps", max_steps, 1), whole("newton_krylov: restart", restart, 1)

    def record(program: Any, x0: Any, args: tuple[Any, ...]) -> Solution:
        unknowns = Unknowns("newton_krylov", program, x0, args)
        enough = tolerance("newton_krylov", tol, unknowns.dtype, (1e-5, 1e-10))

        residual = unknowns.function(f, args, vectors=True)

        count = tuple(residual(unknowns.vector).shape)
        if count != tuple(unknowns.vector.shape):
            raise ShapeError(
                f"newton_krylov: f must have as many equations as x has unknowns, got {count[0]} and {unknowns.vector.shape[0]}"
            )

        def solve(residual: Callable[[Any], Any], x: Any) -> Any:
            return _newton(residual, x, enough, max_steps, linear, restart)

        x, (steps, converged) = root_at(residual, unknowns.vector, solve)
        made = residual(x)
        return Solution(unknowns.tree(x), F.sqrt(dot(made, made)), steps, converged)

    return solved("newton_krylov", (f,), record, x0, args)


def _newton(residual: Callable[[Any], Any], x: Any, enough: float, most: int, linear: str, restart: int) -> Any:
    first = residual(x)
    limit = enough * enough * int(x.shape[0])

    def go_on(carry: Any) -> Any:
        _, r, k, _ = carry
        # A residual that is NaN, or does not go down, ends it as well.
        return F.logical_and(F.greater(dot(r, r), limit), F.logical_and(F.less(k, most), carry[3]))

    def step(carry: Any) -> Any:
        x, r, k, _ = carry

        def product(v: Any) -> Any:
            return jvp(residual, (x,), (v,))[1]

        zero = F.zeros_like(x)
        if linear == "cg":
            d, _ = cg(product, -r, zero, 1e-3, 2 * int(x.shape[0]))
        else:
            d, _ = gmres(product, -r, zero, 1e-3, restart, 5)
        size = dot(r, r)

        def too_long(trial: Any) -> Any:
            a, _, made, halved = trial
            good = F.less_equal(dot(made, made), (1.0 - 1e-4 * a) * size)
            return F.logical_and(F.logical_not(good), F.less(halved, 40))

        def halve(trial: Any) -> Any:
            a, _, _, halved = trial
            a = 0.5 * a
            return a, x + a * d, residual(x + a * d), halved + 1

        one = F.ones_like(size)
        _, following, made, halved = while_loop(too_long, halve, (one, x + d, residual(x + d), 0))
        return following, made, k + 1, F.less(halved, 40)

    x, r, steps, _ = while_loop(go_on, step, (x, first, 0, F.greater(dot(first, first), -1.0)))
    return x, (steps, F.less_equal(dot(r, r), limit))
