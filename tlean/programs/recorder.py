"""How a user's function is called: with the program that it records into first, or with its arguments alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tlean.errors import CallError, OptionError

from .running import run_in

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
#: What an annotation by name may be.
_OPS = frozenset(("Ops", "tl.Ops", "tlean.Ops"))


class Recorder:
    """Records a user's function into a program, `recorder(program, *args, **keywords)`, as the running one.

    The function is called with the program first iff its first positional parameter is named `ops` or annotated `Ops`, or it takes one
    argument more than a call has and cannot be called with these alone. That is decided once, by the first call at the latest.

    Args:
        name: of the transformation, for messages.
        function: the user's.

    Raises: OptionError for something that cannot be called; when called, CallError for arguments that the function does not take.
    """

    def __init__(self, name: str, function: Any) -> None:
        if not callable(function):
            raise OptionError(f"{name}: a program must be a function f(*xs) or f(ops, *xs), got {type(function).__name__}")
        self.name = name
        self.__wrapped__ = function
        self._own = self._signature = _signature(function, follow=False)
        if self._own is not None and _takes_anything(self._own):
            # A decorator's: what it decorates says more. Another may add arguments, or take some away.
            self._signature = _signature(function, follow=True)
        # The numbers of arguments without keywords that were looked at.
        self._accepted: set[int] = set()
        # Whether it takes the program first for want of an argument; that may be a mistake.
        self._by_count = False
        #: Whether the function takes the program first; None until a call decides it.
        self.with_ops: bool | None = False if self._signature is None else True if _names_ops(self._signature) else None

    def __call__(self, program: Any, *args: Any, **keywords: Any) -> Any:
        if keywords or len(args) not in self._accepted:
            self._accept(len(args), keywords)
        if not self._by_count:
            return run_in(program, self.__wrapped__, args, keywords, self.with_ops)
        try:
            return run_in(program, self.__wrapped__, args, keywords, True)
        except Exception as error:
            error.add_note(f"{self.name}: {self.shown()} takes one argument more than the call has, so the first was the program (ops)")
            raise

    def __reduce__(self) -> Any:
        return Recorder, (self.name, self.__wrapped__)

    def _accept(self, count: int, keywords: Mapping[str, Any]) -> None:
        self._decide(count, keywords)
        refusal = self._refusal(count + bool(self.with_ops), keywords)
        if refusal is not None and self._own is self._signature:
            raise CallError(f"{self.name}: {self.shown()} does not take these arguments: {refusal}")
        if not keywords:
            self._accepted.add(count)

    def _decide(self, count: int, keywords: Mapping[str, Any]) -> None:
        if self.with_ops is None:
            self._by_count = self._refusal(count, keywords) is not None and self._refusal(count + 1, keywords) is None
            self.with_ops = self._by_count

    def _refusal(self, count: int, keywords: Mapping[str, Any]) -> str | None:
        # What Python would say of a call with so many arguments, or None.
        if self._signature is None:
            return None
        try:
            self._signature.bind(*[None] * count, **keywords)
        except TypeError as error:
            return str(error)
        return None

    def accepts(self, count: int) -> bool:
        """Whether the function takes so many arguments, as far as that is known."""
        return self._refusal(count + bool(self.with_ops), {}) is None

    def positional(self, count: int, keywords: Mapping[str, Any]) -> list[str]:
        """The names of the parameters that take a call's arguments by position; empty where they are not known.

        Args:
            count: how many arguments the call has.
            keywords: its keyword arguments.
        """
        self._decide(count, keywords)
        parameters = () if self._signature is None else self._signature.parameters.values()
        return [p.name for p in parameters if p.kind in _POSITIONAL][bool(self.with_ops) :]

    def takes(self, name: str) -> bool:
        """Whether the function may have a parameter of that name."""
        if self._signature is None:
            return True
        return name in self._signature.parameters or any(p.kind is p.VAR_KEYWORD for p in self._signature.parameters.values())

    def shown(self) -> str:
        """The function with the names of its parameters, for messages."""
        name = name_of(self.__wrapped__)
        return name if self._signature is None else f"{name}({', '.join(map(_shown, self._signature.parameters.values()))})"

    def convention(self) -> str:
        """The function's name and how it is called, for `repr`."""
        how = {None: "", True: ", called with ops", False: ", a plain function"}[self.with_ops]
        return f"{name_of(self.__wrapped__)}{how}"


@functools.lru_cache(maxsize=1024)
def method_takes_ops(method: Callable[..., Any], count: int, keywords: tuple[str, ...]) -> bool:
    """Whether a class's method takes the program after `self`, in a call with so many arguments and these keyword arguments."""
    recorder = Recorder(name_of(method), functools.partial(method, None))
    recorder.positional(count, dict.fromkeys(keywords))
    return bool(recorder.with_ops)


def name_of(function: Any) -> str:
    """A function's name, or its type's."""
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _signature(function: Any, follow: bool) -> inspect.Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=follow)
    except (TypeError, ValueError):
        return None


def _names_ops(signature: inspect.Signature) -> bool:
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.kind not in _POSITIONAL:
        return False
    return first.name == "ops" or _is_ops(first.annotation)


def _is_ops(annotation: Any) -> bool:
    # By name, or the class itself: the manual of the ops is loaded where a program names it.
    if isinstance(annotation, str):
        return annotation in _OPS
    return getattr(annotation, "__name__", "") == "Ops" and getattr(annotation, "__module__", "") == "tlean.ops.protocol"


def _takes_anything(signature: inspect.Signature) -> bool:
    return [p.kind for p in signature.parameters.values()][:1] == [inspect.Parameter.VAR_POSITIONAL]


def _shown(p: inspect.Parameter) -> str:
    stars = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
    return stars + p.name
