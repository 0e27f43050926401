"""One step of each method for differential equations, with its error and what the curve within the step is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tlean.functions as F

from ..autodiff import jacfwd, jvp

Field = Callable[[Any, Any], Any]


class Step(NamedTuple):
    """A step.

    Attributes:
        y: at its end.
        slope: the derivative there.
        error: an estimate of that of y.
        curve: two vectors which `within` reads.
    """

    y: Any
    slope: Any
    error: Any
    curve: tuple[Any, Any]


class Method(NamedTuple):
    """A method of adaptive steps.

    Attributes:
        step: `step(f, t, y, slope, h)`.
        within: `within(share, h, y0, y1, slope0, slope1, curve)`: the solution at a share of the step.
        order: of the error, as a power of h.
        growth: the most by which a step grows.
    """

    step: Callable[..., Step]
    within: Callable[..., Any]
    order: int
    growth: float


def _sum(weights: Any, ks: Any) -> Any:
    # Σ wᵢ·kᵢ, without the terms of weight 0.
    terms = [k if w == 1.0 else w * k for w, k in zip(weights, ks, strict=False) if w]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def rk4(f: Field, t: Any, y: Any, h: Any) -> Any:
    """A step of the classical method of order 4.

    Args:
        f: the right-hand side.
        t, y, h: where the step begins, and its length.
    """
    k1 = f(t, y)
    k2 = f(t + 0.5 * h, y + 0.5 * h * k1)
    k3 = f(t + 0.5 * h, y + 0.5 * h * k2)
    k4 = f(t + h, y + h * k3)
    return y + (h / 6.0) * (k1 + 2.0 * (k2 + k3) + k4)


# Dormand and Prince 1980; the curve is that of Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", II.6.
_DOPRI_C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_DOPRI_A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_DOPRI_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_DOPRI_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_DOPRI_D = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


def _dopri5(f: Field, t: Any, y: Any, slope: Any, h: Any) -> Step:
    ks = [slope]
    for c, row in zip(_DOPRI_C[1:], _DOPRI_A[1:], strict=True):
        ks.append(f(t + c * h, y + h * _sum(row, ks)))
    end = y + h * _sum(_DOPRI_B, ks)
    ks.append(f(t + h, end))
    return Step(end, ks[-1], h * _sum(_DOPRI_E, ks), (h * _sum(_DOPRI_D, ks), slope))


def _within_dopri5(share: Any, h: Any, y0: Any, y1: Any, slope1: Any, curve: Any) -> Any:
    bend, slope0 = curve
    rest, move = 1.0 - share, y1 - y0
    second = h * slope0 - move
    third = move - h * slope1 - second
    return y0 + share * (move + rest * (second + share * (third + rest * bend)))


# RODAS, a Rosenbrock method for stiff systems: Hairer and Wanner, "Solving Ordinary Differential Equations II", IV.7.
_RODAS_GAMMA = 0.25
_RODAS_C = (0.0, 0.386, 0.21, 0.63, 1.0, 1.0)
_RODAS_T = (0.25, -0.1043, 0.1035, -0.03620000000000023, 0.0, 0.0)
_RODAS_LAST = (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950)
_RODAS_A = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    _RODAS_LAST,
    (*_RODAS_LAST, 1.0),
)
_RODAS_STEP = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
)
_RODAS_D = (
    (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662),
    (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872),
)


def _rodas4(f: Field, t: Any, y: Any, slope: Any, h: Any) -> Step:
    jacobian = jacfwd(lambda y: f(t, y))(y)
    by_time = jvp(lambda t: f(t, y), (t,), (F.ones_like(t),))[1]
    solve = factored(F.eye(int(y.shape[0]), dtype=str(y.dtype)) / (_RODAS_GAMMA * h) - jacobian)
    ks: list[Any] = []
    for c, share, row, past in zip(_RODAS_C, _RODAS_T, _RODAS_A, _RODAS_STEP, strict=True):
        right = f(t + c * h, y + _sum(row, ks)) + _sum(past, ks) / h if ks else slope
        ks.append(solve(right + (share * h) * by_time if share else right))
    end = y + _sum((*_RODAS_LAST, 1.0, 1.0), ks)
    return Step(end, f(t + h, end), ks[-1], (_sum(_RODAS_D[0], ks), _sum(_RODAS_D[1], ks)))


def _within_rodas4(share: Any, h: Any, y0: Any, y1: Any, slope1: Any, curve: Any) -> Any:
    rest = 1.0 - share
    return rest * y0 + share * (y1 + rest * (curve[0] + share * curve[1]))


def factored(a: Any) -> Callable[[Any], Any]:
    """The solution of a linear system as a function of its right-hand side.

    Args:
        a: `(n, n)`.
    """
    lu, rows = F.linalg_lu_factor(a)

    def solve(b: Any) -> Any:
        half = F.linalg_solve_triangular(lu, F.take(b, rows), lower=True, unit_diagonal=True)
        return F.linalg_solve_triangular(lu, half)

    return solve


ADAPTIVE = {"dopri5": Method(_dopri5, _within_dopri5, 5, 10.0), "rodas4": Method(_rodas4, _within_rodas4, 4, 6.0)}
