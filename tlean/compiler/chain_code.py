"""The integers of instructions that hold others, as `_core/plan/chain_abi.h` lays them out: fused groups, epilogues, outer products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tlean._core.plan import chain, epilogue, outer_update

#: What operand k of each kind is counted from; input k is k itself.
OUTPUT: int
SLOT: int
SUM: int
SCALAR: int
OUTPUT, SLOT, SUM, SCALAR = chain.CHAIN_OUTPUT, chain.CHAIN_SLOT, chain.CHAIN_SUM, chain.CHAIN_SCALAR
#: The same of stretched inputs, by their number in `ChainCode.stretched`.
REPEATED: int = chain.CHAIN_REPEATED
#: Input or output k whose elements have another size than the group's: `SIZED` + size · `BYTES` + its code.
SIZED: int
BYTES: int
SIZED, BYTES = chain.CHAIN_SIZED, chain.CHAIN_BYTES
#: In place of a loop: the op stretches its input.
STRETCH: int = chain.CHAIN_STRETCH
#: How a stretched input is read: written out for each block, or once for many; where it is; as runs of one value.
BLOCK: int
ROW: int
POINTER: int
COLUMN: int
BLOCK, ROW, POINTER, COLUMN = chain.STRETCHED_BLOCK, chain.STRETCHED_ROW, chain.STRETCHED_POINTER, chain.STRETCHED_COLUMN
#: A part of an array that is read where it is; and a value that is written to a box of an output.
OFFSET: int
RANGE: int
OFFSET, RANGE = chain.STRETCHED_OFFSET, chain.STRETCHED_RANGE
#: At most: operands of an op; steps of a run, the last one included; states of an optimiser whose gradient is an outer product.
MOST_OPERANDS: int
MOST_STEPS: int
MOST_STATES: int
MOST_OPERANDS, MOST_STEPS, MOST_STATES = chain.CHAIN_MOST_OPERANDS, chain.CHAIN_MOST_STEPS, outer_update.OUTER_MOST_STATES


class Header(NamedTuple):
    """What a group begins with; `ChainCode.encode` fills in what it counts: ops, sums, where they begin."""

    elements: int
    itemsize: int
    block: int
    ops: int
    slots: int
    sums: int
    segment: int
    reduce_sum: int
    fetched_at: int
    fetched: int
    runs: int
    machine: int
    strip: int
    ops_at: int
    stretched: int
    room: int
    stretcher: int
    width: int
    tile: int
    share: int
    values: int
    add_rows: int
    part: int
    sum_part: int


class Sum(NamedTuple):
    """A sum: its output, where its divisor is among the floats, which of the summed values it is of, of what in it, and the kernel."""

    output: int
    floats: int
    value: int
    kind: int
    kernel: int


#: Of what a sum is: all elements, each row, each column; or the logarithm of each row's sum of exponentials.
TOTAL: int
ROWS: int
COLUMNS: int
LOGSUMEXP: int
TOTAL, ROWS, COLUMNS, LOGSUMEXP = chain.CHAIN_TOTAL, chain.CHAIN_ROW_SUMS, chain.CHAIN_COLUMN_SUMS, chain.CHAIN_LOGSUMEXP


class Stretched(NamedTuple):
    """An input that is repeated along axes.

    The input's number, how it is read, where among the rows (in elements), the elements of a row or run, and sizes, then strides of the
    axes. What these are of a RANGE is said in chain_abi.h.
    """

    input: int
    kind: int
    room: int
    length: int
    axes: tuple[int, ...]


class Op(NamedTuple):
    """An op as a loop over a block.

    The loop's address (0: spread a number; STRETCH), its first float, where its value goes, what it reads.
    """

    loop: int
    floats: int
    target: int
    operands: tuple[int, ...]


class RunStep(NamedTuple):
    """An op as a step of the register machine; where it stores its value is the last operand."""

    address: int
    floats: int
    operands: tuple[int, ...]


class EpilogueHeader(NamedTuple):
    """What an instruction with an epilogue begins with: its kernel's entry, and how many operands and numbers the kernel has."""

    entry: int
    outputs: int
    inputs: int
    ints: int
    floats: int


class OuterUpdate(NamedTuple):
    """An optimiser's step whose gradient is an outer product."""

    kernel: int
    scale: int
    rows: int
    columns: int
    itemsize: int
    states: int


_PREFIXES = ("CHAIN_", "CHAIN_SUM_", "STRETCHED_", "CHAIN_OP_", "CHAIN_STEP_", "EPILOGUE_", "OUTER_")
_NUMBERS = vars(chain) | vars(epilogue) | vars(outer_update)
_layout: Any
for _prefix, _layout in zip(_PREFIXES, (Header, Sum, Stretched, Op, RunStep, EpilogueHeader, OuterUpdate), strict=True):
    if [_NUMBERS[_prefix + field.upper()] for field in (*_layout._fields, "SIZE")] != list(range(len(_layout._fields) + 1)):
        raise ImportError(f"tlean: {_layout.__name__} must have the fields of plan/chain_abi.h in their order; build the package again")

_Item = TypeVar("_Item", Op, RunStep)


class ChainCode(NamedTuple):
    """The program of a fused group.

    Attributes:
        fetched: the operands that are fetched ahead.
        runs: the same ops on whole strips: the number of an op that is a loop, or the steps of a run.
    """

    header: Header
    sums: tuple[Sum, ...]
    stretched: tuple[Stretched, ...]
    ops: tuple[Op, ...]
    fetched: tuple[int, ...]
    runs: tuple[int | tuple[RunStep, ...], ...]

    def encode(self) -> tuple[int, ...]:
        """The integers that the CPU's interpreter of groups reads."""
        out = [*self.header]
        for total in self.sums:
            out += total
        stretched: list[int] = []
        for s in self.stretched:
            stretched.append(REPEATED + len(out))
            out += (*s[:-1], len(s.axes) // 2, *s.axes)

        def at(codes: Sequence[int]) -> list[int]:
            # A stretched input is represented by its place.
            return [stretched[code - REPEATED] if REPEATED <= code < SIZED else code for code in codes]

        out[chain.CHAIN_STRETCHED], out[chain.CHAIN_OPS_AT] = len(stretched), len(out)
        places = []
        for loop, floats, target, operands in self.ops:
            places.append(len(out))
            out += (loop, floats, *at((target,)), len(operands), *at(operands))
        out[chain.CHAIN_OPS], out[chain.CHAIN_SUMS], out[chain.CHAIN_FETCHED_AT] = len(self.ops), len(self.sums), len(out)
        out[chain.CHAIN_FETCHED], out[chain.CHAIN_RUNS] = len(self.fetched), len(self.runs)
        out += self.fetched
        for run in self.runs:
            if isinstance(run, int):
                out += (0, places[run])
                continue
            out.append(len(run))
            for address, floats, operands in run:
                out += (address, floats, len(operands), *at(operands))
        return tuple(out)

    @classmethod
    def decode(cls, ints: Sequence[int]) -> ChainCode:
        """The program with these integers. Raises: IndexError, ValueError for integers that `encode` does not write."""
        header = Header(*[ints[k] for k in range(len(Header._fields))])
        at = len(header) + len(Sum._fields) * header.sums
        sums = tuple([Sum._make(ints[k : k + len(Sum._fields)]) for k in range(len(header), at, len(Sum._fields))])
        stretched, known = [], {}
        for k in range(header.stretched):
            known[REPEATED + at] = REPEATED + k
            end = at + len(Stretched._fields) + 2 * max(ints[at + len(Stretched._fields) - 1], 0)
            stretched.append(Stretched._make((*ints[at : at + len(Stretched._fields) - 1], tuple(ints[at + len(Stretched._fields) : end]))))
            at = end
        ops, places, at = _items(Op, ints, at, header.ops)
        ops = tuple([op._replace(target=known.get(op.target, op.target), operands=_named(op.operands, known)) for op in ops])
        fetched = tuple(ints[at : at + max(header.fetched, 0)])
        at += len(fetched)
        runs: list[int | tuple[RunStep, ...]] = []
        for _ in range(header.runs):
            if ints[at]:
                steps, _, at = _items(RunStep, ints, at + 1, ints[at])
                runs.append(tuple([step._replace(operands=_named(step.operands, known)) for step in steps]))
            else:
                runs.append(places.index(ints[at + 1]))
                at += 2
        code = cls(header, sums, tuple(stretched), ops, fetched, tuple(runs))
        if code.encode() != tuple(ints):
            raise ValueError("the counts and places of a group do not fit its integers")
        return code


def _named(operands: Sequence[int], known: Mapping[int, int]) -> tuple[int, ...]:
    return tuple([known.get(code, code) for code in operands])


def _items(kind: type[_Item], ints: Sequence[int], at: int, count: int) -> tuple[tuple[_Item, ...], list[int], int]:
    # So many of them from `at` on, the place of each, and where they end.
    items, places = [], []
    width: int = len(kind._fields)
    for _ in range(count):
        places.append(at)
        end = at + width + max(ints[at + width - 1], 0)
        items.append(kind._make((*ints[at : at + width - 1], tuple(ints[at + width : end]))))
        at = end
    return tuple(items), places, at
