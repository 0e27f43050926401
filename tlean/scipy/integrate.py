"""`scipy.integrate`: differential equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from tlean import tree
from tlean.arguments import choice, flag, function
from tlean.autodiff import jacfwd
from tlean.errors import OptionError
from tlean.solvers.vectors import flat
from tlean.sparse.host import scipy
from tlean.sparse.jacobians import sparse_jacobian

from .vectors import Vector, as_tuple, called

#: Methods that use the Jacobian.
IMPLICIT = ("Radau", "BDF", "LSODA")
METHODS = ("RK23", "RK45", "DOP853", *IMPLICIT)
StepMethod: TypeAlias = Literal["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"]


def solve_ivp(
    f: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: StepMethod | type[Any] = "RK45",
    args: Any = (),
    sparse: bool = False,
    **options: Any,
) -> Any:
    """`scipy.integrate.solve_ivp` of a program; the implicit methods get its compiled Jacobian.

    Args:
        f: `f(t, y, *args)` returns dy/dt, a tree like y.
        t_span: the first time and the last.
        y0: the first state, a tree.
        method: as in SciPy, a name or a class of steppers.
        args: a tuple of further arguments, or one.
        sparse: hand over a sparse Jacobian, by `tl.sparse_jacobian`: "Radau" and "BDF" take one.
        options: SciPy's further arguments (`t_eval`, `rtol`, `atol`, `dense_output`, …).

    Returns: SciPy's result, `y` being `(unknowns, times)` as there; `states` is the same as a tree like y0, with the times as first axis.
    Raises: OptionError for a Jacobian among the options, and where SciPy is not installed; DTypeError for a state that is no number.

    Example:
        >>> found = tl.scipy.solve_ivp(lambda t, y: {"x": -1e4 * y["x"]}, (0.0, 1.0), {"x": 1.0}, method="Radau")
        >>> found.success
        True
    """
    if "jac" in options:
        raise OptionError("solve_ivp: derivatives must be left to the program, got jac")
    function("solve_ivp", "f", f)
    # SciPy also takes a class of steppers.
    if not isinstance(method, type):
        choice("solve_ivp", "method", method, METHODS)
    try:
        first, last = (float(t) for t in t_span)
    except (TypeError, ValueError):
        raise OptionError(f"solve_ivp: t_span must be two numbers, got {t_span!r}") from None
    vector, given = Vector("solve_ivp", y0), as_tuple(args)

    def program(t: Any, y: Any, *args: Any) -> Any:
        return flat(tree.flatten(f(t, vector.tree(y), *args))[0])

    value = called(program)
    if flag("solve_ivp", "sparse", sparse) and method in IMPLICIT:
        matrix = sparse_jacobian(program, argnums=1)
        # SciPy factors columns.
        options["jac"] = lambda t, y: matrix(np.float64(t), y, *given).to_scipy().tocsc()
    elif method in IMPLICIT:
        jacobian = called(jacfwd(program, argnums=1))
        options["jac"] = lambda t, y: jacobian(np.float64(t), y, *given)
    found = scipy("integrate").solve_ivp(
        lambda t, y: value(np.float64(t), y, *given), (first, last), vector.start, method=method, **options
    )
    states = [vector.back(column) for column in found.y.T]
    found.states = tree.map(lambda *leaves: np.stack(leaves), *states) if states else None
    return found
