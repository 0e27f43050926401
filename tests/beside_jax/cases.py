"""Functions of linear algebra, Fourier transforms, distributions and interpolation, with arguments; each library has them by these names.

It imports no library: JAX's side runs in a separate Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RNG = np.random.default_rng(17)
#: What is compared: the value, and of its weighted sum the gradient, a directional derivative and the Hessian, by all arguments together.
PARTS = ("value", "gradient", "tangent", "hessian")


@dataclass(frozen=True)
class Case:
    """A function by name, its arguments in float64, and the condition of the problem, to which errors are relative."""

    name: str
    arguments: tuple[np.ndarray, ...]
    title: str
    condition: float = 1.0
    parts: tuple[str, ...] = PARTS
    #: Of tolerances, where a library's own method is not as exact.
    slack: float = 1.0

    @property
    def point(self) -> np.ndarray:
        """The arguments as one vector."""
        return np.concatenate([a.ravel() for a in self.arguments]) if self.arguments else np.zeros(0)

    def split(self, x: Any) -> list[Any]:
        """The arguments from a vector of any library."""
        made, begin = [], 0
        for a in self.arguments:
            made.append(x[begin : begin + a.size].reshape(a.shape))
            begin += a.size
        return made


def direction(n: int) -> np.ndarray:
    """Along which the tangent is taken."""
    return np.sin(1.0 + np.arange(n))


def weights(shape: tuple[int, ...]) -> np.ndarray:
    """Of the sum that is differentiated."""
    return np.cos(0.5 + np.arange(int(np.prod(shape)))).reshape(shape)


def _normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def _definite(*shape: int) -> np.ndarray:
    a = _normal(*shape)
    return a @ np.swapaxes(a, -1, -2) / shape[-1] + np.eye(shape[-1])


def _ill(n: int, condition: float, definite: bool) -> np.ndarray:
    u, v = (np.linalg.qr(_normal(n, n))[0] for _ in range(2))
    return np.asarray((u * np.geomspace(1.0, 1.0 / condition, n)) @ (u if definite else v).T)


SQUARE = ("det", "logabsdet", "logdet", "inv", "pinv", "lu", "qr_q", "qr_r", "svdvals", "svd_u", "svd_vh", "expm", "power_3", "power_-2")
SQUARE += ("norm_fro", "norm_nuc", "norm_2", "norm_-2", "norm_1", "norm_-1", "norm_inf", "norm_-inf", "cond_2", "cond_fro", "cond_1")
SYMMETRIC = ("cholesky", "eigvalsh", "eigh_v", "cholesky_inverse")
#: Of an ill-conditioned matrix these alone have a condition that is the matrix's.
ILL = ("logabsdet", "inv", "pinv", "norm_fro", "norm_nuc", "expm", "lu", "qr_r", "svdvals")
#: Where singular vectors of a square matrix of one row are ±1, or none, derivatives are 0.
EMPTY = ("det", "logabsdet", "inv", "cholesky", "eigvalsh", "expm", "power_3")


def _squares() -> list[Case]:
    made = []
    for name in SQUARE:
        a = _normal(3, 3) + 2.0 * np.eye(3)
        a *= np.sign(np.linalg.det(a))
        made += [Case(name, (a,), "regular"), Case(name, (np.array([[1.7]]),), "1×1")]
        batch = np.stack([a, a.T + np.diag([1.0, 2.0, 3.0])])
        made.append(Case(name, (batch,), "batched"))
        if name in ILL:
            # The Hessian of JAX's pinv is rounding there, 500 times the exact one, which tests/composites has.
            made.append(Case(name, (_ill(4, 1e10, False),), "ill-conditioned", 1e10, PARTS[: 3 if name == "pinv" else 4]))
    for name in SYMMETRIC:
        a = _definite(3, 3)
        made += [Case(name, (a,), "regular"), Case(name, (np.array([[1.7]]),), "1×1"), Case(name, (_definite(2, 3, 3),), "batched")]
        if name in ("cholesky", "eigvalsh"):
            made.append(Case(name, (_ill(4, 1e10, True),), "ill-conditioned", 1e10))
    return made + [Case(name, (np.zeros((0, 0)),), "0×0") for name in EMPTY]


def _systems() -> list[Case]:
    made = []
    for n, title in ((3, "regular"), (1, "1×1"), (0, "0×0")):
        a, factor = _normal(n, n) + 3.0 * np.eye(n), np.tril(_normal(n, n)) + 2.0 * np.eye(n)
        for b, what in ((_normal(n), "vector"), (_normal(n, 2), "matrix")):
            titles = f"{title}, {what}"
            made += [Case(name, (a, b), titles) for name in ("solve", "lu_solve", "lstsq")]
            made += [Case(f"triangular_{k}", (factor if k[0] == "l" else factor.T, b), titles) for k in ("l", "u", "lt", "ut", "lu", "uu")]
            made.append(Case("cholesky_solve", (factor, b), titles))
    for name in ("solve", "lu_solve", "lstsq"):
        made.append(Case(name, (_ill(4, 1e10, False), _normal(4)), "ill-conditioned", 1e10))
    made.append(Case("solve", (_normal(2, 3, 3) + 3 * np.eye(3), _normal(2, 3, 2)), "batched"))
    made.append(Case("triangular_l", (_normal(2, 3, 3) + 3 * np.eye(3), _normal(2, 3, 2)), "batched"))
    for shape in ((4, 3), (3, 4)):
        made += [Case("lstsq", (_normal(*shape), _normal(shape[0])), f"{shape}"), Case("pinv", (_normal(*shape),), f"{shape}")]
        made += [Case(name, (_normal(*shape),), f"{shape}") for name in ("svdvals", "svd_u", "svd_vh")]
    made += [Case(name, (_normal(4, 3),), "tall") for name in ("qr_q", "qr_r")]
    made += [Case("conjugate_gradient", (_definite(3, 3), _normal(3)), "regular", slack=100.0)]
    made += [Case("custom_linear_solve", (_definite(3, 3), _normal(3)), "regular")]
    return made


def _products() -> list[Case]:
    v, m = (lambda: _normal(3)), (lambda: _normal(2, 3))
    arguments: dict[str, tuple[np.ndarray, ...]] = {
        "cross": (v(), v()), "vecdot": (m(), m()), "outer": (v(), v()), "tensordot": (m(), m().T), "multi_dot": (m(), m().T, m()),
        "tensorinv": (_normal(2, 2, 4),), "tensorsolve": (_normal(2, 2, 4), _normal(2, 2)), "trace": (m(),), "diagonal": (m(),),
        "vander": (v(),), "block_diag": (m(), v(), np.array(1.5)), "matrix_transpose": (m(),), "matmul": (m(), m().T),
        "vector_norm_1": (m(),), "vector_norm_2": (m(),), "vector_norm_3": (m(),), "vector_norm_inf": (m(),), "norm_axis": (m(),),
    }  # fmt: skip
    return [Case(name, a, "regular") for name, a in arguments.items()]


FFTS = ("fft", "ifft", "fft_7", "fft_ortho", "rfft", "irfft", "irfft_odd", "fft2", "ifft2", "rfft2", "irfft2", "fftn", "rfftn", "fftshift")
COMPLEX = ("abs2", "exp", "product", "quotient", "matmul_z", "angle", "abs", "conj", "chain", "power")


def _transforms() -> list[Case]:
    made = [Case(name, (_normal(3, 4), _normal(3, 4)), "complex") for name in FFTS if not name.startswith("rfft")]
    made += [Case(name, (_normal(3, 5),), "real") for name in FFTS if name.startswith("rfft")]
    return made + [Case(f"complex_{name}", (_normal(2, 2), _normal(2, 2)), "gradient", parts=("gradient",)) for name in COMPLEX]


def _laws() -> list[Case]:
    x, loc, scale = np.array([-1.2, 0.4, 3.1]), np.array([0.3, -0.5, 0.9]), np.array([0.8, 1.7, 2.2])
    positive, a, b = np.array([0.4, 1.1, 3.5]), np.array([0.7, 2.5, 4.2]), np.array([3.3, 1.4, 0.6])
    share = np.array([0.12, 0.5, 0.91])
    made = []
    for law, names, given in (
        ("norm", ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"), (x, loc, scale)),
        ("norm", ("ppf", "isf"), (share, loc, scale)),
        ("norm", ("entropy",), (loc, scale)),
        ("t", ("logpdf", "pdf"), (x, a, loc, scale)),
        ("t", ("entropy",), (a, loc, scale)),
        ("gamma", ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"), (positive + 0.3, a, np.array([0.1, 0.2, 0.3]), scale)),
        ("gamma", ("entropy",), (a, loc, scale)),
        ("beta", ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"), (share, a, b)),
        ("beta", ("cdf_of_x", "logsf_of_x"), (share,)),
        ("beta", ("entropy",), (a, b)),
        ("poisson", ("logpmf", "pmf", "cdf", "sf"), (a,)),
        ("bernoulli", ("logpmf", "pmf", "cdf", "entropy"), (share,)),
        ("categorical", ("logpmf", "entropy"), (x,)),
        ("dirichlet", ("logpdf",), (np.array([0.2, 0.3, 0.5]), a)),
        ("dirichlet", ("entropy",), (a,)),
        ("multivariate_normal", ("logpdf", "pdf"), (x, loc, _definite(3, 3))),
        ("multivariate_normal", ("entropy",), (loc, _definite(3, 3))),
    ):
        made += [Case(f"{law}.{name}", given, "inside") for name in names]
    return made


def _curves() -> list[Case]:
    xp = np.array([0.0, 0.7, 1.1, 2.5])
    first = ("value", "gradient")
    ode = (np.array([1.0, 0.5]), np.array(1.3), np.array([0.0, 0.4, 1.1, 2.0]))
    return [
        Case("interp", (np.array([0.2, 0.9, 2.2, -1.0, 4.0]), xp, _normal(4)), "inside and outside"),
        Case("odeint", ode, "adjoint", parts=first, slack=100.0),
        Case("odeint_steps", ode, "derivative of the steps", parts=first, slack=100.0),
    ]


CASES = {f"{c.name}: {c.title}": c for c in [*_squares(), *_systems(), *_products(), *_transforms(), *_laws(), *_curves()]}
#: What JAX does not compute.
REFUSED = {
    f"{title}/{part}" for title in ("det: 0×0", *(f"beta.{n}: inside" for n in ("cdf", "sf", "logcdf", "logsf"))) for part in PARTS[1:]
}
REFUSED |= {f"gamma.{n}: inside/hessian" for n in ("cdf", "sf", "logcdf", "logsf")}
#: Arguments that have no derivative.
COUNT, SHAPES = np.array([0.0, 2.0, 5.0]), (np.array([0.7, 2.5, 4.2]), np.array([3.3, 1.4, 0.6]))
