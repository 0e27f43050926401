"""Linear systems with derivatives whose matrix is known by its products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tlean.functions as F

from .. import tree
from ..arguments import function, whole
from ..errors import OptionError
from ..implicit import custom_root
from .linear import cg
from .vectors import Unknowns, flat, solved, tolerance


def custom_linear_solve(product: Callable[[Any], Any], b: Any, solve: Callable[..., Any]) -> Any:
    """x with product(x) = b, by any solver: the derivative solves with the same matrix, or with its transpose.

    The result has derivatives, of any order and in both modes, in b and in all that `product` captures.

    Args:
        product: a linear function of trees like b.
        b: the right-hand side, a tree.
        solve: `solve(f, b)` returns x with f(x) = b, f being `product`, or in reverse mode its transpose; it captures no reference.

    Raises: ShapeError, DTypeError where x or product(x) is not like b.

    Example:
        >>> a = np.array([[2.0, 1.0], [0.0, 4.0]])
        >>> tl.linalg.custom_linear_solve(lambda x: a @ x, np.array([4.0, 8.0]), lambda f, b: tl.linalg.solve(tl.jacfwd(f)(b), b)).tolist()
        [1.0, 2.0]
    """

    def record(program: Any, b: Any) -> Any:
        def equation(x: Any) -> Any:
            return tree.map(lambda p, q: p - q, product(x), b)

        return custom_root(equation, tree.map(F.zeros_like, b), lambda _, x: solve(product, b), solve)

    function("custom_linear_solve", "solve", solve)
    return solved("custom_linear_solve", (product,), record, b)


def conjugate_gradient(
    product: Any,
    b: Any,
    x0: Any = None,
    tol: float | None = None,
    max_steps: int | None = None,
    preconditioner: Callable[[Any], Any] | None = None,
) -> Any:
    """x with A x = b for a symmetric positive definite A, by conjugate gradients: one compiled program.

    The derivative solves with A again; x has derivatives, of any order and in both modes, in b and in all that `product` captures.

    Args:
        product: A times a tree like b, a function; or A as a matrix, dense or `tl.sparse.CSR`.
        b: the right-hand side, a tree.
        x0: the first guess; None is 0.
        tol: the norm of b − A x, as a share of that of b; None is 1e-10, in float32 1e-5.
        max_steps: the most steps; None is ten times the number of unknowns.
        preconditioner: times a tree: about the inverse of A, symmetric and positive definite too.

    Raises: OptionError for an option that is none of these.

    Example:
        >>> tl.linalg.conjugate_gradient(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([4.0, 7.0])).tolist()
        [1.0, 2.0]
    """
    if not callable(product) and not hasattr(product, "shape"):
        raise OptionError(f"conjugate_gradient: product must be a function or a matrix, got {type(product).__name__}")
    if preconditioner is not None and not callable(preconditioner):
        raise OptionError(f"conjugate_gradient: preconditioner must be a function, got {type(preconditioner).__name__}")
    times = product if callable(product) else lambda x: product @ x
    if max_steps is not None:
        whole("conjugate_gradient: max_steps", max_steps, 1)

    def record(program: Any, b: Any, x0: Any, matrix: Any) -> Any:
        by = times if callable(product) else lambda x: matrix @ x
        unknowns = Unknowns("conjugate_gradient", program, b)
        enough = tolerance("conjugate_gradient", tol, unknowns.dtype, (1e-5, 1e-10))
        right = unknowns.vector
        most = max_steps or 10 * int(right.shape[0])
        near = None if preconditioner is None else unknowns.function(preconditioner, (), vectors=True)

        def solve(f: Callable[[Any], Any], y: Any) -> Any:
            return cg(f, y, F.zeros_like(y), enough, most, near)[0]

        def search(_: Any, x: Any) -> Any:
            return cg(whole_product, right, x, enough, most, near)[0]

        whole_product = unknowns.function(by, (), vectors=True)
        guess = F.zeros_like(right) if x0 is None else flat(tree.flatten(x0)[0])
        x = custom_root(lambda x: whole_product(x) - right, guess, search, solve)
        return unknowns.tree(x)

    functions = tuple(f for f in (product, preconditioner) if callable(f))
    return solved("conjugate_gradient", functions, record, b, x0, None if callable(product) else product)
