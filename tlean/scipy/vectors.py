"""Programs of trees as functions of SciPy's vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlean import tree
from tlean.errors import DTypeError, OptionError
from tlean.programs.jit import jit
from tlean.solvers.vectors import Layout, flat


class Vector(Layout):
    """A first guess as SciPy's vector of float64.

    Args:
        name: of the function, for messages.
        guess: a tree of numbers and arrays.

    Raises: DTypeError for what is no array of numbers; OptionError for a tree without leaves.
    """

    def __init__(self, name: str, guess: Any) -> None:
        leaves, structure = tree.flatten(guess)
        if not leaves:
            raise OptionError(f"{name}: there must be an unknown, got {guess!r}")
        try:
            arrays = [np.asarray(x, dtype=np.float64) for x in leaves]
        except (TypeError, ValueError):
            raise DTypeError(f"{name}: unknowns must be numbers, got {guess!r}") from None
        super().__init__(structure, [a.shape for a in arrays])
        self.start: np.ndarray = np.concatenate([a.reshape(-1) for a in arrays])

    def back(self, x: Any) -> Any:
        """A vector of SciPy as a tree of NumPy's arrays."""
        leaves, start = [], 0
        for shape in self.shapes:
            size = int(np.prod(shape, dtype=int))
            leaves.append(np.array(x[start : start + size]).reshape(shape))
            start += size
        return tree.unflatten(self.structure, leaves)

    def scalar(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """f as a program of a vector."""
        return lambda x, *args: f(self.tree(x), *args)

    def vectors(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """f as a program from a vector to a vector."""
        return lambda x, *args: flat(tree.flatten(f(self.tree(x), *args))[0])


def called(program: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """A compiled program whose results are NumPy's.

    Args:
        program: of arrays.
    """
    run = jit(program)
    return lambda *xs: np.array(run(*xs))


def as_tuple(args: Any) -> tuple[Any, ...]:
    """SciPy's `args`: a tuple, or one argument."""
    return args if isinstance(args, tuple) else (args,)
