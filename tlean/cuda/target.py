"""CUDA as a target of the compiled backend: which kernels there are, and the launches of every instruction."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tlean._core.plan.commit import Commit
from tlean.compiler.graph import Graph
from tlean.compiler.target import Arrangement, Bound, Step, Target, nbytes

from .._core.array import AnyTensor, as_tensor
from ..errors import DeviceError, DTypeError
from ..ops import OpDef
from ..ops.elementwise import FORMULAS, LANES
from ..ops.layout import CONVERSIONS, conversion_op
from .calls.table import EXACT, KERNELS, family_of, kernel_of, plan_of, works_in
from .code import Code
from .fused import group_of
from .kernels.plan import Mode
from .loops import RunsOnDevice, device_loop
from .plan import DevicePlan
from .runtime import dlpack
from .runtime.array import DeviceArray, to_device
from .runtime.context import Context, context
from .runtime.values import require_here
from .updates import merge_updates


@dataclass(frozen=True)
class Cuda(Target):
    """A CUDA device. Lowering touches no device; plans are made and run on device number `device`.

    Args:
        device: the number of the device.
        mode: how the kernels compute.
        fusing: whether elementwise ops are fused, which compiles kernels for each plan.
        whole: whether ops that other ops make up run by their own kernels.
    """

    device: int = 0
    mode: Mode = EXACT
    fusing: bool = True
    whole: bool = True

    title = "CUDA"
    alignment = 256
    # A group's arguments stay within the 4 KB that a launch takes.
    most_in_group = 64
    # In the time of a launch a device moves megabytes.
    small = 1 << 18
    skips_unread = False
    stretches = True
    sums_rows = False

    @property
    def single(self) -> Target:
        return Cuda(self.device, self.mode, False, self.whole)

    @property
    def where(self) -> Context:
        """The device, which is started if it was not."""
        return context(self.device)

    def has_kernel(self, record: OpDef, dtype: str) -> bool:
        if record.loop is not None:
            return True
        if record.host is not None:
            if record.cuda is not None or record.rules.decompose is not None:
                return record.cuda is not None
            raise DeviceError(
                f"{record.name}: a Python function on arrays cannot run on a CUDA device; use device='cpu', ops of the library, or "
                "CUDA C by cuda= of custom_op"
            )
        no_kernel = record.kernel not in KERNELS and kernel_of(record, dtype) not in KERNELS
        # What an op's rule reads besides its value only its own kernel makes.
        in_parts = not self.whole and not record.residuals
        if record.rules.decompose is not None and (no_kernel or in_parts):
            return False
        family_of(record, self.mode, dtype)
        return True

    def fuses(self, record: OpDef, dtype: str) -> bool:
        if not self.fusing or record.host is not None:
            return False
        if record.name in CONVERSIONS:
            return record.name == conversion_op("bool" if dtype == "float32" else "float32")
        formula = FORMULAS.get(record.kernel) or LANES.get(record.kernel)
        return formula is not None and formula.lanes is None and record.kernel in KERNELS

    def instruction(self, graph: Graph, op: Bound, outputs: tuple[int, ...]) -> Step:
        record = op.record
        if record.loop is not None:
            return Step(record.loop.title, op.reads, outputs, (op.node,), code=Code(loop=record.loop.code[self]))
        if record.cuda is not None:
            own, made = record.cuda(op.specs, [graph.specs[v] for v in op.node.outputs])
            return Step(record.name, op.reads, outputs, (op.node,), code=Code(tuple((own, launch) for launch in made.launches)))
        works = works_in(record, op.specs, op.node.options)
        family, plan = family_of(record, self.mode, works), plan_of(record, op.specs, op.node.options, self.mode)
        # A thread of an elementwise kernel reads its element before it writes it.
        writes_over = record.kernel in FORMULAS or record.kernel in LANES
        in_place = {0: tuple(i for i in op.reads if i >= 0)} if writes_over and not record.whole(op.specs, op.node.options) else {}
        code = Code(tuple((family, launch) for launch in plan.launches))
        return Step(record.kernel, op.reads, outputs, (op.node,), code=code, scratch=plan.scratch, in_place=in_place)

    def loop(self, loop: Any, plans: Sequence[Any]) -> RunsOnDevice:
        return device_loop(loop, plans)

    def fused(self, graph: Graph, ops: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound]) -> Step:
        group = group_of(graph, ops, visible, sums)
        reduce = KERNELS["reduce_sum"]
        code = Code(tuple((None if own else reduce, launch) for own, launch in group.launches), group.source)
        every = tuple(op.node for op in (*ops, *sums))
        name = "fused(" + " ".join(n.record.name.lstrip("_") for n in every) + ")"
        size = graph.specs[ops[-1].made].size
        heirs = tuple(v for v in group.inputs if graph.specs[v].size == size)
        outputs = (*visible, *(total.made for total in sums))
        in_place = dict.fromkeys(range(len(visible)), heirs)
        return Step(name, group.inputs, outputs, every, code=code, scratch=group.scratch, in_place=in_place)

    def copy(self, graph: Graph, source: int, target: int) -> Step:
        return Step("copy", (source,), (target,), (), code=Code(copied=nbytes(graph.specs[source])))

    def rewrite(self, graph: Graph, steps: list[Step], kept: set[int]) -> list[Step]:
        return merge_updates(graph, steps, lambda op, rows: Code(update=(op, rows)))

    def plan(self, arrangement: Arrangement) -> DevicePlan:
        return DevicePlan(arrangement, self.where)

    def run(
        self, plan: Any, inputs: Sequence[Any], out_specs: Sequence[tuple[tuple[int, ...], str]], changes: Commit | None = None
    ) -> list[Any]:
        return plan.run(inputs, out_specs, changes)

    step: ClassVar[Callable[..., list[Any]]] = run

    def array(self, value: Any, dtype: str | None = None) -> Any:
        """An array of this device as it is, an array of another library's device memory without a copy, anything else on the host."""
        if not isinstance(value, DeviceArray) and not _of_a_device(value):
            return as_tensor(value, dtype)
        found = value if isinstance(value, DeviceArray) else to_device(value, self.where)
        require_here(found, self.where)
        if dtype is not None and found.dtype != dtype:
            raise DTypeError(f"CUDA: an array of dtype {dtype} is expected, got {found.dtype} on {found.device}")
        return found


def _of_a_device(x: Any) -> bool:
    # Another library's array that `to_device` takes without a copy.
    if isinstance(x, AnyTensor | np.ndarray):
        return False
    if hasattr(x, "__cuda_array_interface__"):
        return True
    return hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] in (dlpack.CUDA, dlpack.MANAGED)


@functools.cache
def target(device: int = 0, mode: Mode = EXACT, whole: bool = True) -> Cuda:
    """The target of a device, the same object for the same device and mode."""
    return Cuda(device, mode, True, whole)
