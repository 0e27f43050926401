"""Solvers as compiled programs: equations, minima, least squares, differential equations.

The derivative of a solution is that of the implicit function theorem, or for differential equations that of the steps that were taken.
"""

from .lbfgs import lbfgs
from .least_squares import gauss_newton, levenberg_marquardt
from .ode import odeint
from .roots import newton_krylov
from .systems import conjugate_gradient, custom_linear_solve
from .vectors import Solution

__all__ = [
    "Solution",
    "conjugate_gradient",
    "custom_linear_solve",
    "gauss_newton",
    "lbfgs",
    "levenberg_marquardt",
    "newton_krylov",
    "odeint",
]
