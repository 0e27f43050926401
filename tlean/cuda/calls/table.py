"""The kernels that there are, by name, and the launches of a call.

Kernels are looked up by the names, and get the integers and floats, that they have on the CPU (`OpDef.kernel`, `OpDef.kernel_params`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tlean.dtypes import SUFFIX
from tlean.errors import DeviceError
from tlean.ops import OpDef, Spec

from ..kernels import kernel_families
from ..kernels.convert import name_of
from ..kernels.plan import ByInputs, Family, Mode, Plan

#: What float is on a device.
DTYPE = "float32"
#: Kernel name -> the family that has it.
KERNELS: dict[str, Family] = dict(kernel_families())


#: Products in float32, and every result the same in every run.
EXACT = Mode()


def kernel_of(record: OpDef, dtype: str = DTYPE) -> str:
    """The name of an op's kernel that works in that dtype. Raises: DeviceError for float64."""
    if dtype == "float64":
        raise DeviceError(f"{record.name.lstrip('_')}: CUDA computes in float32, not float64; run it on device='cpu'")
    return name_of(record.kernel, SUFFIX[dtype])


def family_of(record: OpDef, mode: Mode = EXACT, dtype: str = DTYPE) -> Family:
    """The family that has an op's kernel that works in that dtype, in a mode. Raises: DeviceError that names the op."""
    kernel = kernel_of(record, dtype)
    family = KERNELS.get(kernel)
    if family is None:
        raise DeviceError(f"{record.name.lstrip('_')}: there is no CUDA kernel named {kernel!r}; run it on device='cpu'")
    return family.of(kernel, mode)


def plan_of(record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any], mode: Mode = EXACT) -> Plan:
    """The launches of a call; options in the canonical form of `OpDef.infer`. They are functions of its family.

    Raises: DeviceError where there is no kernel.
    """
    works = works_in(record, specs, options)
    ints, floats = record.kernel_params(specs, options)
    planner = family_of(record, mode, works).kernels[kernel_of(record, works)]
    return planner(ints, floats, [s is not None for s in specs]) if isinstance(planner, ByInputs) else planner(ints, floats)


def works_in(record: OpDef, specs: Iterable[Spec | None], options: dict[str, Any]) -> str:
    """The dtype that the kernel of a call works in."""
    return record.dtypes_at(specs, options, DTYPE).works
