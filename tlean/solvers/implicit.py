"""Derivatives of solutions: by the implicit function theorem, not through the steps of a solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tlean.functions as F

from ..autodiff import grad
from ..implicit import custom_root
from .linear import gmres

#: Up to so many unknowns the matrix of a derivative's system is formed.
DENSE = 200

Solver = Callable[[Callable[[Any], Any], Any], tuple[Any, Any]]


def root_at(residual: Callable[[Any], Any], guess: Any, solve: Solver) -> tuple[Any, Any]:
    """A root of equations of a vector, with its derivatives, and what else its solver returns, without.

    Args:
        residual: the equations.
        guess: where the solver starts.
        solve: `solve(residual, guess)` returns both.
    """
    return custom_root(residual, guess, solve, None if int(guess.shape[0]) <= DENSE else _large, has_aux=True)


def minimum_at(f: Callable[[Any], Any], guess: Any, solve: Solver) -> tuple[Any, Any]:
    """A minimum of a function of a vector, with its derivatives as a root of the gradient, and what else its solver returns.

    Args:
        f: the function.
        guess: where the solver starts.
        solve: `solve(f, guess)` returns both.
    """
    return root_at(grad(f), guess, lambda _, x: solve(f, x))


def _large(product: Callable[[Any], Any], b: Any) -> Any:
    tol = 1e-12 if str(b.dtype) == "float64" else 1e-6
    return gmres(product, b, F.zeros_like(b), tol, 50, 100)[0]
