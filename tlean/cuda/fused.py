"""Fused groups of elementwise ops: one kernel for each, written from the registry's formulas.

A thread computes all ops of a group for an element, in their order and as the single kernels compute them, so fusing changes no bit. Values
that are only summed up are never stored: their sums are made by the blocks and order of additions of the stand-alone sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tlean.compiler.graph import Graph
from tlean.compiler.target import Bound
from tlean.dtypes import SUFFIX

from ..ops import expression as ex
from ..ops.elementwise import formula_of_kernel
from .kernels.convert import TYPES, converted_value
from .kernels.plan import ACROSS, COMMON, MOST_COUNTED, THREADS, Argument, Family, In, Launch, Out, Scratch, ceil_div
from .kernels.reduce import SLICE, finish_slices

#: Elements that a thread loads and stores at once, by one instruction: arrays begin at multiples of 16 bytes.
_WIDTH = 4
#: The types of four elements of a type.
_FOURS = {"float": "float4", "unsigned char": "uchar4", "int": "int4"}

_PRELUDE = COMMON + ACROSS + ex.CUDA_PRELUDE


@dataclass(frozen=True)
class Group:
    """A group's kernel and its launches.

    Attributes:
        inputs: the values that it reads, in the order of `In`.
        source: the text of the kernel, the same for groups that differ in sizes and numbers only.
        launches: (whether it is the group's own kernel, the launch); the others are of the family of reductions.
        scratch: bytes of the partial sums.
    """

    inputs: tuple[int, ...]
    source: str
    launches: tuple[tuple[bool, Launch], ...]
    scratch: tuple[int, ...]


def module_of(sources: Iterable[str]) -> Family:
    """The family that holds these groups' kernels."""
    text = _PRELUDE + "\n".join(sorted(set(sources)))
    return Family(f"fused_{hashlib.sha256(text.encode()).hexdigest()[:16]}", text, {})


def group_of(graph: Graph, ops: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound]) -> Group:
    """The kernel of a group; see `Target.fused` for the arguments."""
    n = graph.specs[ops[-1].made].size

    def type_of(v: int) -> str:
        return TYPES[SUFFIX[graph.specs[v].dtype]]

    own = {op.made for op in ops}
    read = dict.fromkeys(v for op in ops for v in op.reads if v >= 0 and v not in own)
    # A scalar is read once by each thread.
    stretched = {op.made: _Stretched.of(op, n) for op in ops if op.stretches}
    full = [v for v in read if graph.specs[v].size == n]
    scalars = [v for v in read if graph.specs[v].size == 1 < n]
    names = {v: f"a{k}" for k, v in enumerate(full)} | {v: f"s{k}" for k, v in enumerate(scalars)}
    numbers: list[float] = []
    lines: list[str] = []
    for k, op in enumerate(ops):
        if op.made in stretched:
            names[op.made] = f"b{list(stretched).index(op.made)}"
            continue
        names[op.made] = f"v{k}"
        arguments = [names[v] for v in op.reads if v >= 0]
        if op.spreads:
            lines.append(f"const float v{k} = {arguments[0]};")
            continue
        if op.converts:
            from_to = SUFFIX[graph.specs[op.made].dtype], SUFFIX[op.specs[0].dtype]  # type: ignore[union-attr]
            lines.append(f"const {type_of(op.made)} v{k} = {converted_value(*from_to, arguments[0])};")
            continue
        formula = formula_of_kernel(op.record.kernel)
        given = dict(zip(formula.inputs, arguments, strict=True))
        for parameter, value in zip(formula.parameters, op.kernel_params()[1], strict=True):
            given[parameter] = f"p{len(numbers)}"
            numbers.append(value)
        declarations, value_text = ex.to_cuda(formula.tree, given)
        if declarations:
            lines.append(f"float v{k}; {{ {' '.join(declarations)} v{k} = {value_text}; }}")
        else:
            lines.append(f"const float v{k} = {value_text};")
    lines += [f"o{k} = {names[v]};" for k, v in enumerate(visible)] + [f"r{k} = {names[op.reads[0]]};" for k, op in enumerate(sums)]
    shape = _Shape(
        tuple(map(type_of, full)), len(scalars), len(numbers), tuple(map(type_of, visible)), len(sums), tuple(stretched.values())
    )
    body = shape.element(lines) + (shape.summing() if sums else shape.wide())
    # The name says what the kernel does, so that equal groups share it.
    name = f"group_{hashlib.sha256(body.encode()).hexdigest()[:16]}"
    inputs = (*full, *scalars, *(v for v in read if 1 < graph.specs[v].size != n))
    pointers: list[Argument] = [Out(k) for k in range(len(visible))]
    read_at: list[Argument] = [In(k) for k in range(len(full) + len(scalars))]
    sources = [In(inputs.index(op.reads[0])) for op in ops if op.stretches]
    floats: list[Argument] = [float(x) for x in numbers]
    for s, source in zip(shape.stretched, sources, strict=True):
        floats += [source, *s.numbers]
    divisors = [float(total.kernel_params()[1][0]) for total in sums]
    slices = ceil_div(n, SLICE)
    if not sums:
        grid = min(ceil_div(max(n // _WIDTH, n % _WIDTH), THREADS), 1 << 16)
        launch = Launch(f"k_{name}", (*pointers, *read_at, *floats, n), (grid, 1, 1))
        return Group(inputs, body.replace("NAME", name), ((True, launch),), ())
    whole = slices <= 1
    totals: list[Argument] = [Out(len(visible) + k) if whole else Scratch(k) for k in range(len(sums))]
    parts = Launch(
        f"k_{name}",
        (*pointers, *totals, *read_at, *floats, *(d if whole else 1.0 for d in divisors), SLICE, n),
        (slices, 1, 1),
    )
    rest = [] if whole else [finish_slices(Out(len(visible) + k), Scratch(k), 1, slices, d) for k, d in enumerate(divisors)]
    scratch = () if whole else (4 * slices,) * len(sums)
    return Group(inputs, body.replace("NAME", name), ((True, parts), *((False, launch) for launch in rest)), scratch)


@dataclass(frozen=True)
class _Stretched:
    # Where a smaller array has the value of element i: the sum over its axes of (i / inner) % size · stride, a term each. What is 1, and
    # the size of the outermost axis, is left out. Of fewer than 2^31 elements the arithmetic is in 32 bits.
    terms: tuple[str, ...]
    numbers: tuple[int, ...]

    @staticmethod
    def of(op: Bound, n: int) -> _Stretched:
        count, *axes = op.kernel_params()[0][1:]
        word = "unsigned" if n < MOST_COUNTED else "i64"
        terms: list[str] = []
        numbers: list[int] = []
        inner = n
        for k, (size, stride) in enumerate(zip(axes[:count], axes[count:], strict=True)):
            inner //= size
            if stride == 0:
                continue
            term = f"({word})(INDEX)"
            for sign, number, wanted in (("/", inner, inner > 1), ("%", size, k > 0), ("*", stride, stride > 1)):
                if wanted:
                    term += f" {sign} ({word})bK_{len(numbers)}"
                    numbers.append(number)
            terms.append(term)
        return _Stretched(tuple(terms), tuple(numbers))

    def declared(self, k: int) -> str:
        # The parameters of a kernel whose stretched operand number k it is.
        return ", ".join([f"const float *from{k}", *(f"i64 b{k}_{j}" for j in range(len(self.numbers)))])

    def read(self, k: int, index: str) -> str:
        # The value for an element.
        return f"from{k}[{' + '.join(self.terms)}]".replace("INDEX", index).replace("bK_", f"b{k}_")


@dataclass(frozen=True)
class _Shape:
    # What a kernel has: the types of full inputs a and of outputs o; how many scalars s, numbers p, sums r.
    full: tuple[str, ...]
    scalars: int
    numbers: int
    outputs: tuple[str, ...]
    sums: int
    #: The operands that are stretched, b.
    stretched: tuple[_Stretched, ...] = ()

    def _list(self, *parts: tuple[str, str, int]) -> str:
        # ("const float *", "a", 2) -> "const float *a0, const float *a1"
        return ", ".join(f"{before}{letter}{k}" for before, letter, count in parts for k in range(count))

    def _rest(self) -> tuple[tuple[str, str, int], ...]:
        return (("", "s", self.scalars), ("", "p", self.numbers))

    def element(self, lines: Sequence[str]) -> str:
        # The group's ops on one element.
        counts = (("s", self.scalars), ("p", self.numbers), ("b", len(self.stretched)))
        full = [f"const {t} a{k}" for k, t in enumerate(self.full)]
        values = ", ".join(filter(None, [*full, self._list(*(("const float ", letter, count) for letter, count in counts))]))
        results = ", ".join(filter(None, [*(f"{t} &o{k}" for k, t in enumerate(self.outputs)), self._list(("float &", "r", self.sums))]))
        body = "".join(f"    {line}\n" for line in lines)
        return f"static __device__ __forceinline__ void e_NAME({', '.join(filter(None, (values, results)))}) {{\n{body}}}\n"

    def _head(self, *tail: tuple[str, str, int]) -> str:
        pointers = [f"{t} *out{k}" for k, t in enumerate(self.outputs)] + [f"float *sum{k}" for k in range(self.sums)]
        pointers += [f"const {t} *in{k}" for k, t in enumerate(self.full)]
        scalars = (("const float *", "at", self.scalars), ("float ", "p", self.numbers))
        operands = [*pointers, self._list(*scalars), *(s.declared(k) for k, s in enumerate(self.stretched)), self._list(*tail)]
        return f'extern "C" __global__ void k_NAME({", ".join(filter(None, operands))}, '

    def _scalars(self) -> str:
        return "".join(f"    const float s{k} = *at{k};\n" for k in range(self.scalars))

    def _one(self) -> str:
        # One element, at i.
        arguments = [f"in{k}[i]" for k in range(len(self.full))] + [self._list(*self._rest())] * bool(self.scalars + self.numbers)
        arguments += [s.read(k, "i") for k, s in enumerate(self.stretched)]
        results = self._list(("", "o", len(self.outputs)), ("", "r", self.sums))
        declared = "".join(f"{t} o{k}; " for k, t in enumerate(self.outputs)) + "".join(f"float r{k}; " for k in range(self.sums))
        stores = "".join(f" out{k}[i] = o{k};" for k in range(len(self.outputs))) + "".join(f" total{k} += r{k};" for k in range(self.sums))
        return f"{declared}e_NAME({', '.join([*arguments, results])});{stores}"

    def wide(self) -> str:
        """Four elements a thread, and what is left over by the first threads."""
        loads = "".join(f" const {_FOURS[t]} a{k} = ((const {_FOURS[t]} *)in{k})[i];" for k, t in enumerate(self.full) if t in _FOURS)
        stores = "".join(f" (({_FOURS[t]} *)out{k})[i] = o{k};" for k, t in enumerate(self.outputs))
        rest = [self._list(*self._rest())] * bool(self.scalars + self.numbers)
        calls = ""
        for number, lane in enumerate("xyzw"):
            arguments = [f"a{k}.{lane}" if t in _FOURS else f"in{k}[4 * i + {number}]" for k, t in enumerate(self.full)] + rest
            arguments += [s.read(k, f"4 * i + {number}") for k, s in enumerate(self.stretched)]
            arguments += [f"o{k}.{lane}" for k in range(len(self.outputs))]
            calls += f"\n        e_NAME({', '.join(arguments)});"
        return (
            f"{self._head()}i64 n) {{\n{self._scalars()}    TL_EACH(i, n / 4) {{\n"
            f"       {loads} {' '.join(f'{_FOURS[t]} o{k};' for k, t in enumerate(self.outputs))}{calls}\n       {stores}\n    }}\n"
            f"    const i64 i = n / 4 * 4 + (i64)blockIdx.x * blockDim.x + threadIdx.x;\n"
            f"    if (i < n) {{ {self._one()} }}\n}}\n"
        )

    def summing(self) -> str:
        """A block for each slice, in the order of additions of `k_sum_slices`."""
        totals = "".join(f"    float total{k} = 0;\n" for k in range(self.sums))
        add = "    total{k} = across<Sum>(total{k});\n    if (threadIdx.x == 0) sum{k}[blockIdx.x] = total{k} / d{k};\n"
        finish = "".join(add.format(k=k) for k in range(self.sums))
        return (
            f"{self._head(('float ', 'd', self.sums))}i64 width, i64 n) {{\n{self._scalars()}{totals}"
            f"    const i64 first = blockIdx.x * width, last = first + width < n ? first + width : n;\n"
            f"    for (i64 i = first + threadIdx.x; i < last; i += blockDim.x) {{ {self._one()} }}\n{finish}}}\n"
        )
