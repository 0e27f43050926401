"""Kernels that are one function of C each: its text, with the numbers of the library's kernel, and what room it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .values import Value, literal
from .writer import Call, Writer, emits

Numbers = Sequence[int]


@dataclass(frozen=True)
class Function:
    """A kernel as a function of C: `name_S(results…, operands…, ints, floats, rooms…)`, of which it has those that its text names.

    Attributes:
        name: of the function, without the suffix of its dtype.
        text: its definition behind those of what it calls, or that of the dtype; see `Writer.function` for its words.
        ints: the numbers that it gets, of the kernel's; by default these.
        rooms: of the ints the scratch arrays that it gets: their dtypes ("T" is the one that it works in) and sizes.
        fails: whether it returns a status.
    """

    name: str
    text: str | Callable[[str], str]
    ints: Callable[[Numbers], Numbers] = tuple
    rooms: Callable[[Numbers], Sequence[tuple[str, int]]] | None = None
    fails: bool = False

    def __call__(self, writer: Writer, call: Call) -> list[Value]:
        """The call of the function: the values of its results."""
        outs = [writer.room(o.dtype, o.size) for o in call.outs]
        if not any(o.size for o in outs):
            return outs
        text = self.text if isinstance(self.text, str) else self.text(call.dtype)
        name = writer.function(self.name, text, call.dtype)
        head = text[text.rindex(f"{self.name}_S(") :].partition(")")[0]
        given = [o.pointer for o in outs] + ["0" if x is None else writer.dense(x).pointer for x in call.inputs]
        ints = self.ints(call.ints)
        if "*n" in head:
            given.append(f"(const int64_t[]){{{', '.join(literal(int(x), 'int64') for x in ints)}}}")
        if "*f" in head:
            given.append(f"(const double[]){{{', '.join(literal(x, 'float64') for x in call.floats)}}}")
        for dtype, size in self.rooms(ints) if self.rooms else ():
            given.append(writer.room(call.dtype if dtype == "T" else dtype, max(size, 1)).pointer)
        made = f"{name}({', '.join(given)})"
        if self.fails:
            status = writer.name("t")
            writer.add(f"const int {status} = {made};")
            writer.fail(status, status)
        else:
            writer.add(f"{made};")
        return outs


def function(*kernels: str, name: str, text: str | Callable[[str], str], **options: Any) -> Function:
    """Declare the function that kernels are; see `Function`."""
    made = Function(name, text, **options)
    emits(*kernels)(made)
    return made
