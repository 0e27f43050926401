"""The integers of instructions that hold others, as `_core/plan/chain_abi.h` lays them out: fused groups, epilogues, outer products."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from tlean._core.plan import chain, epilogue, outer_update

#: What operand k of each kind is counted from; input k is k itself.
OUTPUT, SLOT, SUM, SCALAR = chain.CHAIN_OUTPUT, chain.CHAIN_SLOT, chain.CHAIN_SUM, chain.CHAIN_SCALAR
#: At most: operands of an op; steps of a run, the last one included; states of an optimiser whose gradient is an outer product.
MOST_OPERANDS, MOST_STEPS, MOST_STATES = chain.CHAIN_MOST_OPERANDS, chain.CHAIN_MOST_STEPS, outer_update.OUTER_MOST_STATES


class Header(NamedTuple):
    """What a group begins with; `ChainCode.encode` fills in the counts and places that may be left out."""

    elements: int = 0
    itemsize: int = 0
    block: int = 0
    ops: int = 0
    slots: int = 0
    sums: int = 0
    segment: int = 0
    reduce_sum: int = 0
    fetched_at: int = 0
    fetched: int = 0
    runs: int = 0
    machine: int = 0
    strip: int = 0


class Sum(NamedTuple):
    """A sum over all elements: its output, and where its divisor is among the floats."""

    output: int
    floats: int


class Op(NamedTuple):
    """An op as a loop over a block: the loop's address (0: spread a number), its first float, where its value goes, what it reads."""

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
    """The ints of an optimiser's step whose gradient is an outer product."""

    kernel: int
    scale: int
    rows: int
    columns: int
    itemsize: int
    states: int


for _module, _prefix, _layout, _size in (
    (chain, "CHAIN_", Header, "HEADER"),
    (chain, "CHAIN_SUM_", Sum, "SIZE"),
    (chain, "CHAIN_OP_", Op, "SIZE"),
    (chain, "CHAIN_STEP_", RunStep, "SIZE"),
    (epilogue, "EPILOGUE_", EpilogueHeader, "HEADER"),
    (outer_update, "OUTER_", OuterUpdate, "HEADER"),
):
    if [getattr(_module, _prefix + f.upper()) for f in (*_layout._fields, _size)] != list(range(len(_layout._fields) + 1)):
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
    ops: tuple[Op, ...]
    fetched: tuple[int, ...]
    runs: tuple[int | tuple[RunStep, ...], ...]

    def encode(self) -> tuple[int, ...]:
        """The integers that the CPU's interpreter of groups reads."""
        places, fetched_at = _places(len(self.sums), self.ops)
        counts = {"ops": len(self.ops), "sums": len(self.sums), "fetched": len(self.fetched), "runs": len(self.runs)}
        out = [*self.header._replace(fetched_at=fetched_at, **counts)]
        for total in self.sums:
            out += total
        out += (*_flat(self.ops), *self.fetched)
        for run in self.runs:
            out += (0, places[run]) if isinstance(run, int) else (len(run), *_flat(run))
        return tuple(out)

    @classmethod
    def decode(cls, ints: Sequence[int]) -> ChainCode:
        """The program with these integers. Raises: IndexError, ValueError for integers that `encode` does not write."""
        header = Header(*[ints[k] for k in range(len(Header._fields))])
        at = len(header) + len(Sum._fields) * header.sums
        sums = tuple([Sum(ints[k], ints[k + 1]) for k in range(len(header), at, len(Sum._fields))])
        ops, at = _items(Op, ints, at, header.ops)
        places, _ = _places(len(sums), ops)
        fetched = tuple(ints[at : at + max(header.fetched, 0)])
        at += len(fetched)
        runs: list[int | tuple[RunStep, ...]] = []
        for _ in range(header.runs):
            if ints[at]:
                steps, at = _items(RunStep, ints, at + 1, ints[at])
                runs.append(steps)
            else:
                runs.append(places.index(ints[at + 1]))
                at += 2
        code = cls(header, sums, ops, fetched, tuple(runs))
        if code.encode() != tuple(ints):
            raise ValueError("the counts and places of a group do not fit its integers")
        return code


def _places(sums: int, ops: Iterable[Op]) -> tuple[list[int], int]:
    # Where each op is among the integers, and where they end.
    places, at = [], len(Header._fields) + len(Sum._fields) * sums
    for op in ops:
        places.append(at)
        at += len(op) + len(op.operands)
    return places, at


def _flat(items: Iterable[Any]) -> list[int]:
    # The numbers of each, how many operands it has, and those.
    return [n for *numbers, operands in items for n in (*numbers, len(operands), *operands)]


def _items(kind: type[_Item], ints: Sequence[int], at: int, count: int) -> tuple[tuple[_Item, ...], int]:
    # So many of them from `at` on, and where they end.
    items = []
    width: int = len(kind._fields)
    for _ in range(count):
        end = at + width + max(ints[at + width - 1], 0)
        items.append(kind._make((*ints[at : at + width - 1], tuple(ints[at + width : end]))))
        at = end
    return tuple(items), at
