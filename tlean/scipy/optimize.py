"""`scipy.optimize`: minima, roots and least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from tlean.arguments import choice, flag, function
from tlean.autodiff import hessian, hvp, jacfwd, jacrev, value_and_grad
from tlean.errors import OptionError
from tlean.sparse.host import scipy
from tlean.sparse.jacobians import sparse_jacobian

from .vectors import Vector, as_tuple, called

#: Methods of `minimize` that use no derivative, products with the Hessian, and the Hessian itself.
WITHOUT = ("nelder-mead", "powell", "cobyla", "cobyqa")
PRODUCTS = ("newton-cg", "trust-ncg", "trust-krylov", "trust-constr")
MATRICES = ("dogleg", "trust-exact")
MINIMA = (*WITHOUT, *PRODUCTS, *MATRICES, "cg", "bfgs", "l-bfgs-b", "tnc", "slsqp")
ROOTS = ("hybr", "lm", "broyden1", "broyden2", "anderson", "linearmixing", "diagbroyden", "excitingmixing", "krylov", "df-sane")
#: As SciPy writes them, and in small letters.
MinimumMethod: TypeAlias = Literal[
    "Nelder-Mead", "Powell", "COBYLA", "COBYQA", "Newton-CG", "CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP",
    "nelder-mead", "powell", "cobyla", "cobyqa", "newton-cg", "cg", "bfgs", "l-bfgs-b", "tnc", "slsqp",
    "trust-ncg", "trust-krylov", "trust-constr", "dogleg", "trust-exact",
]  # fmt: skip
RootMethod: TypeAlias = Literal[
    "hybr", "lm", "broyden1", "broyden2", "anderson", "linearmixing", "diagbroyden", "excitingmixing", "krylov", "df-sane"
]


def _method(who: str, method: Any, names: tuple[str, ...]) -> Any:
    # In small letters, as SciPy compares them.
    return choice(who, "method", method.lower() if isinstance(method, str) else method, names)


def _refuse(name: str, options: dict[str, Any], *names: str) -> None:
    wrong = [n for n in names if n in options]
    if wrong:
        raise OptionError(f"{name}: derivatives must be left to the program, got {', '.join(wrong)}")


def minimize(
    f: Callable[..., Any], x0: Any, args: Any = (), method: MinimumMethod | Callable[..., Any] | None = None, **options: Any
) -> Any:
    """`scipy.optimize.minimize` of a program: SciPy gets its compiled gradient and, where the method uses them, products with its Hessian.

    Args:
        f: `f(x, *args)` returns a number.
        x0: the first guess, a tree.
        args: a tuple of further arguments, or one.
        method: as in SciPy, a name or a function that minimises; None is BFGS, or what bounds and constraints ask for.
        options: SciPy's further arguments (`bounds`, `constraints`, `tol`, `options`, `callback`), for vectors of all unknowns in a row.

    Returns: SciPy's result, with `x` a tree like x0.
    Raises: OptionError for derivatives among the options, and where SciPy is not installed; DTypeError for a guess that is no number.

    Example:
        >>> found = tl.scipy.minimize(lambda p: (p["a"] - 1.0) ** 2 + p["b"] ** 2, {"a": 3.0, "b": 4.0}, method="L-BFGS-B")
        >>> found.x["a"].item()
        1.0
    """
    _refuse("minimize", options, "jac", "hess", "hessp")
    function("minimize", "f", f)
    vector, given = Vector("minimize", x0), as_tuple(args)
    program = vector.scalar(f)
    # SciPy also takes a function, which minimises.
    kind = method if method is None or callable(method) else _method("minimize", method, MINIMA)
    if kind in WITHOUT:
        value = called(program)
        found = scipy("optimize").minimize(lambda x: float(value(x, *given)), vector.start, method=method, **options)
        found.x = vector.back(found.x)
        return found
    both = value_and_grad(program)

    def with_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = both(x, *given)
        return value.item(), np.array(g)

    if kind in PRODUCTS:
        product = called(lambda x, v, *args: hvp(lambda x: program(x, *args), (x,), (v,))[0])
        options["hessp"] = lambda x, v: product(x, np.asarray(v, dtype=np.float64).reshape(-1), *given)
    elif kind in MATRICES:
        matrix = called(hessian(program))
        options["hess"] = lambda x: matrix(x, *given)
    found = scipy("optimize").minimize(with_gradient, vector.start, jac=True, method=method, **options)
    found.x = vector.back(found.x)
    return found


def _with_jacobian(
    vector: Vector, f: Callable[..., Any], args: tuple[Any, ...], sparse: bool = False
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    program = vector.vectors(f)
    value = called(program)
    if sparse:
        matrix = sparse_jacobian(program)
        return (lambda x: value(x, *args)), (lambda x: matrix(x, *args).to_scipy())
    count = value(vector.start, *args).shape[0]
    jacobian = called((jacfwd if vector.start.shape[0] <= count else jacrev)(program))
    return (lambda x: value(x, *args)), (lambda x: jacobian(x, *args))


def root(f: Callable[..., Any], x0: Any, args: Any = (), method: RootMethod = "hybr", **options: Any) -> Any:
    """`scipy.optimize.root` of a program; the methods "hybr" and "lm" get its compiled Jacobian.

    Args:
        f: `f(x, *args)` returns as many equations as x has unknowns, a tree.
        x0: the first guess, a tree.
        args: a tuple of further arguments, or one.
        method: as in SciPy.
        options: SciPy's further arguments (`tol`, `options`, `callback`).

    Returns: SciPy's result, with `x` a tree like x0.
    Raises: OptionError for a Jacobian among the options, and where SciPy is not installed; DTypeError for a guess that is no number.
    """
    _refuse("root", options, "jac")
    function("root", "f", f)
    kind = _method("root", method, ROOTS)
    vector = Vector("root", x0)
    value, jacobian = _with_jacobian(vector, f, as_tuple(args))
    if kind in ("hybr", "lm"):
        options["jac"] = jacobian
    found = scipy("optimize").root(value, vector.start, method=method, **options)
    found.x = vector.back(found.x)
    return found


def least_squares(f: Callable[..., Any], x0: Any, args: Any = (), sparse: bool = False, **options: Any) -> Any:
    """`scipy.optimize.least_squares` of a program, with its compiled Jacobian.

    Args:
        f: `f(x, *args)` returns residuals, a tree.
        x0: the first guess, a tree.
        args: a tuple of further arguments, or one.
        sparse: hand over a sparse Jacobian, by `tl.sparse_jacobian`.
        options: SciPy's further arguments (`bounds`, `method`, `loss`, `ftol`, …), for vectors of all unknowns in a row.

    Returns: SciPy's result, with `x` a tree like x0.
    Raises: OptionError for a Jacobian among the options, and where SciPy is not installed; DTypeError for a guess that is no number.
    """
    _refuse("least_squares", options, "jac")
    function("least_squares", "f", f)
    vector = Vector("least_squares", x0)
    value, jacobian = _with_jacobian(vector, f, as_tuple(args), flag("least_squares", "sparse", sparse))
    found = scipy("optimize").least_squares(value, vector.start, jac=jacobian, **options)
    found.x = vector.back(found.x)
    return found
