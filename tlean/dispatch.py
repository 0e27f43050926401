"""Which backend a free function uses: the one that its argument belongs to, or, on plain arrays, a tape-less evaluation."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tlean._core import threads
from tlean._core.array import AnyTensor
from tlean._core.refs import RefBase

from .arguments import label
from .devices import context_at, cuda
from .errors import OptionError
from .interpreters.eager import EagerOps, no_grad
from .ops import all_ops, composites
from .programs.running import frame, innermost
from .rng import draw_with, program_seed


def backend_of(*arguments: Any) -> Any:
    """The innermost of the running program and those of the references among the arguments.

    Without any it is a backend that returns values: on a device where an argument is on one.
    """
    if len(arguments) == 1 and type(arguments[0]) is AnyTensor and frame() is None:
        return Values(EagerOps("float64" if _is_float64(arguments[0]) else "float32"))
    for k, a in enumerate(arguments):
        if isinstance(a, RefBase):
            return a.ops if frame() is None else innermost(a.ops, _references(arguments[k:]))  # type: ignore[attr-defined]
        if isinstance(a, list | tuple):
            for x in a:
                if isinstance(x, RefBase):
                    return innermost(x.ops, _references(arguments))  # type: ignore[attr-defined]
    if frame() is not None:
        return innermost(None)
    where = next(filter(None, map(context_at, arguments)), None)
    if where is not None:
        return Values(cuda().CudaEager(where))
    return Values(EagerOps("float64" if any(_is_float64(x) for x in arguments) else "float32"))


def _references(arguments: Any) -> Iterator[Any]:
    for a in arguments:
        if isinstance(a, list | tuple):
            yield from _references(a)
        elif isinstance(a, RefBase):
            yield a


def _is_float64(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(_is_float64(v) for v in x)
    return str(getattr(x, "dtype", "")) == "float64"


#: Ops that draw random numbers where they are given no seed.
_RANDOM = frozenset(r.name for r in all_ops() if r.random) | {name for name in composites() if name.startswith("random_")}


class Values:
    """Computes ops on plain arrays: every method returns an array, and no tape is kept."""

    def __init__(self, ops: Any) -> None:
        self._ops = ops

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ops, name)
        if name in _RANDOM:
            # Each call is a separate program.
            self._ops.session_seed = program_seed()

        def run(*arguments: Any, **options: Any) -> Any:
            # No node has the name of a value: it is checked and dropped.
            if options.get("name") is not None:
                label(name, options["name"])
            with no_grad():
                made = method(*arguments, **options)
            return tuple(r.value for r in made) if isinstance(made, tuple) else made.value

        return run


def drawn(op: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> np.ndarray:
    """What `Rng` draws: outside of any program, whichever runs.

    Args:
        op: the op's name.
        arguments, options: of the op.
    """
    return np.array(getattr(Values(EagerOps("float32")), op)(*arguments, **options))


draw_with(drawn)


def set_num_threads(n: int) -> None:
    """Use at most n threads in every kernel from now on. Results do not depend on n, bit for bit; only the time does.

    Args:
        n: at least 1.

    Raises: OptionError unless n is an int ≥ 1.
    """
    try:
        count = operator.index(n)
    except TypeError:
        raise OptionError(f"set_num_threads: n must be an int, got {n!r}") from None
    if count < 1:
        raise OptionError(f"set_num_threads: n must be at least 1, got {n!r}")
    threads.set_num_threads(count)
