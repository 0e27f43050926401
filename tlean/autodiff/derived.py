"""Programs made from programs, and what transformations share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.refs import RefBase
from tlean.compiler.graph import Graph, GraphRef
from tlean.errors import OptionError, ShapeError
from tlean.programs.jit import Compiled
from tlean.programs.recorder import Recorder


class DerivedProgram(Compiled):
    """A program made from another: `g(*xs)` runs it, `g(ops, *xs)` records it, as does any call with references, or while a program runs.

    Args:
        record: `record(graph, *args)` records it.
        recorder: of the user's function that it was made from. What that captures is looked at before each call.
        made_by: the call that made it, (function, arguments): what a copy or a pickle calls again.
        program: where there is no recorder, what is looked at before each call.
    """

    __name__: str

    def __init__(
        self,
        name: str,
        record: Callable[..., Any],
        backend: str,
        recorder: Recorder | None = None,
        seed: int | None = None,
        made_by: Any = None,
        program: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(backend, str) or backend not in ("compiled", "eager"):
            raise OptionError(f"{name}: backend must be 'compiled' or 'eager', got {backend!r}")
        # Without the program nothing says what it captures: such a plan runs once.
        program = recorder.__wrapped__ if recorder is not None else program
        super().__init__(record, seed, program=program, kept=backend == "compiled" and program is not None)
        self._name = self.__name__ = name
        self._recorder = recorder
        self._made_by = made_by

    def __reduce__(self) -> Any:
        if self._made_by is None:
            raise OptionError(f"{self.__name__}: this program belongs to a value that was computed here, and is not copied")
        return self._made_by

    def __repr__(self) -> str:
        return f"<{self.__name__} of {'a program' if self._recorder is None else self._recorder.convention()}>"


def variables(graph: Graph, xs: Any) -> Any:
    """The arguments, each under its own identity, so that a reference f finds elsewhere stays a constant of this differentiation."""
    return tree.map(lambda r: graph._variable(r) if isinstance(r, GraphRef) and r.dtype.startswith("float") else r, xs)


def scalar_of(name: str, graph: Graph, y: Any) -> GraphRef:
    """The result of a scalar program, as a reference of the graph. Raises: OptionError, ShapeError."""
    if not isinstance(y, RefBase):
        more = "; has_aux=True is for programs that return (scalar, aux)" if isinstance(y, tuple) else ""
        raise OptionError(f"{name}: the program returns a reference, got {type(y).__name__}{more}")
    (y,) = results_of(graph, [y])
    if y.shape != ():
        raise ShapeError(f"{name}: the program returns a scalar, got shape {tuple(y.shape)}")
    return y


def results_of(graph: Graph, leaves: Sequence[Any]) -> list[GraphRef]:
    """What a program returned, as references of the graph: also numbers, and references of the enclosing program that it only hands on."""
    return [graph.ref(r) for r in leaves]  # type: ignore[misc]


def checked_argnums(name: str, argnums: Any) -> tuple[int, ...]:
    """The numbers of arguments as a tuple of ints. Raises: OptionError."""
    numbers = argnums if isinstance(argnums, tuple | list) else (argnums,)
    try:
        return tuple(operator.index(k) for k in numbers)
    except TypeError:
        raise OptionError(f"{name}: argnums must be an int or a tuple of ints, got {argnums!r}") from None


def selected(name: str, args: Sequence[Any], argnums: Any) -> tuple[int, ...]:
    """The numbers of arguments, counted from 0. Raises: OptionError for one that the program does not have."""
    picked = checked_argnums(name, argnums)
    for k in picked:
        if not -len(args) <= k < len(args):
            raise OptionError(f"{name}: argnums names argument {k}, the program has {len(args)} by position")
    return tuple(k % len(args) for k in picked)


def is_one(argnums: Any) -> bool:
    """Whether these are one number, not several."""
    return not isinstance(argnums, tuple | list)
