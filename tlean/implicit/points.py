"""Fixed points and minimisers, as roots."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tlean import tree
from tlean.autodiff import grad
from tlean.errors import OptionError
from tlean.functions import abs, full, max, maximum
from tlean.loops import while_loop
from tlean.programs.recorder import Recorder
from tlean.programs.running import innermost_among

from .roots import root_of

#: The tolerance of each dtype where none is given: about 100 units in the last place.
_TOLERANCES = {"float32": 1e-5, "float64": 2e-14}


def fixed_point(
    f: Callable[..., Any],
    initial_guess: Any,
    tol: float | None = None,
    max_steps: int = 1000,
    solve: Callable[..., Any] | None = None,
    tangent_solve: Callable[..., Any] | None = None,
) -> Any:
    """x with `f(x) = x`, by iteration from a guess; differentiated by the implicit function theorem, whatever number of steps it took.

    The result has derivatives, of any order and in both modes, in all that f captures. Memory does not grow with the steps: layers that
    are defined as equilibria (deep equilibrium models) are written so.

    Args:
        f: `f(x)`, or `f(ops, x)`, a contraction near the fixed point; x is a tree of floating-point arrays.
        initial_guess: the first x. Derivatives with respect to it are 0.
        tol: the iteration ends when no number changes by more than tol · (1 + the largest number of its array); None for 2e-14 in
            float64, 1e-5 in float32.
        max_steps: the most steps; the result is then the last x.
        solve: `solve(f, initial_guess)` in place of the iteration.
        tangent_solve: solves the linear systems of derivatives, as for `custom_root`; None for the iteration v ← y + J v, which converges
            where that of f does.

    Raises: OptionError for other options; as `custom_root` does.
    Source: Bai, Kolter & Koltun 2019, "Deep equilibrium models".

    Example:
        >>> x = lambda a: tl.fixed_point(lambda x: tl.cos(a * x), 1.0)
        >>> value, slope = tl.value_and_grad(x)(np.array(1.0))
        >>> round(value.item(), 6), round(slope.item(), 6)
        (0.739085, -0.297474)
    """
    recorder = Recorder("fixed_point", f)
    try:
        most, bound = operator.index(max_steps), None if tol is None else float(tol)
    except (TypeError, ValueError):
        raise OptionError(f"fixed_point: max_steps must be an int and tol a number, got {max_steps!r} and {tol!r}") from None
    if most < 0:
        raise OptionError(f"fixed_point: max_steps must be at least 0, got {most}")
    if solve is not None and not callable(solve):
        raise OptionError(f"fixed_point: solve must be a function, got {type(solve).__name__}")

    def image(x: Any) -> Any:
        return recorder(innermost_among((x,)), x)

    def equation(x: Any) -> Any:
        leaves, structure = tree.flatten(x)
        made, got = tree.flatten(image(x))
        if got != structure:
            # The root says what is wrong.
            return tree.unflatten(got, made)
        return tree.unflatten(structure, [a - b for a, b in zip(leaves, made, strict=True)])

    def search(g: Any, x: Any) -> Any:
        return _iterated(image, x, bound, most) if solve is None else solve(image, x)

    def neumann(g: Callable[..., Any], y: Any) -> Any:
        # g(v) = v - J v.
        return _iterated(lambda v: tree.map(lambda a, b, c: a + (b - c), v, y, g(v)), y, bound, most)

    return root_of("fixed_point", equation, initial_guess, search, neumann if tangent_solve is None else tangent_solve)


def _iterated(f: Callable[..., Any], x: Any, tol: float | None, most: int) -> Any:
    # x = f(x) until it changes no more. A NaN ends the loop, too.
    def step(carry: Any) -> Any:
        old, _ = carry
        # A plain number that f returns is an array of no axes.
        new = tree.map(lambda a, b: b if hasattr(b, "size") else full((), b, str(a.dtype)), old, f(old))
        moved = [_change(a, b, tol) for a, b in zip(tree.flatten(old)[0], tree.flatten(new)[0], strict=True) if b.size]
        change = moved[0]
        for m in moved[1:]:
            change = maximum(change, m)
        return new, change

    return while_loop(lambda carry: carry[1] > 1.0, step, (x, float("inf")), max_steps=most)[0]


def _change(old: Any, new: Any, tol: float | None) -> Any:
    bound = _TOLERANCES[str(new.dtype)] if tol is None else tol
    return max(abs(new - old)) / (bound * (1.0 + max(abs(new))))


def implicit_argmin(
    f: Callable[..., Any], initial_guess: Any, solve: Callable[..., Any], tangent_solve: Callable[..., Any] | None = None
) -> Any:
    """A minimiser of f, found by any solver and differentiated as the root of the gradient of f.

    The minimiser has derivatives, of any order and in both modes, in all that f captures.

    Args:
        f: a scalar program `f(x)`, or `f(ops, x)`, whose Hessian at the minimiser is not singular.
        initial_guess: what the solver starts from, a tree of floating-point arrays.
        solve: `solve(f, initial_guess)` returns the minimiser, a tree like `initial_guess`.
        tangent_solve: solves linear systems with the Hessian, as for `custom_root`; None forms that matrix.

    Raises: as `custom_root` does.
    Source: Blondel et al. 2022, "Efficient and modular implicit differentiation".

    Example:
        >>> def descent(f, x):
        ...     return tl.fori_loop(0, 200, lambda i, x: x - 0.1 * tl.grad(f)(x), x)
        >>> center = lambda a: tl.implicit_argmin(lambda x: tl.sum(tl.square(x - a)) + tl.sum(x**4), tl.zeros(2), descent)
        >>> tl.jacrev(center)(np.array([0.0, 3.0])).numpy().round(4).tolist()
        [[1.0, 0.0], [0.0, 0.1429]]
    """
    recorder = Recorder("implicit_argmin", f)
    gradient = grad(f)
    if not callable(solve):
        raise OptionError(f"implicit_argmin: solve must be a function, got {type(solve).__name__}")

    def objective(x: Any) -> Any:
        return recorder(innermost_among((x,)), x)

    def search(g: Any, x: Any) -> Any:
        return solve(objective, x)

    return root_of("implicit_argmin", gradient, initial_guess, search, tangent_solve)
