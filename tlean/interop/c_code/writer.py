"""Writing a graph as C: statements, places in memory, values by their numbers. What an op is in C is said by the modules of its family."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tlean.compiler.graph import Graph, GraphNode
from tlean.compiler.loops.branch import Switch
from tlean.compiler.loops.scan import Scan
from tlean.compiler.loops.whiles import While
from tlean.compiler.passes.expand import with_kernels
from tlean.compiler.passes.fold import fold
from tlean.compiler.passes.merge import merged
from tlean.compiler.passes.stretch import stretched
from tlean.compiler.target import Target, works_in
from tlean.dtypes import FLOATS, SUFFIX
from tlean.errors import OptionError
from tlean.ops import OpDef
from tlean.ops.elementwise import FORMULAS
from tlean.ops.integers.forms import INTEGER_FORMULAS
from tlean.ops.layout import CONVERSIONS

from .values import C_TYPES, Value, common_axes, in_memory, literal

#: Arrays of up to so many elements are a variable for each element.
SMALL = 32

_NAME = re.compile(r"[a-z]+\d\w*")
_DECLARED = re.compile(r"\s*(?:const )?\w+ \*?([vp]\d\w*)(?: = [^;]*;(?: \1 = [^;]*;)*|; \{ .*\})$")

#: What the call of a loop is written by.
LOOP = "loop"
#: What writes the call of a kernel: (writer, call) -> its outputs.
EMITTERS: dict[str, Callable[[Writer, Call], Sequence[Value]]] = {}


def emits(*kernels: str) -> Callable[[Any], Any]:
    """Declare what writes the calls of these kernels."""

    def register(function: Any) -> Any:
        EMITTERS.update(dict.fromkeys(kernels, function))
        return function

    return register


class Call(NamedTuple):
    """A call of a kernel: what it reads, its numbers, the dtype that it works in, and the specs of what it makes, which of that is read."""

    node: GraphNode
    inputs: tuple[Any, ...]
    ints: tuple[int, ...]
    floats: tuple[float, ...]
    dtype: str
    outs: tuple[Any, ...]
    read: tuple[bool, ...]

    @property
    def suffix(self) -> str:
        """The dtype as names of functions end."""
        return SUFFIX[self.dtype]


class CTarget(Target):
    """C as a target: the ops that can be written are those with a kernel."""

    title = "C"

    def has_kernel(self, record: OpDef, dtype: str) -> bool:
        # What has no other form is refused later, all of it at once.
        return record.loop is not None or record.rules.decompose is None or written(record, dtype)


C = CTarget()


def written(record: OpDef, dtype: str) -> bool:
    """Whether a call can be written as it is."""
    if record.view or record.loop is not None or (record.host is None and record.kernel in EMITTERS):
        return True
    if record.host is not None:
        return False
    if converts(record):
        return True
    return of_integers(record, dtype) or record.kernel in FORMULAS


def of_integers(record: OpDef, dtype: str) -> bool:
    """Whether an op that works in that dtype is a formula of integers."""
    return dtype not in FLOATS and record.name in INTEGER_FORMULAS


def converts(record: OpDef) -> bool:
    """Whether an op only gives elements another dtype."""
    return record.name in CONVERSIONS


def prepared(graph: Graph) -> Graph:
    """The program in ops that are written."""
    try:
        return fold(merged(stretched(with_kernels(graph, C))))
    except KeyError:
        # What the derivative reads beside the result is made by the kernel alone.
        names = {n.record.name for n in graph.nodes if n.record.residuals and not written(n.record, works_in(graph, n))}
        raise OptionError(f"export_c: no C is written for {', '.join(sorted(names))}") from None


def refused(graph: Graph) -> set[str]:
    """The names of the ops of a prepared program, and of its loops, that cannot be written."""
    names = set()
    for node in graph.nodes:
        loop = node.record.loop
        if loop is None:
            if not written(node.record, works_in(graph, node)):
                names.add(node.record.name)
        elif isinstance(loop, Scan | While | Switch):
            for body in loop.bodies:
                names |= refused(prepared(body))
        else:
            names.add(f"the gradient of {loop.title} without a bound on its steps" if loop.title == "while_loop" else loop.title)
    return names


class Writer:
    """The body of a C function, and what it needs beside it.

    Args:
        most: up to how many elements an array is unrolled.
        table: what the names of constant arrays begin with.
    """

    def __init__(self, most: int = SMALL, table: str = "c") -> None:
        self.most, self.table = most, table
        self.lines: list[str] = []
        #: Members of the scratch structure, and constant arrays of the file.
        self.members: list[str] = []
        self.constants: list[str] = []
        #: Helper functions, by name.
        self.helpers: dict[str, str] = {}
        self._count = 0
        self._depth = 1
        self._known: dict[tuple[str, bytes], str] = {}

    # Statements -----------------------------------------------------------------------------------------------------------

    def name(self, letter: str = "v") -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{letter}{self._count}"

    def add(self, *lines: str) -> None:
        """Statements, one a line."""
        self.lines += ["    " * self._depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Statements in braces behind a head, `for (…)` say."""
        self.add(f"{head} {{".lstrip())
        self._depth += 1
        yield
        self._depth -= 1
        self.add("}")

    @contextmanager
    def loops(self, sizes: Sequence[int]) -> Iterator[list[str]]:
        """Nested loops; gives the names of their numbers. A loop of one turn is none."""
        names = ["0" if n == 1 else self.name("i") for n in sizes]
        heads = [f"for (int64_t {i} = 0; {i} < {n}; {i}++) {{" for i, n in zip(names, sizes, strict=True) if n != 1]
        for head in heads:
            self.add(head)
            self._depth += 1
        yield names
        for _ in heads:
            self._depth -= 1
            self.add("}")

    # Places ---------------------------------------------------------------------------------------------------------------

    def room(self, dtype: str, size: int) -> Value:
        """New memory for an array: of the function for a small one, else of the scratch structure."""
        name, ctype = self.name("a"), C_TYPES[dtype]
        if size <= self.most:
            self.add(f"{ctype} {name}[{max(size, 1)}];")
            return in_memory(dtype, size, name)
        self.members.append(f"{ctype} {name}[{size}];")
        return in_memory(dtype, size, f"s->{name}")

    def variables(self, dtype: str, values: Sequence[str], constant: bool = True) -> Value:
        """A variable for each of these expressions."""
        name = self.name()
        ctype = f"{'const ' if constant else ''}{C_TYPES[dtype]}"
        elements = tuple([f"{name}_{k}" if len(values) > 1 else name for k in range(len(values))])
        self.add(*(f"{ctype} {v} = {x};" for v, x in zip(elements, values, strict=True)))
        return Value(dtype, len(values), elements)

    def constant(self, array: Any) -> Value:
        """A constant array: numbers in the code, or a table of the file."""
        data = np.ascontiguousarray(array.numpy())
        dtype = array.dtype
        flat = data.reshape(-1)
        if flat.size <= self.most:
            return Value(dtype, flat.size, tuple([literal(x, dtype) for x in flat]))
        key = dtype, flat.tobytes()
        if key not in self._known:
            self._known[key] = name = self.name(self.table)
            texts = [literal(x, dtype) for x in flat]
            rows = ",\n    ".join(", ".join(texts[k : k + 8]) for k in range(0, len(texts), 8))
            self.constants.append(f"static const {C_TYPES[dtype]} {name}[{flat.size}] = {{\n    {rows}\n}};\n")
        return in_memory(dtype, flat.size, self._known[key])

    def dense(self, value: Value) -> Value:
        """The value in memory, one element after the other."""
        if value.dense:
            return value
        made = self.room(value.dtype, value.size)
        self.copy(made, value)
        return made

    def copy(self, target: Value, source: Value) -> None:
        """The elements of a value into memory of that size."""
        if source.elements is not None and len(source.elements) > 1:
            self.add(*(f"{target.at(k)} = {source.at(k)};" for k in range(target.size)))
        elif target.dense and source.dense and target.size:
            self.add(f"memcpy({target.pointer}, {source.pointer}, {target.size} * sizeof(*{target.pointer}));")
        else:
            self.each([target, source], target.size, lambda at: [f"{at[0]} = {at[1]};"])

    def each(self, values: Sequence[Value], size: int, body: Callable[[list[str]], list[str]]) -> None:
        """A loop over the elements of values of one size.

        Args:
            values: what it reads and writes.
            size: of each.
            body: of the expressions of their elements, the statements.
        """
        if size == 0:
            return
        values = [v if v.elements is None or v.single else self.dense(v) for v in values]
        kept = [v for v in values if v.elements is None]
        axes = common_axes([v.axes for v in kept], size)
        if axes is None:
            kept = [self.dense(v) for v in kept]
            axes = [size], [[1] for _ in kept]
        sizes, steps = axes
        with self.loops(sizes) as numbers:
            texts = iter([f"{v.array}[{_place(v.offset, numbers, own)}]" for v, own in zip(kept, steps, strict=True)])
            self.add(*body([next(texts) if v.elements is None else v.at(0) for v in values]))

    def helper(self, name: str, text: str) -> str:
        """A function of the file, once."""
        self.helpers.setdefault(name, text)
        return name

    def text(self) -> str:
        """The statements, without variables that none reads."""
        kept: list[str] = []
        read: set[str] = set()
        for line in reversed(self.lines):
            declared = _DECLARED.match(line)
            if declared and declared[1] not in read:
                continue
            read.update(_NAME.findall(line))
            kept.append(line)
        return "\n".join(reversed(kept))

    def fail(self, condition: str, code: str = "1") -> None:
        """The end of the call with an error, under a condition."""
        self.add(f"if ({condition}) return {code};")


def _place(offset: int, numbers: Sequence[str], steps: Sequence[int]) -> str:
    # The place of an element in a nest of loops.
    parts = [i if s == 1 else f"{i} * {s}" for i, s in zip(numbers, steps, strict=True) if s and i != "0"]
    if offset or not parts:
        parts.append(str(offset))
    return " + ".join(parts)


def check_written(graph: Graph) -> None:
    """Raises: OptionError that lists every op of a prepared program that cannot be written."""
    names = refused(graph)
    if names:
        raise OptionError(f"export_c: no C is written for {', '.join(sorted(names))}")
