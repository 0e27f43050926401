"""tlean's results beside those of JAX, in a process of a Python that has it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tlean as tl

from .cases import CASES, COUNT, REFUSED, SHAPES, Case, direction, weights

ROOT = Path(__file__).parents[2]
PYTHON, INSTALLED = (ROOT / ".venv-jax" / name for name in ("bin/python", ".installed"))
#: Of the norm: values, derivatives; and a unit of the last place, times the condition.
VALUES, DERIVATIVES, UNIT = 1e-12, 1e-9, 2.3e-16
L, S = tl.linalg, tl.stats
pytestmark = pytest.mark.skipif(
    "TLEAN_JAX" not in os.environ or not INSTALLED.exists(), reason="`make jax` installs JAX into .venv-jax and compares; some minutes"
)


@pytest.fixture(scope="module")
def jax(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """JAX's results by case and part."""
    path = tmp_path_factory.mktemp("jax") / "results.npz"
    command = [str(PYTHON), str(Path(__file__).with_name("jax_side.py")), str(path)]
    told = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"JAX_PLATFORMS": "cpu"}
    run = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    with np.load(path) as results:
        return dict(results)


def _triangular(k: str) -> Callable[..., Any]:
    return lambda a, b: L.solve_triangular(a, b, lower=k[0] == "l", transpose="t" in k, unit_diagonal=k[1:] == "u")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "det": L.det, "logabsdet": lambda x: L.slogdet(x)[1], "logdet": L.logdet, "inv": L.inv, "pinv": L.pinv,
    "lu": lambda x: tl.stack(list(L.lu(x)[1:])), "qr_q": lambda x: L.qr(x)[0], "qr_r": lambda x: L.qr(x)[1], "svdvals": L.svdvals,
    "svd_u": lambda x: L.svd(x)[0], "svd_vh": lambda x: L.svd(x)[2], "expm": L.expm, "power_3": lambda x: L.matrix_power(x, 3),
    "power_-2": lambda x: L.matrix_power(x, -2), "cholesky": L.cholesky, "eigvalsh": L.eigvalsh, "eigh_v": lambda x: L.eigh(x)[1],
    "cholesky_inverse": L.cholesky_inverse, "solve": L.solve, "lu_solve": lambda a, b: L.lu_solve(L.lu_factor(a), b), "lstsq": L.lstsq,
    "cholesky_solve": lambda f, b: L.cholesky_solve(b, f),
    "conjugate_gradient": lambda a, b: L.conjugate_gradient((a + a.T) / 2, b, tol=1e-14),
    "custom_linear_solve": lambda a, b: L.custom_linear_solve(lambda x: a @ x, b, lambda f, b: L.solve(tl.jacfwd(f)(b), b)),
    "cross": L.cross, "vecdot": L.vecdot, "outer": L.outer, "tensordot": lambda a, b: L.tensordot(a, b, 1),
    "multi_dot": lambda *xs: L.multi_dot(xs), "tensorinv": L.tensorinv, "tensorsolve": L.tensorsolve, "trace": L.trace,
    "diagonal": lambda x: L.diagonal(x, 1), "vander": L.vander, "block_diag": L.block_diag, "matrix_transpose": L.matrix_transpose,
    "matmul": L.matmul, "norm_axis": lambda x: L.norm(x, axis=1), "interp": tl.interp,
}  # fmt: skip
for k in ("l", "u", "lt", "ut", "lu", "uu"):
    FUNCTIONS[f"triangular_{k}"] = _triangular(k)
for k in ("fro", "nuc", 2, -2, 1, -1, "inf", "-inf"):
    FUNCTIONS[f"norm_{k}"] = lambda x, k=k: L.matrix_norm(x, ord=float(k) if str(k)[-1] == "f" else k)
for k in (2, "fro", 1):
    FUNCTIONS[f"cond_{k}"] = lambda x, k=k: L.cond(x, k)
for k in ("1", "2", "3", "inf"):
    FUNCTIONS[f"vector_norm_{k}"] = lambda x, k=k: L.vector_norm(x, ord=float(k))


def _pair(z: Any) -> Any:
    return tl.stack([z.real, z.imag])


F, Z = tl.fft, tl.fft.from_parts
FUNCTIONS |= {
    "fft": lambda a, b: _pair(F.fft(Z(a, b))), "ifft": lambda a, b: _pair(F.ifft(Z(a, b), axis=0)),
    "fft_7": lambda a, b: _pair(F.fft(Z(a, b), n=7)), "fft_ortho": lambda a, b: _pair(F.fft(Z(a, b), norm="ortho")),
    "rfft": lambda a: _pair(F.rfft(a)), "irfft": lambda a, b: F.irfft(Z(a, b)), "irfft_odd": lambda a, b: F.irfft(Z(a, b), n=7),
    "fft2": lambda a, b: _pair(F.fft2(Z(a, b))), "ifft2": lambda a, b: _pair(F.ifft2(Z(a, b))), "rfft2": lambda a: _pair(F.rfft2(a)),
    "irfft2": lambda a, b: F.irfft2(Z(a, b)), "fftn": lambda a, b: _pair(F.fftn(Z(a, b))), "rfftn": lambda a: _pair(F.rfftn(a)),
    "fftshift": lambda a, b: _pair(F.fftshift(Z(a, b))),
}  # fmt: skip
COMPLEX: dict[str, Callable[[Any], Any]] = {
    "abs2": lambda z: z.abs2(), "exp": lambda z: z.exp().real, "product": lambda z: (z * (2.0 - 1.0j) * z).imag,
    "quotient": lambda z: (1.0 / (z + 3.0)).real, "matmul_z": lambda z: (z @ z).imag, "angle": lambda z: z.angle(), "abs": abs,
    "conj": lambda z: (z.conj() * z * z).imag, "chain": lambda z: F.ifft(F.fft(z) * z.exp()).abs2(), "power": lambda z: (z * z * z).real,
}  # fmt: skip
COUNTS = np.array([0, 1, 1])
FUNCTIONS |= {
    "beta.cdf_of_x": lambda x: S.beta.cdf(x, *SHAPES), "beta.logsf_of_x": lambda x: S.beta.logsf(x, *SHAPES),
    "categorical.logpmf": lambda x: S.categorical.logpmf(np.array([0, 2]), x), "bernoulli.logpmf": lambda p: S.bernoulli.logpmf(COUNTS, p),
    "bernoulli.pmf": lambda p: S.bernoulli.pmf(COUNTS, p), "bernoulli.cdf": lambda p: S.bernoulli.cdf(np.array([0, 1, -1]), p),
}  # fmt: skip
for n in ("logpmf", "pmf", "cdf", "sf"):
    FUNCTIONS[f"poisson.{n}"] = lambda mu, n=n: getattr(S.poisson, n)(COUNT, mu)
for law in ("norm", "t", "gamma", "beta", "multivariate_normal", "dirichlet", "bernoulli", "categorical"):
    for n in getattr(S, law).__all__:
        FUNCTIONS.setdefault(f"{law}.{n}", getattr(getattr(S, law), n))


def _moved(t: Any, y: Any, a: Any) -> Any:
    return tl.stack([y[1], a * (1.0 - y[0] ** 2) * y[1] - y[0] + tl.sin(t)])


def _solved(adjoint: bool) -> Callable[..., Any]:
    return lambda y0, a, ts: tl.solvers.odeint(_moved, y0, ts, a, rtol=1e-11, atol=1e-11, adjoint=adjoint)


FUNCTIONS |= {"odeint": _solved(True), "odeint_steps": _solved(False)}


def ours(case: Case) -> dict[str, Any]:
    """Each part by tlean."""
    x = case.point
    if case.name.startswith("complex_"):
        f, (a, b) = COMPLEX[case.name[8:]], case.arguments
        return {"gradient": tl.grad(lambda z: tl.sum(weights((2, 2)) * f(z)))(tl.fft.as_complex(a + 1j * b)).numpy()}

    def value(x: Any) -> Any:
        return FUNCTIONS[case.name](*case.split(x))

    def total(x: Any) -> Any:
        y = value(x)
        return tl.sum(weights(tuple(y.shape)) * y)

    calls: dict[str, Callable[[], Any]] = {
        "value": lambda: tl.jit(value)(x), "gradient": lambda: tl.grad(total)(x),
        "tangent": lambda: tl.jvp(value, (x,), (direction(x.size),))[1],
        "hessian": lambda: tl.hessian(total)(x),
    }  # fmt: skip
    return {part: np.asarray(calls[part]()) for part in case.parts}


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """The norm of the difference, of that of what is wanted."""
    assert found.shape == wanted.shape
    return float(np.linalg.norm((found - wanted).ravel()) / max(np.linalg.norm(wanted.ravel()), 1.0))


@pytest.mark.parametrize("title", CASES)
def test_value_and_two_derivatives(title: str, jax: dict[str, np.ndarray]) -> None:
    case = CASES[title]
    for part, found in ours(case).items():
        if f"{title}/{part}" in REFUSED:
            assert np.isfinite(found).all(), part
            continue
        limit = max((VALUES if part == "value" else DERIVATIVES) * case.slack, UNIT * case.condition)
        assert apart(found, jax[f"{title}/{part}"]) <= limit, part
