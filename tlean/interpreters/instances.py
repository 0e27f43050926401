"""Instances: an op at given specs and options, with its kernel and the plans of its derivatives, made once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean._core.eager.instance import Instance, options_key
from tlean._core.plan import plan as core
from tlean.caching import Cache
from tlean.compiler.cost import work_of
from tlean.compiler.cpu import CPU, DEFINED, kernel_address, kernel_numbers
from tlean.compiler.derive import conversion, decomposition, vjp_graph
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.compiler.signature import in_parts
from tlean.errors import DeviceError
from tlean.ops import OpDef, Spec

#: Instances kept for reuse: a program whose options change with every call makes one each time.
_INSTANCES = Cache(4_096)


def instantiate(record: OpDef, dtype: str, specs: tuple[Spec | None, ...], options: dict[str, Any], reference: bool) -> Instance:
    """The interned instance of an op: output, kernel and numbers at these specs and options; with `reference`, the definitions instead.

    Raises: ShapeError, OptionError, DTypeError, IndexRangeError as the op's rules say.
    """
    clean, outs = record.infer(specs, options, dtype)
    key = (record.name, dtype, specs, reference, options_key(clean))
    return record.kept("instances", _INSTANCES).make(key, lambda: _instance(record, dtype, specs, clean, outs, reference))


def _instance(
    record: OpDef, dtype: str, specs: tuple[Spec | None, ...], clean: dict[str, Any], outs: Sequence[Spec], reference: bool
) -> Instance:
    if len(record.outputs) > 1:
        raise DeviceError(f"{record.name}: an op with several outputs has no place on a tape")
    works = record.dtypes_at(specs, clean, dtype).works
    address = kernel_address(record, works)
    residuals = [(o.shape, o.dtype) for o in outs[1:]]
    work = work_of(record, specs, outs, clean)
    if (reference and not record.view) or record.stretches(specs, outs[0], clean):
        graph = Graph(dtype)
        refs = [graph.arg(s) for s in specs]
        graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], clean))
        plan = lower(graph, DEFINED if reference else CPU)
        return Instance(
            *(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, 0, (), ()),
            *(plan, lambda i, m: make_vjp(i, m, reference), plan.work),
        )
    converted = conversion(record, specs, clean, dtype)
    if converted is not None:
        plan = lower(converted)
        return Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, 0, (), (), plan, make_vjp, plan.work)
    if (address or record.view) and not in_parts(record, specs, clean):
        ints, floats = kernel_numbers(record, specs, outs, clean)
        return Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, address or 0, ints, floats, None, make_vjp, work)
    if record.rules.decompose is not None or in_parts(record, specs, clean):
        plan = lower(decomposition(record, specs, clean, dtype))
        return Instance(record, clean, specs, outs[0].shape, outs[0].dtype, residuals, 0, (), (), plan, make_vjp, plan.work)
    raise DeviceError(f"{record.name}: there is no CPU kernel {record.kernel!r} for {works}")


def make_vjp(instance: Instance, mask: int, reference: bool = False) -> core.Plan:
    """The plan of an instance's vector-Jacobian product for the inputs whose bits are set."""
    needs = tuple(bool(mask >> k & 1) for k in range(len(instance.specs)))
    graph = vjp_graph(instance.record, instance.specs, instance.options, instance.out_dtype, needs)
    return lower(graph, DEFINED if reference else CPU)
