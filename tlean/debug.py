"""Looking into programs while they run: printing, calls into Python, checks of numbers.

What a program names first runs first; where a transformation joins loops, those of a loop may come later. They run in compiled programs, in
loops and, once for each example, under `vmap`; they have no derivative and change no value.
"""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean._core.array import as_tensor
from tlean._core.plan.callback import user_line
from tlean._core.refs import RefBase
from tlean.compiler.graph import Graph, GraphRef
from tlean.errors import NumericsError, OptionError
from tlean.interpreters.dual import DualRef
from tlean.ops import Spec
from tlean.ops.registry import no_gradient, no_tangent
from tlean.ops.unregistered import host_op
from tlean.programs.captured import is_array
from tlean.programs.running import backend_itself, innermost_among, run_outside

_numbers = itertools.count()


def print(fmt: str, *args: Any, **named: Any) -> None:
    """Print numbers of a program when it runs.

    Args:
        fmt: a format string, as for `str.format`.
        args, named: references and arrays, formatted as NumPy arrays, those of one number as that number; all else as it is.

    Raises: OptionError if `fmt` is no string.

    Example:
        >>> f = tl.jit(lambda x: (tl.debug.print("x = {:.1f}, {what}", tl.sum(x), what="summed"), x * 2.0)[1])
        >>> f(np.array([1.0, 2.0])).tolist()
        x = 3.0, summed
        [2.0, 4.0]
    """
    if not isinstance(fmt, str):
        raise OptionError(f"debug.print: fmt must be a string, got {type(fmt).__name__}")

    def show(*args: Any, **named: Any) -> None:
        shown = [_plain(a) for a in args]
        builtins.print(fmt.format(*shown, **{k: _plain(v) for k, v in named.items()}))

    _effect("print", show, args, named)


def callback(f: Callable[..., Any], *args: Any, **named: Any) -> None:
    """Call a Python function with numbers of a program when it runs; what it returns is dropped.

    Args:
        f: `f(*args, **named)`; what it raises reaches the caller of the program.
        args, named: references and arrays, handed over as NumPy arrays, read-only; all else as it is.

    Raises: OptionError if `f` is no function.

    Example:
        >>> seen = []
        >>> tl.jit(lambda x: (tl.debug.callback(seen.append, tl.sum(x)), x)[1])(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
        >>> seen[0].item()
        3.0
    """
    if not callable(f):
        raise OptionError(f"debug.callback: f must be a function, got {type(f).__name__}")
    _effect("callback", f, args, named)


def check_finite(*xs: Any, name: str | None = None) -> None:
    """Raise an error when the program runs and a number is infinite or no number.

    Args:
        xs: references and arrays.
        name: what they are, for the message.

    Raises: NumericsError, which names the line of the program that asked, and where the first such number is.

    Example:
        >>> tl.debug.check_finite(np.array([1.0, 2.0]))
    """
    line = user_line()
    where = "" if line is None else f" ({line[0]}:{line[1]})"

    def check(*xs: Any) -> None:
        for k, x in enumerate(xs):
            bad = np.argwhere(~np.isfinite(x))
            if len(bad):
                what = name or (f"argument {k}" if len(xs) > 1 else "the argument")
                place = tuple(int(i) for i in bad[0])
                raise NumericsError(
                    f"debug.check_finite: {what} must be finite, got {len(bad)} of {x.size} numbers that are not, the first {x[place]}"
                    f" at {place}{where}"
                )

    _effect("check_finite", check, xs, {})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _primal(value: Any) -> Any:
    return _primal(value.primal) if isinstance(value, DualRef) else value


def _effect(name: str, function: Callable[..., Any], args: Sequence[Any], named: dict[str, Any]) -> None:
    given = [_primal(a) for a in (*args, *named.values())]
    ops = backend_itself(innermost_among(given))
    places = [k for k, a in enumerate(given) if isinstance(a, RefBase) or is_array(a)]

    def call(arrays: Sequence[np.ndarray]) -> None:
        whole = list(given)
        for k, a in zip(places, arrays, strict=True):
            whole[k] = a
        run_outside(lambda: function(*whole[: len(args)], **dict(zip(named, whole[len(args) :], strict=True))))

    if not isinstance(ops, Graph):
        call([np.asarray(a.value if isinstance(a, RefBase) else as_tensor(a)) for a in (given[k] for k in places)])
        return

    def host(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        call(ins)
        if outs[0] is not None:
            outs[0][...] = 0

    refs = [ops.ref(given[k]) for k in places]
    specs = [(tuple(r.shape), str(r.dtype)) for r in refs if isinstance(r, GraphRef)]
    # Each call is a record of one name, so that none is taken for another.
    record = host_op(f"debug.{name} #{next(_numbers)}", host, specs, [Spec((), "int64")], no_gradient, no_tangent, effects=True)
    ops._record(record, [None if r is None else r.id for r in refs], {})


__all__ = ["callback", "check_finite", "print"]
