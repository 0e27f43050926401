"""The kernels that there are, by name, and the launches of a call.

Kernels are looked up by the names, and get the integers and floats, that they have on the CPU (`OpDef.kernel`, `OpDef.kernel_params`).
"""

from __future__ import annotations

from typing import Any

from tlean.errors import DeviceError
from tlean.ops import OpDef, Spec

from ..kernels import kernel_families
from ..kernels.plan import Family, Mode, Plan

#: Kernel name -> the family that has it.
KERNELS: dict[str, Family] = dict(kernel_families())


#: Products in float32, and every result the same in every run.
EXACT = Mode()


def family_of(record: OpDef, mode: Mode = EXACT) -> Family:
    """The family that has an op's kernel in a mode. Raises: DeviceError that names the op."""
    family = KERNELS.get(record.kernel)
    if family is None:
        raise DeviceError(f"{record.name.lstrip('_')}: there is no CUDA kernel named {record.kernel!r}; run it on device='cpu'")
    return family.of(record.kernel, mode)


def plan_of(record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any], mode: Mode = EXACT) -> Plan:
    """The launches of a call; options in the canonical form of `OpDef.infer`. They are functions of `family_of(record, mode)`.

    Raises: DeviceError where there is no kernel.
    """
    family = family_of(record, mode)
    ints, floats = record.kernel_params(specs, options)
    return family.kernels[record.kernel](ints, floats)
