"""Implicit differentiation: roots of equations, fixed points and minimisers, whose derivatives need no step of the solver."""

from .points import fixed_point, implicit_argmin
from .roots import custom_root

__all__ = ["custom_root", "fixed_point", "implicit_argmin"]
