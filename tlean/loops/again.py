"""`checkpoint`: a part of a program that keeps nothing for its gradient, which computes it again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tlean._core.array import as_tensor
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself

from .bodies import called
from .choices import recorded


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose gradient computes what it needs of f once more and stores nothing of it meanwhile.

    Args:
        f: `f(*args)`, or `f(ops, *args)`, of trees. What it captures needs not be among its arguments; keywords pass through.

    Returns: a function that is one op of the program around it, for derivatives of any order. Its values have the bits of f; where a
        gradient is a sum over several uses, their order may be another.

    Example:
        >>> layer = tl.checkpoint(lambda x: tl.sin(tl.exp(x)))
        >>> round(tl.grad(lambda x: tl.sum(layer(x)))(0.0).item(), 4)
        0.5403
    """
    recorder = Recorder("checkpoint", f)

    def again(*args: Any, **keywords: Any) -> Any:
        def part(ops: Any, *xs: Any) -> Any:
            return recorder(ops, *xs, **keywords)

        def record(program: Any, *xs: Any) -> Any:
            only = backend_itself(program)._own_constant(as_tensor(0, "int64"))
            return recorded("checkpoint", [part], program, only, xs)

        return called("checkpoint", (f, part), record, *args)

    functools.update_wrapper(again, f)
    # It is called with its arguments alone, however f is.
    del again.__wrapped__  # type: ignore[attr-defined]
    return again


#: The other name that programs use for it.
remat = checkpoint
