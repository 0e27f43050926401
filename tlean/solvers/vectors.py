"""What the solvers share: unknowns as one vector, dot products, and what a solver returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tlean.functions as F

from .. import tree
from ..arguments.literals import FloatName
from ..dtypes import FLOATS
from ..errors import DTypeError, OptionError
from ..loops.bodies import called, leaf
from ..programs.recorder import Recorder
from ..programs.running import backend_itself
from ..stats.values import floats


class Solution(NamedTuple):
    """What a solver returns: where it ended and how.

    Attributes:
        x: the solution, of the structure of the first guess.
        value: of what was minimised; of an equation the norm of its residual.
        steps: how many steps were taken, int64.
        converged: whether the tolerance was met, Boolean.
    """

    x: Any
    value: Any
    steps: Any
    converged: Any


class Layout:
    """A tree of arrays as one vector.

    Args:
        structure: of the tree.
        shapes: of its leaves.
    """

    def __init__(self, structure: tree.Structure, shapes: Any) -> None:
        self.structure = structure
        self.shapes: list[tuple[Any, ...]] = [tuple(s) for s in shapes]

    def tree(self, vector: Any) -> Any:
        """The tree of a vector."""
        leaves, start = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            whole = start == 0 and len(self.shapes) == 1
            part = vector if whole else vector[start : start + size]
            leaves.append(part if shape == (size,) else F.reshape(part, shape))
            start += size
        return tree.unflatten(self.structure, leaves)

    def function(self, f: Callable[..., Any], args: tuple[Any, ...], vectors: bool = False) -> Callable[[Any], Any]:
        """f of a vector.

        Args:
            f: of the tree, and further arguments.
            args: these.
            vectors: whether its results are made one vector.
        """

        def of_vector(x: Any) -> Any:
            made = f(self.tree(x), *args)
            return flat(tree.flatten(made)[0]) if vectors else made

        return of_vector


class Unknowns(Layout):
    """A tree of unknowns as one vector, and back.

    Args:
        name: of the solver, for messages.
        program: the running one.
        guess: the tree; plain numbers in it take the dtype of its arrays and of those beside it.
        beside: a tree of further arguments.

    Raises: DTypeError for a leaf that is not of floats; OptionError for a tree without leaves.
    """

    def __init__(self, name: str, program: Any, guess: Any, beside: Any = None) -> None:
        leaves, structure = tree.flatten(guess)
        if not leaves:
            raise OptionError(f"{name}: there must be an unknown, got {guess!r}")
        wrong = [str(x.dtype) for x in leaves if hasattr(x, "dtype") and str(x.dtype) not in FLOATS]
        if wrong:
            raise DTypeError(f"{name}: unknowns must be floats, got {', '.join(wrong)}")
        others = [x for x in tree.flatten(beside)[0] if str(getattr(x, "dtype", "")) in FLOATS]
        ops = backend_itself(program)
        leaves = [leaf(ops, x) for x in floats(*leaves, *others)[: len(leaves)]]
        self.dtype: FloatName = "float64" if str(leaves[0].dtype) == "float64" else "float32"
        super().__init__(structure, [x.shape for x in leaves])
        self.vector: Any = flat(leaves)


def flat(leaves: Any) -> Any:
    """Arrays as one vector.

    Args:
        leaves: a list of them.
    """
    parts = [x if len(x.shape) == 1 else F.reshape(x, (-1,)) for x in floats(*leaves)]
    return parts[0] if len(parts) == 1 else F.concat(parts)


def dot(a: Any, b: Any) -> Any:
    """The sum of products of two vectors."""
    return F.sum(a * b)


def largest(x: Any) -> Any:
    """The largest absolute value."""
    return F.max(F.abs(x))


def tolerance(name: str, tol: Any, dtype: str, usual: tuple[float, float]) -> float:
    """A tolerance as it was given, or the usual one.

    Args:
        name: of the solver, for messages.
        tol: as given.
        dtype: of the unknowns.
        usual: that of float32 and of float64.

    Raises: OptionError unless it is a positive number.
    """
    value = usual[dtype == "float64"] if tol is None else tol
    if not (isinstance(value, int | float) and value > 0):
        raise OptionError(f"{name}: tol must be a positive number, got {tol!r}")
    return float(value)


def solved(name: str, functions: tuple[Any, ...], body: Callable[..., Any], *args: Any) -> Any:
    """The results of a solver: recorded into the running program or that of its arguments, or computed where there is none.

    Args:
        name: of the solver.
        functions: the user's, for what they name of a program.
        body: `body(program, *args)`, in which free functions record into that program.
        args: trees.
    """

    for f in functions:
        if not callable(f):
            raise OptionError(f"{name}: f must be a function, got {type(f).__name__}")

    def record(program: Any, *given: Any) -> Any:
        return Recorder(name, lambda *xs: body(program, *xs))(program, *given)

    return called(name, functions, record, *args)
