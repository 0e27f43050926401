"""SciPy's solvers with derivatives from tlean: each takes a program and hands SciPy its compiled value, gradient, Hessian and Jacobian.

It needs SciPy: `pip install tlean[scipy]`.
"""

from .integrate import solve_ivp
from .optimize import least_squares, minimize, root

__all__ = ["least_squares", "minimize", "root", "solve_ivp"]
