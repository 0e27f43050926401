"""Linear systems known by products with their matrix: conjugate gradients and GMRES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tlean.functions as F

from ..loops import fori_loop, while_loop
from .vectors import dot

Product = Callable[[Any], Any]


def cg(product: Product, b: Any, start: Any, tol: float, most: int, precondition: Product | None = None) -> tuple[Any, Any]:
    """The solution of A x = b for a positive definite A, by conjugate gradients, and how many steps it took.

    Args:
        product: A times a vector.
        b: a vector.
        start: the first guess.
        tol: of the residual's norm, as a share of that of b.
        most: the most steps.
        precondition: times a vector: about the inverse of A.
    """
    near = precondition or (lambda v: v)
    enough = (tol * tol) * dot(b, b)
    r = b - product(start)
    z = near(r)

    def go_on(carry: Any) -> Any:
        _, r, _, _, k = carry
        return F.logical_and(F.greater(dot(r, r), enough), F.less(k, most))

    def step(carry: Any) -> Any:
        x, r, p, size, k = carry
        ap = product(p)
        length = size / dot(p, ap)
        x, r = x + length * p, r - length * ap
        z = near(r)
        following = dot(r, z)
        return x, r, z + (following / size) * p, following, k + 1

    x, _, _, _, steps = while_loop(go_on, step, (start, r, z, dot(r, z), 0))
    return x, steps


def gmres(product: Product, b: Any, start: Any, tol: float, restart: int, most: int) -> tuple[Any, Any]:
    """The solution of A x = b by GMRES with restarts, and how many of these it took.

    Args:
        product: A times a vector.
        b: a vector.
        start: the first guess.
        tol: of the residual's norm, as a share of that of b.
        restart: vectors of a basis.
        most: the most restarts.
    """
    n = int(b.shape[0])
    m = min(restart, n)
    dtype = str(b.dtype)
    enough = (tol * tol) * dot(b, b)

    def go_on(carry: Any) -> Any:
        _, r, k = carry
        return F.logical_and(F.greater(dot(r, r), enough), F.less(k, most))

    def cycle(carry: Any) -> Any:
        x, r, k = carry
        length = F.sqrt(dot(r, r))
        basis = F.zeros((m + 1, n), dtype=dtype).at[0].set(r / length)

        def grow(j: Any, both: Any) -> Any:
            # Rows that are not there yet are zeros, so products with all of them leave nothing out. Twice, for what rounding leaves.
            basis, projected = both
            w = product(basis[j])
            h = basis @ w
            w = w - h @ basis
            again = basis @ w
            w = w - again @ basis
            size = F.sqrt(dot(w, w))
            # A basis that is complete: what is left is rounding.
            complete = F.less_equal(size, 1e-14 * F.sqrt(dot(h, h)))
            row = F.where(complete, 0.0, w / F.where(complete, 1.0, size))
            column = (h + again).at[j + 1].set(F.where(complete, 0.0, size))
            return basis.at[j + 1].set(row), projected.at[j].set(column)

        basis, projected = fori_loop(0, m, grow, (basis, F.zeros((m, m + 1), dtype=dtype)))
        right = F.zeros((m + 1,), dtype=dtype).at[0].set(length)
        x = x + F.linalg_lstsq(projected.T, right) @ basis[:m]
        return x, b - product(x), k + 1

    x, _, cycles = while_loop(go_on, cycle, (start, b - product(start), 0))
    return x, cycles
