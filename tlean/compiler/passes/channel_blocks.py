"""Channels in blocks: values that lie in memory as Winograd's convolutions compute with them.

Those convolutions have channels as the lanes of their vectors. An array (N, C, H, W) is turned when it is read, and turned back when it is
written. Where only such convolutions, elementwise chains and sums to biases touch a value, it is kept as (N, C / lanes, H, W, lanes), and
no op transposes it: in conv → relu → conv, forward and backward, all that lies between the convolutions. Elementwise ops do not notice; the
others have kernels for it that give the same bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from tlean._core.table import KERNELS, MODULES

from ..graph import Graph
from ..target import Step, Target
from .epilogues import elementwise

#: Whether the kernel computes the wide side; the two arrays that may be in blocks, in the order in which `blocked_params` of the kernels
#: has them, as (place among the step's outputs and inputs, whether wide).
CONVOLUTIONS = {
    "conv": (False, ((0, False), (3, True))),
    "conv_transpose": (True, ((0, True), (3, False))),
    "_conv_grad_x": (True, ((0, True), (2, False))),
    "_conv_grad_w": (False, ((1, False), (2, True))),
}
#: Turns that must be saved for a value and those that elementwise ops tie to it. A sum to a bias costs about what one saves.
_ENOUGH = 2


def channel_blocks(graph: Graph, steps: Sequence[Step], kept: set[int], target: Target) -> list[Step]:
    """The same instructions, those values in blocks for which it pays. `kept` are values that others than instructions read."""
    dtypes = {graph.specs[v].dtype for s in steps if s.kernel in CONVOLUTIONS for v in s.outputs if v >= 0}
    if dtypes != {"float32"}:
        return list(steps)
    plain = {*kept, *graph.constants, *(v for v in graph.inputs if v is not None)}
    tied = _Ties()
    planes: dict[int, int] = {}
    saved: dict[int, int] = {}
    for step in steps:
        values = (*step.outputs, *step.inputs)
        if elementwise(graph, step, target) and not (step.chain and step.chain.stretched):
            elements = graph.specs[step.outputs[0]].size
            tied.unite(v for v in values if v >= 0 and graph.specs[v].size == elements)
            continue
        operands = _convolved(step) or _summed(step)
        plain.update(v for k, v in enumerate(values) if k not in operands)
        for k, plane in operands.items():
            v = values[k]
            if planes.setdefault(v, plane) != plane:
                plain.add(v)
            saved[v] = saved.get(v, 0) + (1 if step.kernel in CONVOLUTIONS else -1)
    chosen = {v for group in tied.groups([*planes, *plain]) if _pays(group, plain, planes, saved) for v in group}
    return [_in_blocks(s, chosen) for s in steps] if chosen else list(steps)


def _pays(group: set[int], plain: set[int], planes: dict[int, int], saved: dict[int, int]) -> bool:
    # What is a block depends on the positions of a plane, which views of other shapes may count in another way.
    alike = len({planes[v] for v in group if v in planes}) == 1
    return alike and not group & plain and sum(saved.get(v, 0) for v in group) >= _ENOUGH


def _convolved(step: Step) -> dict[int, int]:
    # Which operands of a convolution may be in blocks, with the positions of a plane.
    adjoint, places = CONVOLUTIONS.get(step.kernel, (False, ()))
    if not places:
        return {}
    wide, narrow = MODULES["conv"].blocked_planes(step.ints, adjoint)
    return {k: plane for k, is_wide in places if (plane := wide if is_wide else narrow)}


def _summed(step: Step) -> dict[int, int]:
    # The same for the operand of a sum to one number for each channel.
    params = MODULES["reduce"].blocked_params(step.ints) if step.kernel == "reduce_sum" else None
    if params is None:
        return {}
    _, _, positions = params
    return {1: positions}


def _in_blocks(step: Step, chosen: set[int]) -> Step:
    values = (*step.outputs, *step.inputs)
    blocked = tuple(dict.fromkeys(v for v in values if v in chosen))
    if not blocked:
        return step
    name = f"{step.kernel}_blocked"
    if step.kernel not in CONVOLUTIONS and step.kernel != "reduce_sum":
        return replace(step, blocked=blocked)
    ints = blocked_ints(step.kernel, step.ints, values, chosen)
    return replace(step, reports=None, kernel=name, code=KERNELS[f"{name}:f32"], ints=ints, blocked=blocked)


def blocked_ints(kernel: str, ints: tuple[int, ...], operands: Sequence[int | None], blocked: Collection[int]) -> tuple[int, ...]:
    """The integers of a kernel for blocks, given those of the plain one, its operands and which values are in blocks."""
    if kernel not in CONVOLUTIONS:
        return MODULES["reduce"].blocked_params(ints)
    _, places = CONVOLUTIONS[kernel]
    return MODULES["conv"].blocked_params(ints, *(operands[k] in blocked for k, _ in places))


class _Ties:
    # Values that must have the same layout.
    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def _top(self, v: int) -> int:
        while (above := self._above.setdefault(v, v)) != v:
            self._above[v] = v = self._above[above]
        return v

    def unite(self, values: Iterable[int]) -> None:
        tops = [self._top(v) for v in values]
        for top in tops:
            self._above[top] = tops[0]

    def groups(self, more: Iterable[int]) -> list[set[int]]:
        """All values that were united, and each of `more`, in groups."""
        made: dict[int, set[int]] = {}
        for v in [*self._above, *more]:
            made.setdefault(self._top(v), set()).add(v)
        return list(made.values())
