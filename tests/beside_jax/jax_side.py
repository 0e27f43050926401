"""JAX's results for every case, in a file of NumPy's: `python tests/beside_jax/jax_side.py FILE`, in a Python that has JAX.

A part that JAX does not compute is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import jax
import jax.numpy as jnp
import jax.scipy as js
from cases import CASES, COUNT, SHAPES, Case, direction, weights
from jax.experimental.ode import odeint

jax.config.update("jax_enable_x64", True)
L, S, G = jnp.linalg, js.linalg, js.special


def _sign(x: Any) -> Any:
    return jax.lax.stop_gradient(jnp.where(x < 0, -1.0, 1.0))


def _qr(x: Any) -> Any:
    q, r = L.qr(x)
    s = _sign(jnp.diagonal(r, axis1=-2, axis2=-1))
    return q * s[..., None, :], r * s[..., :, None]


def _svd(x: Any) -> Any:
    u, s, vh = L.svd(x, full_matrices=False)
    k = _sign(u[..., 0, :])
    return u * k[..., None, :], s, vh * k[..., :, None]


def _eigh(x: Any) -> Any:
    w, v = L.eigh(x)
    return w, v * _sign(v[..., :1, :])


def _lu(x: Any) -> Any:
    _, lower, upper = S.lu(x)
    return jnp.stack([lower, upper])


def _triangular(k: str) -> Callable[..., Any]:
    return lambda a, b: S.solve_triangular(a, b, trans="t" in k, lower=k[0] == "l", unit_diagonal=k[1:] == "u")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "det": L.det, "logabsdet": lambda x: L.slogdet(x)[1], "logdet": lambda x: L.slogdet(x)[1], "inv": L.inv, "pinv": L.pinv, "lu": _lu,
    "qr_q": lambda x: _qr(x)[0], "qr_r": lambda x: _qr(x)[1], "svdvals": lambda x: L.svd(x, compute_uv=False),
    "svd_u": lambda x: _svd(x)[0], "svd_vh": lambda x: _svd(x)[2], "expm": S.expm, "power_3": lambda x: L.matrix_power(x, 3),
    "power_-2": lambda x: L.matrix_power(x, -2), "cholesky": L.cholesky, "eigvalsh": lambda x: L.eigh(x)[0],
    "eigh_v": lambda x: _eigh(x)[1], "cholesky_inverse": lambda x: S.cho_solve((x, True), jnp.broadcast_to(jnp.eye(x.shape[-1]), x.shape)),
    "solve": L.solve, "lu_solve": lambda a, b: S.lu_solve(S.lu_factor(a), b), "lstsq": lambda a, b: L.lstsq(a, b)[0],
    "cholesky_solve": lambda f, b: S.cho_solve((f, True), b),
    "conjugate_gradient": lambda a, b: js.sparse.linalg.cg(lambda x: (a + a.T) @ x / 2, b, tol=1e-14)[0],
    "custom_linear_solve": lambda a, b: jax.lax.custom_linear_solve(
        lambda x: a @ x, b, lambda f, b: L.solve(a, b), lambda f, b: L.solve(a.T, b)
    ),
    "cross": L.cross, "vecdot": L.vecdot, "outer": jnp.outer, "tensordot": lambda a, b: jnp.tensordot(a, b, 1),
    "multi_dot": lambda *xs: L.multi_dot(xs), "tensorinv": L.tensorinv, "tensorsolve": L.tensorsolve, "trace": jnp.trace,
    "diagonal": lambda x: jnp.diagonal(x, 1), "vander": jnp.vander, "block_diag": S.block_diag, "matrix_transpose": L.matrix_transpose,
    "matmul": jnp.matmul, "norm_axis": lambda x: L.norm(x, axis=1),
    "interp": jnp.interp,
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
    return jnp.stack([z.real, z.imag])


F = jnp.fft
FUNCTIONS |= {
    "fft": lambda a, b: _pair(F.fft(a + 1j * b)), "ifft": lambda a, b: _pair(F.ifft(a + 1j * b, axis=0)),
    "fft_7": lambda a, b: _pair(F.fft(a + 1j * b, n=7)), "fft_ortho": lambda a, b: _pair(F.fft(a + 1j * b, norm="ortho")),
    "rfft": lambda a: _pair(F.rfft(a)), "irfft": lambda a, b: F.irfft(a + 1j * b), "irfft_odd": lambda a, b: F.irfft(a + 1j * b, n=7),
    "fft2": lambda a, b: _pair(F.fft2(a + 1j * b)), "ifft2": lambda a, b: _pair(F.ifft2(a + 1j * b)), "rfft2": lambda a: _pair(F.rfft2(a)),
    "irfft2": lambda a, b: F.irfft2(a + 1j * b), "fftn": lambda a, b: _pair(F.fftn(a + 1j * b)), "rfftn": lambda a: _pair(F.rfftn(a)),
    "fftshift": lambda a, b: _pair(F.fftshift(a + 1j * b)),
}  # fmt: skip
COMPLEX: dict[str, Callable[[Any], Any]] = {
    "abs2": lambda z: jnp.abs(z) ** 2, "exp": lambda z: jnp.exp(z).real, "product": lambda z: (z * (2.0 - 1.0j) * z).imag,
    "quotient": lambda z: (1.0 / (z + 3.0)).real, "matmul_z": lambda z: (z @ z).imag, "angle": jnp.angle, "abs": jnp.abs,
    "conj": lambda z: (jnp.conj(z) * z * z).imag, "chain": lambda z: jnp.abs(F.ifft(F.fft(z) * jnp.exp(z))) ** 2,
    "power": lambda z: (z * z * z).real,
}  # fmt: skip


def _logit_entropy(x: Any) -> Any:
    logs = jax.nn.log_softmax(x)
    return -jnp.sum(jnp.exp(logs) * logs)


def _dirichlet_entropy(a: Any) -> Any:
    total = a.sum()
    log_beta = G.gammaln(a).sum() - G.gammaln(total)
    return log_beta + (total - a.size) * G.digamma(total) - jnp.sum((a - 1) * G.digamma(a))


def _t_entropy(df: Any, loc: Any, scale: Any) -> Any:
    half = (df + 1) / 2
    return half * (G.digamma(half) - G.digamma(df / 2)) + 0.5 * jnp.log(df) + G.betaln(df / 2, 0.5) + jnp.log(scale) + 0 * loc


def _beta_entropy(a: Any, b: Any) -> Any:
    parts = (a - 1) * G.digamma(a) + (b - 1) * G.digamma(b) - (a + b - 2) * G.digamma(a + b)
    return G.betaln(a, b) - parts


P = js.stats
FUNCTIONS |= {
    "norm.entropy": lambda loc, scale: 0.5 * jnp.log(2 * jnp.pi * jnp.e * scale**2) + 0 * loc, "t.entropy": _t_entropy,
    "gamma.entropy": lambda a, loc, scale: a + jnp.log(scale) + G.gammaln(a) + (1 - a) * G.digamma(a) + 0 * loc,
    "beta.entropy": _beta_entropy, "bernoulli.entropy": lambda p: -G.xlogy(p, p) - G.xlog1py(1 - p, -p),
    "categorical.entropy": _logit_entropy, "dirichlet.entropy": _dirichlet_entropy, "dirichlet.logpdf": P.dirichlet.logpdf,
    "multivariate_normal.entropy": lambda m, c: 0.5 * L.slogdet(jnp.pi * jnp.e * (c + c.T))[1] + 0 * m.sum(),
    "multivariate_normal.logpdf": P.multivariate_normal.logpdf, "multivariate_normal.pdf": P.multivariate_normal.pdf,
    "beta.cdf_of_x": lambda x: P.beta.cdf(x, *SHAPES), "beta.logsf_of_x": lambda x: P.beta.logsf(x, *SHAPES),
    "categorical.logpmf": lambda x: jax.nn.log_softmax(x)[jnp.array([0, 2])],
    "poisson.logpmf": lambda mu: P.poisson.logpmf(COUNT, mu), "poisson.pmf": lambda mu: P.poisson.pmf(COUNT, mu),
    "poisson.cdf": lambda mu: P.poisson.cdf(COUNT, mu), "poisson.sf": lambda mu: 1 - P.poisson.cdf(COUNT, mu),
    "bernoulli.logpmf": lambda p: P.bernoulli.logpmf(np.array([0, 1, 1]), p),
    "bernoulli.pmf": lambda p: P.bernoulli.pmf(np.array([0, 1, 1]), p),
    "bernoulli.cdf": lambda p: P.bernoulli.cdf(np.array([0, 1, -1]), p),
}  # fmt: skip
for law, names in (("norm", "logpdf pdf cdf sf logcdf logsf ppf isf"), ("t", "logpdf pdf"), ("gamma", "logpdf pdf cdf sf logcdf logsf"),
                   ("beta", "logpdf pdf cdf sf logcdf logsf")):  # fmt: skip
    FUNCTIONS |= {f"{law}.{n}": getattr(getattr(P, law), n) for n in names.split()}


def _moved(y: Any, t: Any, a: Any) -> Any:
    return jnp.stack([y[1], a * (1.0 - y[0] ** 2) * y[1] - y[0] + jnp.sin(t)])


def _solved(y0: Any, a: Any, ts: Any) -> Any:
    return odeint(_moved, y0, ts, a, rtol=1e-11, atol=1e-11)


FUNCTIONS |= {"odeint": _solved, "odeint_steps": _solved}


def results(case: Case) -> dict[str, Any]:
    """Each part that JAX computes."""
    x, found = jnp.asarray(case.point), {}
    if case.name.startswith("complex_"):
        f, (a, b) = COMPLEX[case.name[8:]], case.arguments
        return {"gradient": jax.grad(lambda z: jnp.sum(weights((2, 2)) * f(z)))(jnp.asarray(a + 1j * b))}

    def value(x: Any) -> Any:
        return FUNCTIONS[case.name](*case.split(x))

    def total(x: Any) -> Any:
        y = value(x)
        return jnp.sum(weights(y.shape) * y)

    # Compiled whole, which takes half of the time of one op at a time.
    calls: dict[str, Callable[[Any], Any]] = {
        "value": value,
        "gradient": jax.grad(total),
        "tangent": lambda x: jax.jvp(value, (x,), (direction(x.size),))[1],
        "hessian": jax.hessian(total),
    }
    for part in case.parts:
        try:
            found[part] = np.asarray(jax.jit(calls[part])(x))
        except Exception as error:
            # What it refuses it says in many ways; the test knows which parts these are.
            print(f"{case.name}, {case.title}: {part}: {type(error).__name__}: {str(error).splitlines()[0][:120]}", file=sys.stderr)
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **{f"{title}/{part}": np.asarray(v) for title, c in CASES.items() for part, v in results(c).items()})
