"""The program that runs: what a call records into where none of its arguments says so.

A context variable holds it while a user's function runs, with the programs around it. Other threads do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from tlean import tree
from tlean._core.refs import RefBase


class Wrapped:
    """A backend around another, `ops`, whose references it gives out."""

    ops: Any


#: (what a function was called for, the backend that its references belong to, the same of the program around it), or None.
_Frame = tuple[Any, Any, Any]
_frame: ContextVar[_Frame | None] = ContextVar("the running program", default=None)
frame = _frame.get


def run_in(program: Any, function: Callable[..., Any], args: Iterable[Any], keywords: dict[str, Any]) -> Any:
    """The function's result, with that program as the running one."""
    token = _frame.set((program, program.ops if isinstance(program, Wrapped) else program, _frame.get()))
    try:
        return function(*args, **keywords)
    finally:
        _frame.reset(token)


def run_outside(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function on arrays, which runs while a program does and is no part of it."""
    if _frame.get() is None:
        return function(*args)
    token = _frame.set(None)
    try:
        return function(*args)
    finally:
        _frame.reset(token)


def running() -> Any:
    """What the innermost running function was called for, or None."""
    found = _frame.get()
    return None if found is None else found[0]


def innermost(first: Any, others: Iterable[Any] = ()) -> Any:
    """The innermost of the running program and those of some references; None where there is no program at all.

    Args:
        first: the backend of the first reference, or None.
        others: the other references.
    """
    found = _frame.get()
    if found is None:
        return first
    own = found[1]
    if first is None or first is own or any(r.ops is own for r in others):
        return own
    # A reference of a program around the running one is captured by it.
    outer = found[2]
    while outer is not None:
        if outer[1] is first:
            return own
        outer = outer[2]
    return first


def program_among(values: Any) -> Any:
    """The program that a call with these arguments (a tree) records into, or None."""
    refs = [x for x in tree.flatten(values)[0] if isinstance(x, RefBase)]
    return innermost(refs[0].ops, refs) if refs else innermost(None)  # type: ignore[attr-defined]
