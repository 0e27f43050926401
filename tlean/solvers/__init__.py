"""Solvers as compiled programs: equations, minima, least squares, differential equations; differentiable by the implicit function theorem."""

from .lbfgs import lbfgs
from .least_squares import gauss_newton, levenberg_marquardt
from .ode import odeint
from .roots import newton_krylov
from .vectors import Solution

__all__ = ["Solution", "gauss_newton", "lbfgs", "levenberg_marquardt", "newton_krylov", "odeint"]
