"""Factors, solves and determinants: small matrices by the thousand, and single large ones; a Gaussian process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import BOTH, FORWARD, Row

_FAMILY = "matrices"
#: (matrices, rows)
_SIZES = (*((1000, n) for n in (3, 4, 6, 8, 12, 16, 32)), (1, 512), (1, 1024))


def _definite(rng: np.random.Generator, count: int, n: int) -> np.ndarray:
    x = rng.standard_normal((count, n, n) if count > 1 else (n, n))
    return x @ np.swapaxes(x, -1, -2) / n + np.eye(n)


#: name -> (tlean's function, PyTorch's), of matrices and right-hand sides.
_CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "cholesky": (lambda o, a, b: o.linalg_cholesky(a), lambda t, a, b: t.linalg.cholesky(a)),
    "solve_triangular": (
        lambda o, a, b: o.linalg_solve_triangular(a, b, True),
        lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False),
    ),
    "lu": (lambda o, a, b: o.linalg_lu_factor(a)[0], lambda t, a, b: t.linalg.lu_factor(a)[0]),
    "solve": (lambda o, a, b: o.linalg_solve(a, b), lambda t, a, b: t.linalg.solve(a, b)),
    "det": (lambda o, a, b: o.linalg_det(a), lambda t, a, b: t.linalg.det(a)),
}


def _row(name: str, count: int, n: int, dtype: str) -> Row:
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        a = _definite(rng, count, n)
        if name not in ("cholesky", "solve_triangular"):
            a = rng.standard_normal(a.shape) / n**0.5
        return [a.astype(dtype), rng.standard_normal((*a.shape[:-1], 1)).astype(dtype)]

    ours, theirs = _CALLS[name]
    return Row(f"{name}_{count}x{n}_{dtype}", _FAMILY, arrays, ours, theirs, modes=(FORWARD,), same=n <= 32)


def _gaussian_process(n: int) -> Row:
    # The negative logarithm of the likelihood of a Gaussian process, by its length scale, amplitude and noise.
    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        x = np.sort(rng.uniform(0, 10, n))
        distances = (x[:, None] - x[None, :]) ** 2
        return [np.array([1.0, 1.0, 0.1]), distances, np.sin(x) + 0.1 * rng.standard_normal(n), np.eye(n)]

    def ours(o: Any, p: Any, distances: Any, y: Any, one: Any) -> Any:
        factor = o.linalg_cholesky(p[1] * o.exp(distances * (-0.5 / p[0])) + p[2] * one)
        white = o.linalg_solve_triangular(factor, y, True)
        return 0.5 * o.sum(white * white) + o.sum(o.log(o.diagonal(factor)))

    def theirs(t: Any, p: Any, distances: Any, y: Any, one: Any) -> Any:
        factor = t.linalg.cholesky(p[1] * t.exp(distances * (-0.5 / p[0])) + p[2] * one)
        white = t.linalg.solve_triangular(factor, y[:, None], upper=False)[:, 0]
        return 0.5 * t.sum(white * white) + t.sum(t.log(t.diagonal(factor)))

    return Row(f"gaussian_process_{n}", _FAMILY, arrays, ours, theirs, modes=(BOTH,), frozen=(1, 2, 3))


def matrices() -> list[Row]:
    """Rows of linear algebra."""
    rows = [_row(name, count, n, dtype) for dtype in ("float64", "float32") for name in _CALLS for count, n in _SIZES]
    return [*rows, *(_gaussian_process(n) for n in (100, 1000))]
