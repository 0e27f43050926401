"""Factors, solves and determinants; a Gaussian process, a Kalman filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import Row
from rows.bounded.shapes import by_kinds
from rows.libraries import Bound, CompiledRow
from rows.matrices import matrices

_FAMILY = "linear algebra"
#: Of the better of PyTorch and JAX, of a thousand small matrices; of LAPACK's time through NumPy and SciPy, of a large one.
_SMALL, _LARGE = 0.3, {"cholesky": 1.2, "solve_triangular": 1.2, "lu": 1.5, "solve": 1.5}
#: Of JAX's time, by the number of points.
_PROCESS = {100: 0.5, 1000: 0.8}
_FILTER = 0.3
#: Steps of the filter.
STEPS = 1000


def _jax_call(name: str) -> Callable[[Any, Any], Any]:
    def call(a: Any, b: Any) -> Any:
        import jax
        import jax.numpy as jnp

        if name == "cholesky":
            return jnp.linalg.cholesky(a)
        if name == "solve_triangular":
            return jax.lax.linalg.triangular_solve(a, b, left_side=True, lower=True)
        if name == "lu":
            return jax.lax.linalg.lu(a)[0]
        return jnp.linalg.solve(a, b) if name == "solve" else jnp.linalg.det(a)

    return call


def _lapack_call(name: str) -> Callable[[Any, Any], Any]:
    def call(a: Any, b: Any) -> Any:
        from scipy import linalg

        if name == "solve_triangular":
            return linalg.solve_triangular(a, b, lower=True, check_finite=False)
        if name == "lu":
            return linalg.lu_factor(a, check_finite=False)[0]
        return np.linalg.cholesky(a) if name == "cholesky" else np.linalg.solve(a, b)

    return call


def _compiled(row: Row) -> CompiledRow:
    # A row of the eager harness: `name_countxn_dtype`.
    name, sizes, _ = row.name.rsplit("_", 2)
    small = not sizes.startswith("1x")
    bounds: tuple[Bound, ...] = ()
    if small and name != "solve_triangular":
        bounds = (Bound(_SMALL, "best"),)
    elif not small and name in _LARGE:
        bounds = (Bound(_LARGE[name], "numpy"),)
    lapack = None if small or name not in _LARGE else _lapack_call(name)
    # Large factors and solutions differ by rounding, and of determinants of 512 and more the value overflows float32.
    return CompiledRow(
        *(row.name, "forward", row.arrays, 0, row.ours, row.theirs, _jax_call(name), _FAMILY, bounds),
        numpy=lapack,
        same=row.same and not row.name.endswith("float32"),
    )


def _process_jax(p: Any, distances: Any, y: Any, one: Any) -> Any:
    import jax
    import jax.numpy as jnp

    factor = jnp.linalg.cholesky(p[1] * jnp.exp(distances * (-0.5 / p[0])) + p[2] * one)
    white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    return 0.5 * jnp.sum(white * white) + jnp.sum(jnp.log(jnp.diagonal(factor)))


def _processes() -> list[CompiledRow]:
    by_name = {row.name: row for row in matrices()}
    found = []
    for n, most in _PROCESS.items():
        row = by_name[f"gaussian_process_{n}"]
        programs = (row.ours, row.theirs, _process_jax)
        found += by_kinds(row.name, _FAMILY, row.arrays, 1, programs, {"grad": most} | ({"first": None} if n == 100 else {}))
    return found


# A Kalman filter: 3 states, of which 2 numbers are observed ---------------------------------------------------------------------------


def filter_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    """How states move, the noise of states and observations (as logarithms), what is observed of a state, and the observations."""
    moves = np.array([[1.0, 0.1, 0.0], [0.0, 0.97, 0.1], [0.0, -0.1, 0.95]])
    seen = np.array([[1.0, 0.0, 0.0], [0.0, 0.3, 1.0]])
    return [moves, np.log([0.1, 0.2, 0.1]), np.log([0.3, 0.5]), seen, rng.standard_normal((STEPS, 2))]


def _filtered(state: Any, y: Any, model: Any, library: Any) -> Any:
    # One prediction and one update; the negative logarithm of the likelihood of y.
    (mean, spread), (moves, noise, error, seen, one) = state, model
    mean, spread = moves @ mean, moves @ spread @ moves.T + noise
    missing, scale = y - seen @ mean, seen @ spread @ seen.T + error
    gain = library.solve(scale, seen @ spread).T
    value = library.logdet(scale) + missing @ library.solve(scale, missing)
    return (mean + gain @ missing, (one - gain @ seen) @ spread), value


def filter_ours(ops: Any, moves: Any, noise: Any, error: Any, seen: Any, ys: Any) -> Any:
    import tlean as tl

    class Library:
        solve, logdet = staticmethod(tl.linalg.solve), staticmethod(tl.linalg.logdet)

    one = ops.eye(3, dtype="float64")
    model = (moves, ops.diag(ops.exp(noise)), ops.diag(ops.exp(error)), seen, one)
    start = (ops.zeros((3,), dtype="float64"), one)
    _, values = tl.scan(lambda state, y: _filtered(state, y, model, Library), start, ys)
    return ops.sum(values) * 0.5


def filter_torch(t: Any, moves: Any, noise: Any, error: Any, seen: Any, ys: Any) -> Any:
    class Library:
        logdet, solve = t.logdet, t.linalg.solve

    one = t.eye(3, dtype=t.float64)
    model = (moves, t.diag(t.exp(noise)), t.diag(t.exp(error)), seen, one)
    state, total = (t.zeros(3, dtype=t.float64), one), 0.0
    for y in ys:
        state, value = _filtered(state, y, model, Library)
        total = total + value
    return total * 0.5


def filter_jax(moves: Any, noise: Any, error: Any, seen: Any, ys: Any) -> Any:
    import jax
    import jax.numpy as jnp

    class Library:
        solve = staticmethod(jnp.linalg.solve)

        @staticmethod
        def logdet(a: Any) -> Any:
            return jnp.linalg.slogdet(a)[1]

    model = (moves, jnp.diag(jnp.exp(noise)), jnp.diag(jnp.exp(error)), seen, jnp.eye(3))
    _, values = jax.lax.scan(lambda state, y: _filtered(state, y, model, Library), (jnp.zeros(3), jnp.eye(3)), ys)
    return values.sum() * 0.5


def decomposition_rows() -> list[CompiledRow]:
    """Matrices by the thousand and large ones; hyperparameters of a Gaussian process; the likelihood of a linear model of states."""
    programs = filter_ours, filter_torch, filter_jax
    kalman = by_kinds(
        "kalman_3_states_1000_steps", _FAMILY, filter_arrays, 3, programs, {"forward": _FILTER, "grad": _FILTER, "first": None}
    )
    single = [_compiled(row) for row in matrices() if not row.name.startswith("gaussian")]
    return [*single, *_processes(), *kalman]
