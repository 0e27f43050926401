"""Writing a graph as C: statements, places in memory, values by their numbers. What an op is in C is said by the modules of its family."""

from __future__ import annotations

import re
from collections import Counter
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
from tlean.compiler.signature import Signature
from tlean.compiler.target import Target, works_in
from tlean.dtypes import FLOATS, SUFFIX
from tlean.errors import OptionError
from tlean.ops import OpDef
from tlean.ops.elementwise import FORMULAS
from tlean.ops.integers.forms import INTEGER_FORMULAS
from tlean.ops.layout import CONVERSIONS

from .residuals import with_residuals
from .values import C_TYPES, Value, common_axes, in_memory, literal

#: Arrays of up to so many elements are a variable for each element.
SMALL = 32

#: Elements of the constants of a file: with more, compilers take minutes and gigabytes.
MOST_CONSTANTS = 1 << 22
#: Up to so many elements a constant is written as numbers.
_AS_NUMBERS = 4096

_NAME = re.compile(r"[a-z]+\d\w*")
_DECLARED = re.compile(r"\s*(?:const )?\w+ \*?([vp]\d\w*)(?: = [^;]*;(?: \1 = [^;]*;)*|; \{ .*\})$|\s*\w+ (a\d+)\[\d+\];$")

_LOCAL = re.compile(r"\s*\w+ (a\d+)\[\d+\];$")
_STORE = re.compile(r"\b(a\d+)\[(?:[^][]|\[[^][]*\])*\] [-+*/|&^]?= ")

_WORDS = re.compile(r"\b(?:T|FMA|FMAD|SQRT|FABS|LEAST|TINY|EPS|IS_NAN)\b")
_DEFINES = re.compile(r"^(?:static|TL_INLINE) [^(]*?(\w+)\(", re.MULTILINE)
_LEAST = {"f": "0x1p-60f", "": "0x1p-460"}
#: The largest number whose reciprocal is infinite.
_TINY = {"f": "0x1p-128f", "": "0x1p-1024"}
_EPS = {"f": "0x1p-23", "": "0x1p-52"}

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
    """A call of a kernel: its operands, its numbers, the dtype that it works in, the specs of what it makes, which of that is read, and the
    specs of the operands.
    """

    node: GraphNode
    inputs: tuple[Any, ...]
    ints: tuple[int, ...]
    floats: tuple[float, ...]
    dtype: str
    outs: tuple[Any, ...]
    read: tuple[bool, ...]
    specs: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """What it is written by."""
        return emitter_name(self.node.record)


def emitter_name(record: OpDef) -> str:
    """What `emits` calls a record: its kernel, and of the library's ops that are Python functions `host` and the name."""
    return record.kernel if record.host is None else f"host {record.name}" if record.registered else ""


class CTarget(Target):
    """C as a target: the ops that can be written are those with a kernel."""

    title = "C"

    def has_kernel(self, record: OpDef, dtype: str) -> bool:
        # What has no other form is refused later, all of it at once.
        return record.loop is not None or record.rules.decompose is None or written(record, dtype)

    def parts(self, call: Signature) -> Graph | None:
        return with_residuals(call)


C = CTarget()


def written(record: OpDef, dtype: str) -> bool:
    """Whether a call can be written as it is."""
    if record.view or record.loop is not None or emitter_name(record) in EMITTERS:
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
        made = fold(merged(stretched(with_kernels(graph, C))))
    except KeyError:
        # What the derivative reads beside the result is made by the kernel alone.
        names = {n.record.name for n in graph.nodes if n.record.residuals and not written(n.record, works_in(graph, n))}
        raise OptionError(f"export_c: no C is written for {', '.join(sorted(names))}") from None
    return (made._copy() if made is graph else made).prune()


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
        #: Members of the scratch structure, and constant arrays of the file, by name.
        self.members: list[str] = []
        self.constants: dict[str, str] = {}
        #: How many elements these have.
        self.elements = 0
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
            name = self.name(self.table)
            self.elements += flat.size
            if self.elements > MOST_CONSTANTS:
                raise OptionError(
                    f"export_c: the constants of a file must have at most {MOST_CONSTANTS} elements in all, got one of {flat.size} more;"
                    " parameters='arguments', or arguments of the program, are not in the file"
                )
            self._known[key] = f"{name}.x" if flat.size > _AS_NUMBERS and flat.itemsize > 1 else name
            self.constants[name] = _table(name, flat, dtype)
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

    def function(self, name: str, text: str, dtype: str) -> str:
        """A function of the file, once, and those that it calls.

        Args:
            name: of the function.
            text: definitions, each from the first column on, the last one the function's. In it `T` is the type of `dtype`, a name that
                ends in `_S` is one of that dtype, FMA(a, b, c) is a b + c, SQRT and FABS are the type's, EPS is its precision, IS_NAN(x)
                is 0 of integers, products from LEAST to its reciprocal lose nothing to the range of their factors, and numbers up to TINY
                have no finite reciprocal.

        Returns: its name.
        """
        real, suffix = C_TYPES[dtype], SUFFIX[dtype]
        f = "f" if dtype == "float32" else ""
        words = {"T": real, "FMA": f"TL_FMA{f.upper()}", "FMAD": "TL_FMA", "SQRT": f"sqrt{f}", "FABS": f"fabs{f}"}
        words |= {"LEAST": _LEAST[f], "TINY": _TINY[f], "EPS": _EPS[f], "IS_NAN": "tl_is_nan" if dtype in FLOATS else "tl_is_none"}
        text = _WORDS.sub(lambda m: words[m[0]], text)
        text = re.sub(r"\b(\w+)_S\(", rf"\1_{suffix}(", text)
        for definition in _definitions(text):
            self.helpers.setdefault(_DEFINES.findall(definition)[0], definition)
        return f"{name}_{suffix}"

    def text(self) -> str:
        """The statements, without variables that none reads."""
        kept: list[str] = []
        read: set[str] = set()
        for line in reversed(self.lines):
            declared = _DECLARED.match(line)
            if declared and (declared[1] or declared[2]) not in read:
                continue
            read.update(_NAME.findall(line))
            kept.append(line)
        text = "\n".join(reversed(kept))
        written = Counter(_STORE.findall(text))
        # Compilers warn of what is written and not read.
        mentioned = Counter(_NAME.findall(text))
        lines = text.split("\n")
        for k, line in enumerate(lines):
            declared = _LOCAL.match(line)
            if declared and mentioned[declared[1]] == 1 + written[declared[1]]:
                lines[k] += f" (void){declared[1]};"
        return "\n".join(lines)

    def fail(self, condition: str, code: str = "1") -> None:
        """The end of the call with an error, under a condition."""
        self.add(f"if ({condition}) return {code};")


def _table(name: str, flat: Any, dtype: str) -> str:
    # A constant array: few elements as numbers, many as words of their bits, which are short to write and quick to compile.
    ctype = C_TYPES[dtype]
    if flat.size <= _AS_NUMBERS or flat.itemsize == 1:
        texts, head, tail = [literal(x, dtype) for x in flat], f"{ctype} {name}[{flat.size}] = {{", "}"
    else:
        bits, n = flat.itemsize * 8, flat.itemsize * 2
        digits = flat.view(f"u{flat.itemsize}").astype(f">u{flat.itemsize}").tobytes().hex()
        texts = [f"0x{digits[k : k + n]}" for k in range(0, len(digits), n)]
        head, tail = f"union {{ uint{bits}_t bits[{flat.size}]; {ctype} x[{flat.size}]; }} {name} = {{{{", "}}"
    rows = ",\n    ".join(", ".join(texts[k : k + 8]) for k in range(0, len(texts), 8))
    return f"TL_TABLE {head}\n    {rows}\n{tail};\n"


def _definitions(text: str) -> Iterator[str]:
    # Functions, with the comments before each.
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        if line.startswith("}") or (line[:1] not in " /}" and line.endswith("}")):
            yield "\n".join(lines).lstrip("\n") + "\n"
            lines = []


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
