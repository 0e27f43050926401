"""The integers of a band (`_core/plan/band.pyx`): instructions on the same rows of large arrays, some rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tlean._core.plan import band
from tlean._core.plan.band import ADDRESS
from tlean._core.table import KERNELS, MODULES
from tlean.dtypes import SIZES, SUFFIX

from .chain_code import ROW, TOTAL, ChainCode
from .graph import Graph
from .target import Step

#: Elements of a segment of `reduce_sum`'s tree: a band whose values are all summed has so many.
SEGMENT: int = MODULES["reduce"].SEGMENT_LENGTH
#: Bytes of one array's rows in a band: several such stay in a second-level cache, and a call of a kernel costs little beside them.
_BAND_BYTES = 64 * 1024
#: Places in a thread's memory begin at multiples of so many bytes.
_ALIGNED = 64


class Header(NamedTuple):
    """What a band begins with: its rows, those of a step, a thread's room, and its work; how many totals and parts it has."""

    rows: int
    height: int
    room: int
    work: int
    totals: int
    parts: int


class Total(NamedTuple):
    """A sum of everything: its output, where its divisor is among the floats, the temporary that has the bands' sums, and the kernel."""

    output: int
    floats: int
    parts: int
    kernel: int


class PartHeader(NamedTuple):
    """A part: its kernel, its first float, how many outputs and inputs it has, and numbers for a whole band and for the last one."""

    kernel: int
    floats: int
    outputs: int
    inputs: int
    ints: int
    last_ints: int


class Operand(NamedTuple):
    """An operand: where it is, its number or first byte there, and the bytes from one row (of sums: from one band) to the next."""

    place: int
    at: int
    step: int


ABSENT: int
INPUT: int
OUTPUT: int
LOCAL: int
SUMS: int
ABSENT, INPUT, OUTPUT, LOCAL, SUMS = band.IS_ABSENT, band.IS_INPUT, band.IS_OUTPUT, band.IS_LOCAL, band.IS_TOTAL
#: At most: operands of a part.
MOST_OPERANDS: int = band.MOST_OPERANDS

for _prefix, _layout in (("BAND_", Header), ("TOTAL_", Total), ("PART_", PartHeader), ("OPERAND_", Operand)):
    if [getattr(band, _prefix + name.upper()) for name in (*_layout._fields, "SIZE")] != list(range(len(_layout._fields) + 1)):  # type: ignore[attr-defined]
        raise ImportError(f"tlean: {_layout.__name__} must have the fields of plan/band.pyx in their order; build the package again")


class Part(NamedTuple):
    """An instruction that goes by rows.

    Attributes:
        step: the instruction on all rows, its group (`Step.chain`) not yet among its integers.
        width: the elements of a row of what it works on.
        steps: elements from one row to the next of each operand, outputs first; None for a sum of everything.
    """

    step: Step
    width: int
    steps: tuple[int | None, ...]

    @property
    def sums(self) -> tuple[int, ...]:
        """The values that are sums of everything."""
        return tuple([v for v, step in zip(self.step.outputs, self.steps, strict=False) if step is None])

    def numbers(self, rows: int, height: int) -> tuple[int, ...]:
        """Its integers for `height` of its rows."""
        chain = self.step.chain
        if chain is None:
            return tuple([height if k == rows else k for k in self.step.ints[:-1]] + [self._last(rows, height)])
        return _of_height(chain, rows, height).encode()

    def _last(self, rows: int, height: int) -> int:
        # The last number of a single kernel: the width of rows, or all elements of a loop.
        last = self.step.ints[-1]
        return last // rows * height if len(self.step.ints) == 1 else last


def _of_height(chain: ChainCode, rows: int, height: int) -> ChainCode:
    # The program of a group for some of its rows.
    elements = chain.header.elements // rows * height
    stretched, room = [], 0
    for s in chain.stretched:
        s = s._replace(axes=(s.axes[0] // rows * height, *s.axes[1:]), room=room if s.kind == ROW else 0)
        room += (s.length + min(chain.header.block, elements) + 15) // 16 * 16 if s.kind == ROW else 0
        stretched.append(s)
    # Its rows come from a cache.
    return chain._replace(header=chain.header._replace(elements=elements, room=room), stretched=tuple(stretched), fetched=())


def height_of(parts: Sequence[Part], graph: Graph, rows: int) -> int:
    """The rows of a band; 0 where they would be none."""
    widths = [part.width for part in parts]
    if any(part.sums for part in parts):
        # A band is a segment then.
        width = max(widths)
        return SEGMENT // width if SEGMENT % width == 0 and {w for w in widths if w != 1} == {width} else 0
    item = max(SIZES[graph.specs[v].dtype] for part in parts for v in part.step.outputs if v >= 0)
    height = _BAND_BYTES // (max(widths) * item)
    return min(1 << height.bit_length() - 1, rows) if height > 1 else 0


class Layout(NamedTuple):
    """Where a band's values are.

    Attributes:
        inputs, outputs: the values that it reads from elsewhere, and those that others read.
        local: the first byte in a thread's memory of each other value.
        totals: the sums of everything, in the order of the temporaries that hold the bands' sums.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    local: dict[int, int]
    totals: tuple[int, ...]
    room: int
    height: int


def layout_of(parts: Sequence[Part], graph: Graph, rows: int, height: int, shown: set[int]) -> Layout:
    """The layout of a band; `shown` are the values that others read."""
    made = [v for part in parts for v in part.step.outputs if v >= 0]
    inputs = tuple(dict.fromkeys(v for part in parts for v in part.step.inputs if v >= 0 and v not in made))
    local: dict[int, int] = {}
    room = 0
    for v in made:
        if v not in shown:
            local[v] = room
            room += -(-graph.specs[v].size // rows * height * SIZES[graph.specs[v].dtype] // _ALIGNED) * _ALIGNED
    return Layout(inputs, tuple(v for v in made if v in shown), local, tuple(v for part in parts for v in part.sums), room, height)


def band_step(parts: Sequence[Part], graph: Graph, rows: int, layout: Layout) -> Step:
    """The instruction of a band."""
    height = layout.height
    floats: list[float] = []
    count, last = -(-rows // height), rows % height
    codes: list[int] = []
    divisors: dict[int, int] = {}
    for part in parts:
        first = len(floats)
        floats += _floats(part)
        operands = [_operand(v, step, graph, layout) for v, step in zip((*part.step.outputs, *part.step.inputs), part.steps, strict=True)]
        whole, less = part.numbers(rows, height), part.numbers(rows, last) if last else ()
        codes += PartHeader(part.step.code, first, len(part.step.outputs), len(part.step.inputs), len(whole), len(less))
        codes += [number for operand in operands for number in operand]
        codes += (*whole, *less)
        for v, at in _divisors(part).items():
            divisors[v] = len(floats)
            floats.append(part.step.floats[at])
    totals: list[int] = []
    for k, v in enumerate(layout.totals):
        kernel = KERNELS[f"reduce_sum:{SUFFIX[graph.specs[v].dtype]}"]
        totals += Total(layout.outputs.index(v), divisors[v], len(layout.outputs) + k, kernel)
    header = Header(rows, height, layout.room, rows * sum(part.width for part in parts), len(layout.totals), len(parts))
    nodes = tuple(node for part in parts for node in part.step.nodes)
    name = "band(" + "; ".join(part.step.kernel for part in parts) + ")"
    scratch = tuple(count * SIZES[graph.specs[v].dtype] for v in layout.totals)
    ints = (*header, *totals, *codes)
    return Step(name, layout.inputs, layout.outputs, nodes, ints, tuple(floats), ADDRESS, scratch, parts=tuple(p.step for p in parts))


def _divisors(part: Part) -> Mapping[int, int]:
    # Where the divisor of each sum of everything is among the part's floats.
    if part.step.chain is None:
        return {}
    return {part.step.outputs[s.output]: s.floats for s in part.step.chain.sums if s.kind == TOTAL}


def _floats(part: Part) -> list[float]:
    # A part's floats; what it sums of a band is divided at the end.
    at = set(_divisors(part).values())
    return [1.0 if k in at else number for k, number in enumerate(part.step.floats)]


def _operand(v: int, step: int | None, graph: Graph, layout: Layout) -> Operand:
    if v < 0:
        return Operand(ABSENT, 0, 0)
    item = SIZES[graph.specs[v].dtype]
    if step is None:
        return Operand(SUMS, len(layout.outputs) + layout.totals.index(v), item)
    if v in layout.local:
        return Operand(LOCAL, layout.local[v], 0)
    if v in layout.outputs:
        return Operand(OUTPUT, layout.outputs.index(v), step * item)
    return Operand(INPUT, layout.inputs.index(v), step * item)
