"""Functional differentiation: transformations of programs, `f(*xs)` or `f(ops, *xs)`, of any order.

A transformation is a function on graphs: it records f, then appends the reverse or the forward sweep. Called on arrays it compiles the
whole (once per structure, shapes and dtype) and runs it; called with a backend first, `g(ops, *xs)`, or while a program runs, it records
into that program, so transformations nest. References of the enclosing program that f uses are constants inside and stay differentiable
outside.
"""

from .jacobians import hessian, hessian1, jacfwd, jacrev
from .linear import linearize
from .products import grad, hvp, hvp_inputs, hvp_params, jvp, value_and_grad, vjp
from .vmap import vmap

__all__ = [
    "grad",
    "hessian",
    "hessian1",
    "hvp",
    "hvp_inputs",
    "hvp_params",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
    "vmap",
]
