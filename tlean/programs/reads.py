"""What a function's code reads, from its instructions: names that it does not make itself, with the attributes that it reads of them.

And whose code, and whose objects, need no look.
"""

from __future__ import annotations

import dis
import functools
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

#: Replaces an attribute where code asks only which object it has, or writes to it.
IDENTITY = "is"
#: Instructions that neither read nor end a chain of attributes.
_SILENT = frozenset(("EXTENDED_ARG", "CACHE", "PUSH_NULL", "PRECALL", "NOP", "COPY", "NOT_TAKEN"))

#: Code of these is taken to stay as it is.
_FIXED_ROOTS = frozenset((*sys.stdlib_module_names, "tlean", "numpy", "scipy"))
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


def is_fixed(module: str | None, path: str | None = None) -> bool:
    """Whether code of that module is taken to stay as it is: the standard library, NumPy, tlean, installed packages."""
    root = (module or "").partition(".")[0]
    if root in _FIXED_ROOTS:
        return True
    if path is None:
        path = getattr(sys.modules.get(module or ""), "__file__", None)
    return path is not None and any(part in path for part in _INSTALLED)


def holds_values(kind: type[Any]) -> bool:
    """Whether a library's class is there to hold what users put in: containers and namespaces. Loggers, locks, generators are not."""
    return issubclass(kind, Mapping | Sequence | Set | types.SimpleNamespace) or kind.__name__ == "Namespace"


@functools.lru_cache(maxsize=4096)
def reads(code: types.CodeType) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The names that code reads and does not make itself, with the attributes read of each in turn: once per place in the code.

    The first parameter counts too: it may be `self`.
    """
    own = {*code.co_varnames, *code.co_cellvars} - set(code.co_freevars)
    first = code.co_varnames[0] if code.co_argcount else None
    found: list[tuple[str, tuple[str, ...]]] = []
    name: str | None = None
    attributes: tuple[str, ...] = ()
    steps = [s for s in dis.get_instructions(code) if s.opname not in _SILENT]
    for k, step in enumerate(steps):
        kind = step.opname
        if name is not None:
            if kind in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes += (step.argval,)
                continue
            if kind.endswith("_NONE") or kind in ("IS_OP", "STORE_ATTR", "DELETE_ATTR") or _compares_with_none(steps, k):
                attributes += (IDENTITY,)
            found.append((name, attributes))
        name, attributes = None, ()
        if kind in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"):
            name = step.argval if step.argval not in own or step.argval == first else None
        elif kind.startswith("LOAD_FAST"):
            # Some versions load two variables at once; the attribute is then of the second.
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            found += [(n, ()) for n in names[:-1] if n == first]
            name = first if names[-1] == first else None
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            theirs = inner.co_varnames[0] if inner.co_argcount else None
            found += [(n, a) for n, a in reads(inner) if (n not in own or n == first) and n != theirs]
    return tuple(found)


def _compares_with_none(steps: Sequence[dis.Instruction], k: int) -> bool:
    return steps[k].opname == "LOAD_CONST" and steps[k].argval is None and k + 1 < len(steps) and steps[k + 1].opname == "IS_OP"


def is_empty(cell: Any) -> bool:
    """Whether a cell of a closure holds nothing yet."""
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def defaults(f: Callable[..., Any]) -> list[tuple[str, Any]]:
    """The arguments of a function that have defaults, with these."""
    values = f.__defaults__ or ()  # type: ignore[attr-defined]
    names = f.__code__.co_varnames[: f.__code__.co_argcount]  # type: ignore[attr-defined]
    return list(zip(names[len(names) - len(values) :], values, strict=True))
