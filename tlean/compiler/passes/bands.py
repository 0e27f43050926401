"""Bands: instructions that go through the rows of large arrays become one, which takes some rows at a time (`band_code`).

A row's sum is ready when its row is, so what reads it follows while the row is in a cache: a normalisation reads its rows from memory once.
"""

from __future__ import annotations

from collections.abc import Sequence

from tlean._core.plan import chain
from tlean._core.table import INNER, KERNELS
from tlean.dtypes import SIZES, SUFFIX

from ..band_code import MOST_OPERANDS, Part, band_step, height_of, layout_of
from ..chain_code import LOGSUMEXP, ROWS, TOTAL, ChainCode
from ..graph import Graph
from ..target import Step, works_in
from .deviations import DEVIATIONS

#: Kernels of one result for each row that take (2, 0, rows, width); those that take (rows, width, 1).
_BY_RUNS, _BY_ROWS = (DEVIATIONS, "reduce_sum", "reduce_prod", "reduce_max", "norm"), ("logsumexp",)
#: Arrays of fewer bytes stay in a cache from one instruction to the next.
_FAR_BYTES = 1 << 20
#: Instructions that a band goes around; those within which it must have one that makes a number of each row.
_MOST_APART = 4


def row_bands(graph: Graph, steps: Sequence[Step], kept: set[int]) -> list[Step]:
    """The same instructions, neighbours that go through the same rows as bands. `kept` are values that others than these read."""
    reads: dict[int, int] = {}
    for step in steps:
        for v in dict.fromkeys(step.inputs):
            reads[v] = reads.get(v, 0) + 1
    result: list[Step] = []
    k = 0
    while k < len(steps):
        found = _longest(graph, steps, k)
        if found is None:
            result.append(steps[k])
            k += 1
            continue
        rows, parts, ahead = found
        result += ahead
        inside: dict[int, int] = {}
        for part in parts:
            for v in dict.fromkeys(part.step.inputs):
                inside[v] = inside.get(v, 0) + 1
        shown = {v for part in parts for v in part.step.outputs if v >= 0 and (v in kept or reads.get(v, 0) > inside.get(v, 0))}
        height = height_of(parts, graph, rows)
        result.append(band_step(parts, graph, rows, layout_of(parts, graph, rows, height, shown)))
        k += len(parts) + len(ahead)
    return result


def _longest(graph: Graph, steps: Sequence[Step], first: int) -> tuple[int, list[Part], list[Step]] | None:
    # The band that begins with an instruction: the rows of the first that makes one number of each row, the parts, and the instructions
    # among them that may run before.
    rows = next((r for step in steps[first : first + _MOST_APART] if (r := _reduced_rows(graph, step))), 0)
    parts: list[Part] = []
    apart: list[tuple[int, Step]] = []
    made: set[int] = set()
    for step in steps[first:] if rows else ():
        part = part_of(graph, step, rows)
        if part is not None:
            parts.append(part)
            made.update(step.outputs)
        elif parts and len(apart) < _MOST_APART and made.isdisjoint(step.inputs) and _moves(step):
            apart.append((len(parts), step))
        else:
            break
        if part is not None and part.sums:
            break
    while parts and not _pays(graph, parts, rows):
        parts.pop()
    return (rows, parts, [step for k, step in apart if k < len(parts)]) if parts else None


def _moves(step: Step) -> bool:
    # Whether an instruction may run earlier: it changes nothing but what it makes.
    return all(not n.record.updates and n.record.host is None and n.record.loop is None for n in step.nodes) and bool(step.nodes)


def _pays(graph: Graph, parts: Sequence[Part], rows: int) -> bool:
    # Whether a band reads less from memory than its parts do, its last part and its first among them.
    if len(parts) < 2 or not height_of(parts, graph, rows):
        return False
    large = [{v for v in (*p.step.inputs, *p.step.outputs) if v >= 0 and _bytes(graph, v) >= _FAR_BYTES} for p in parts]
    first, last = large[0], large[-1]
    joined = not first.isdisjoint(set().union(*large[1:])) and not last.isdisjoint(set().union(*large[:-1]))
    return joined and any(_reduced_rows(graph, p.step) for p in parts)


def _bytes(graph: Graph, v: int) -> int:
    return graph.specs[v].size * SIZES[graph.specs[v].dtype]


def _reduced_rows(graph: Graph, step: Step) -> int:
    # The rows of large arrays of which the instruction makes one number each; 0 for others.
    if step.chain is not None:
        tails = [s.kind for s in step.chain.sums]
        large = step.chain.header.elements * step.chain.header.itemsize >= _FAR_BYTES
        return step.chain.header.elements // step.chain.header.width if large and set(tails) & {ROWS, LOGSUMEXP} else 0
    if not (_single(graph, step) or step.kernel == DEVIATIONS) or _bytes(graph, step.inputs[0]) < _FAR_BYTES:
        return 0
    if step.kernel in _BY_RUNS and step.ints[:2] == (2, 0):
        return step.ints[2]
    return step.ints[0] if step.kernel in _BY_ROWS and step.ints[2] == 1 else 0


def _single(graph: Graph, step: Step) -> bool:
    # Whether a single op of one input and one result runs by its kernel.
    if len(step.nodes) != 1 or len(step.inputs) != 1 or step.blocked or step.nodes[0].record.host is not None or step.scratch:
        return False
    return step.code == KERNELS.get(f"{step.kernel}:{SUFFIX.get(works_in(graph, step.nodes[0]))}") and all(v >= 0 for v in step.outputs[:1])


def _elementwise(graph: Graph, step: Step) -> bool:
    # Whether a single op goes element by element through arrays of one size.
    if len(step.nodes) != 1 or len(step.outputs) != 1 or not step.inputs or min(step.inputs) < 0:
        return False
    size, dtype = graph.specs[step.outputs[0]].size, works_in(graph, step.nodes[0])
    name = f"{step.kernel}:{SUFFIX.get(dtype)}"
    own = step.code == KERNELS.get(name) and name in INNER and step.ints == (size,) and step.nodes[0].record.host is None
    return own and size > 0 and all(graph.specs[v].size == size for v in step.inputs)


def part_of(graph: Graph, step: Step, rows: int) -> Part | None:
    """An instruction as part of a band of so many rows; None if it does not go by these rows."""
    if step.blocked or step.shares or step.scratch or len(step.inputs) + len(step.outputs) > MOST_OPERANDS:
        return None
    if step.chain is not None:
        return _group(graph, step, step.chain, rows) if step.code == chain.ADDRESS else None
    if _elementwise(graph, step) and graph.specs[step.outputs[0]].size % rows == 0:
        width = graph.specs[step.outputs[0]].size // rows
        return Part(step, width, (width,) * (1 + len(step.inputs)))
    if _reduced_rows(graph, step) != rows or any(v >= 0 for v in step.outputs[1:]):
        return None
    width = graph.specs[step.inputs[0]].size // rows
    return Part(step, width, (*(1 for _ in step.outputs), width, *(1 for _ in step.inputs[1:])))


def _group(graph: Graph, step: Step, code: ChainCode, rows: int) -> Part | None:
    elements = code.header.elements
    width = elements // rows
    kinds = {s.kind for s in code.sums}
    if elements % rows or (code.header.width and (code.header.width != width or not kinds <= {ROWS, LOGSUMEXP})):
        return None
    if TOTAL in kinds and (kinds != {TOTAL} or width == 1):
        return None
    steps: list[int | None] = [width] * (len(step.outputs) - len(code.sums))
    steps += [None if s.kind == TOTAL else 1 for s in code.sums]
    for k, v in enumerate(step.inputs):
        size = graph.specs[v].size
        ways = {_row_step(s.axes, rows) for s in code.stretched if s.input == k}
        if size == elements:
            ways.add(width)
        elif size == 1:
            ways.add(0)
        if len(ways) != 1 or None in ways:
            return None
        steps += ways
    return Part(step, width, tuple(steps))


def _row_step(axes: Sequence[int], rows: int) -> int | None:
    # Elements of a stretched input from one row to the next; None where its axes cut rows otherwise.
    stride = axes[len(axes) // 2]
    return axes[0] // rows * stride if axes[0] % rows == 0 else None
