"""How a record is written: `@rule(name, …)` on a function of the writer and the call that returns the names of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tlean.ops import OpDef, Spec

#: A record's name -> what writes a call of it; it returns a name or several, or None where it cannot say this call.
RULES: dict[str, Callable[[Any, Call], Any]] = {}
#: What is written in its place where all operands are whole numbers or Booleans.
WHOLE: dict[str, Callable[[Any, Call], Any]] = {}
#: The records that are one ONNX operator each, which reads back as that record with the same options.
DIRECT: set[str] = set()

#: A record's name -> what writes what a call of it keeps for its gradient, where that is no program of ops.
KEEPS: dict[str, Callable[[Any, Call], str]] = {}


class Call(NamedTuple):
    """A call that is to be written: what it reads, "" where an input is absent."""

    record: OpDef
    x: tuple[str, ...]
    specs: Sequence[Spec | None]
    outs: Sequence[Spec]
    options: dict[str, Any]

    def shape(self, k: int = 0) -> tuple[int, ...]:
        """The shape of an input."""
        spec = self.specs[k]
        return () if spec is None else spec.shape

    @property
    def dtype(self) -> str:
        """The dtype of the first input."""
        return next(s.dtype for s in self.specs if s is not None)

    @property
    def out(self) -> Spec:
        """The spec of the result."""
        return self.outs[0]


def rule(*names: str, direct: bool = False) -> Callable[[Callable], Callable]:
    """Say how calls of these records are written."""

    def register(function: Callable) -> Callable:
        RULES.update(dict.fromkeys(names, function))
        if direct:
            DIRECT.update(names)
        return function

    return register
