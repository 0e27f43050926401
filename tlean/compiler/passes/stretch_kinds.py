"""How a fused group reads what it stretches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tlean._core.table import MODULES

from ..chain_code import BLOCK, COLUMN, OFFSET, POINTER, RANGE, ROW, Stretched
from ..target import Bound

#: A pattern of more elements is not written out as a whole: a thread would do so for each of its shares of the elements.
_LONGEST_ROW = 2048
#: Runs of one value that are shorter are written out: a strip would have more than two of them.
_SHORTEST_RUN = MODULES["elementwise"].STRIP_BYTES // 4


def stretched_input(op: Bound) -> Stretched:
    """How the input of an op that stretches is read; which input it is, and its room, are not known yet."""
    if op.shift >= 0:
        return Stretched(0, OFFSET, op.shift, 0, ())
    if op.ranges:
        return Stretched(0, BLOCK, 0, 0, op.kernel_params()[0][1:])
    count, *axes = op.kernel_params()[0][1:]
    sizes, strides = axes[:count], axes[count:]
    pattern = 1
    for size in sizes[1:]:
        pattern *= size
    if strides[0] == 0 and pattern <= _LONGEST_ROW:
        return Stretched(0, ROW, 0, pattern, tuple(axes))
    if strides[-1] == 1 and sizes[-1] >= _LONGEST_ROW:
        return Stretched(0, POINTER, 0, sizes[-1], tuple(axes))
    if strides[-1] == 0 and sizes[-1] >= _SHORTEST_RUN:
        return Stretched(0, COLUMN, 0, sizes[-1], tuple(axes))
    return Stretched(0, BLOCK, 0, 0, tuple(axes))


def stretched_inputs(group: Sequence[Bound], elements: int, kept: Collection[int]) -> dict[int, Stretched]:
    """The same for each op of a group that stretches, by the value that it makes; those in `kept` are wanted in memory."""
    result = {}
    for op in group:
        if op.shift >= 0 or op.ranges:
            result[op.made] = stretched_input(op)
        if op.stretches:
            stretched = stretched_input(op)
            written = is_written(stretched) or op.made not in kept
            result[op.made] = stretched if written else stretched._replace(kind=BLOCK, length=0)
    return result


def is_written(stretched: Stretched) -> bool:
    """Whether an op of the group writes the values for each block; the others are read where they are."""
    return stretched.kind in (BLOCK, COLUMN)


def placed(
    stretched: Mapping[int, Stretched], inputs: Sequence[int], block: int, elements: int, group: Sequence[Bound]
) -> tuple[tuple[Stretched, ...], int]:
    """The same with the numbers of the inputs and with their rooms, for blocks of so many elements; and the elements of all rooms."""
    source = {op.made: op.reads[0] for op in group if op.made in stretched}
    result, room = [], 0
    for made, s in stretched.items():
        result.append(s._replace(input=inputs.index(source[made]), room=room if s.kind == ROW else s.room))
        # Rooms begin at multiples of a vector.
        room += (s.length + min(block, elements) + 15) // 16 * 16 if s.kind == ROW else 0
    return tuple(result), room


def filled_box(op: Bound, output: int, inputs: Sequence[int]) -> Stretched:
    """Where an op that fills a box has a group write its value.

    Args:
        output: the number of the op's value among those that the group makes.
        inputs: of the group.
    """
    offset, *axes = op.kernel_params()[0]
    base = op.reads[1]
    return Stretched(output, RANGE, offset, inputs.index(base) + 1 if base >= 0 else 0, tuple(axes))
