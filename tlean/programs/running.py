"""The program that runs: what a call records into where none of its arguments says so.

A context variable holds it while a user's function runs, with the programs around it. Each function runs in a copy of its caller's context:
leaving that cannot fail and cannot be interrupted, so no program stays behind. Other threads do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, copy_context
from typing import Any

from tlean import tree
from tlean._core.refs import RefBase, count_body, install_capture


class Wrapped:
    """A backend around another, `ops`, whose references it gives out: there a parameter means its value in the program."""

    ops: Any

    def value(self, p: Any) -> Any:
        """The reference that a parameter means.

        Args:
            p: the parameter.

        Raises: NodeError if it means none.
        """
        raise NotImplementedError


#: (what a function was called for, the backend that its references belong to, the frame of the program around it), or None.
_Frame = tuple[Any, Any, Any]
_frame: ContextVar[_Frame | None] = ContextVar("the running program", default=None)
frame: Any
frame, _enter = _frame.get, _frame.set


def run_in(program: Any, function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any], first: bool | None) -> Any:
    """The function's result, with that program as the running one.

    Args:
        program: what the function records into.
        function: the user's.
        args, keywords: of the call.
        first: whether the program is its first argument.
    """
    outer = frame()
    own = program.ops if isinstance(program, Wrapped) else program
    if outer is not None and outer[1] is own and program is own:
        # A transformation inside a layer: the layer's parameters mean what they do around it.
        program = outer[0]
    if not hasattr(own, "around"):
        return copy_context().run(_entered, (program, own, outer), function, args, keywords, first)
    count_body(1)
    try:
        return copy_context().run(_entered, (program, own, outer), function, args, keywords, first)
    finally:
        count_body(-1)


def _entered(
    found: _Frame | None, function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any], first: bool | None
) -> Any:
    _enter(found)
    return function(found[0], *args, **keywords) if first and found is not None else function(*args, **keywords)


def run_outside(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function on arrays, which runs while a program does and is no part of it."""
    return function(*args) if frame() is None else copy_context().run(_entered, None, function, args, {}, False)


def innermost(first: Any, others: Iterable[Any] = ()) -> Any:
    """The innermost of the running program and those of some references; None where there is no program at all.

    Args:
        first: the backend of the first reference, or None.
        others: the other references.
    """
    found = frame()
    if found is None:
        return first
    program, own, outer = found
    if first is None or first is own or any(r.ops is own for r in others):
        return program
    # A reference of a program around the running one is captured by it. A loop's body knows the program around it by itself: sessions and
    # tapes run no function.
    while not encloses(own, first):
        if outer is None:
            return first
        own, outer = outer[1], outer[2]
        if own is first:
            break
    return program


def encloses(body: Any, program: Any) -> bool:
    """Whether the one is a loop's body inside the other.

    Args:
        body: a backend.
        program: another.
    """
    inside = getattr(body, "encloses", None)
    return inside is not None and inside(program)


def captured(ref: Any) -> Any:
    """A reference as the loop's body that runs knows it; as it is where no body runs inside its program.

    Args:
        ref: any reference.
    """
    running = found = frame()
    while found is not None and found[1] is not ref.ops:
        if encloses(found[1], ref.ops):
            return running[1].ref(ref)
        found = found[2]
    return ref


install_capture(captured)


def innermost_among(values: Any) -> Any:
    """The program that a call with these arguments (a tree) records into, or None. It may be `Wrapped`."""
    refs = [x for x in tree.flatten(values)[0] if isinstance(x, RefBase)]
    return innermost(refs[0].ops, refs) if refs else innermost(None)  # type: ignore[attr-defined]


def backend_itself(program: Any) -> Any:
    """What a program's references belong to."""
    return program.ops if isinstance(program, Wrapped) else program
