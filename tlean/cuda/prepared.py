"""The launches of a plan with everything found and packed that does not change from call to call."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import IndexRangeError
from .array import DeviceArray
from .context import Context
from .kernels.plan import Family, Fault, In, Launch, Out, Plan, Scratch


class Prepared:
    """A plan on one device. A run writes the addresses of its arrays into the packed arguments and queues the launches.

    Args:
        where: the device.
        family: has the plan's functions, which are compiled and loaded now.
        plan: the launches.
    """

    __slots__ = ("_checked", "_launches", "_scratch", "_where")

    def __init__(self, where: Context, family: Family, plan: Plan) -> None:
        self._where = where
        self._scratch = plan.scratch
        self._checked = plan.checked
        self._launches = [_prepared(where, family, launch) for launch in plan.launches if not launch.empty]

    def run(self, outs: Sequence[DeviceArray], ins: Sequence[DeviceArray | None]) -> None:
        """Queue it. Raises: IndexRangeError where a kernel met an index out of range; such kernels are waited for."""
        where = self._where
        temporary = [where.allocate(size) for size in self._scratch]
        fault = [where.allocate(4)] if self._checked else []
        # By the numbers that `_prepared` gives the kinds of arguments.
        addresses: tuple[Any, ...] = ([x.address for x in outs], [0 if x is None else x.address for x in ins])
        addresses += ([block.address for block in temporary], [block.address for block in fault])
        with where.current() as driver:
            if fault:
                driver.memset_d32_async(fault[0].address, 0, 1, where.stream)
            for function, grid, block, packed, moving in self._launches:
                for at, kind, k in moving:
                    struct.pack_into("q", packed, at, addresses[kind][k])
                # What PyCUDA's `prepared_async_call` does once it has packed the arguments.
                function._launch_kernel(grid, block, packed, 0, where.stream)
            if fault:
                met = np.empty(1, np.int32)
                driver.memcpy_dtoh_async(met, fault[0].address, where.stream)
                where.stream.synchronize()
                if met[0]:
                    raise IndexRangeError("an index is out of range")


def signature(launch: Launch) -> str:
    """The layout of a launch's arguments, in the letters of the module `struct`; integers and pointers are 8 bytes."""
    letters = ""
    for a in launch.args:
        if isinstance(a, float):
            letters += "f"
        elif isinstance(a, tuple):
            letters += "q" * len(a)
        else:
            letters += "q"
    return letters


def _prepared(where: Context, family: Family, launch: Launch) -> tuple[Any, ...]:
    letters = signature(launch)
    values: list[Any] = []
    moving = []
    for a in launch.args:
        match a:
            case Out(k) | In(k) | Scratch(k):
                moving.append((len(values), (Out, In, Scratch).index(type(a)), k))
                values.append(0)
            case Fault():
                moving.append((len(values), 3, 0))
                values.append(0)
            case tuple():
                values += a
            case _:
                values.append(a)
    packed = bytearray(struct.pack(letters, *values))
    spots = [(struct.calcsize(letters[: n + 1]) - 8, kind, k) for n, kind, k in moving]
    return where.function(family, launch.function, letters), launch.grid, launch.block, packed, spots
