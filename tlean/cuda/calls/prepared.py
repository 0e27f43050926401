"""The launches of a plan with everything found and packed that does not change from call to call."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from ..kernels.plan import Family, Fault, Faults, In, Launch, Out, Plan, Scratch, Verdict
from ..runtime.array import DeviceArray
from ..runtime.context import Context
from ..runtime.flags import FaultFlags
from ..runtime.values import require_here
from .packing import signature


class Prepared:
    """A plan on one device. A run writes the addresses of its arrays into the packed arguments and queues the launches.

    Args:
        where: the device.
        family: has the plan's functions, which are compiled and loaded now.
        plan: the launches.
        error: what to raise where a kernel met an index out of range.
    """

    __slots__ = ("_flags", "_launches", "_scratch", "_where")

    def __init__(self, where: Context, family: Family, plan: Plan, error: Callable[[], Exception]) -> None:
        self._where = where
        self._scratch = plan.scratch
        self._flags = FaultFlags(where, 1, lambda _: error()) if plan.checked else None
        fault = 0 if self._flags is None else self._flags.address
        self._launches = [_prepared(where, family, launch, fault) for launch in plan.launches if not launch.empty]

    def run(self, outs: Sequence[DeviceArray], ins: Sequence[DeviceArray | None]) -> None:
        """Queue it. An index out of range is met on the device: the next read raises it. Raises: DeviceError for another device's array."""
        where = self._where
        temporary = [where.allocate(size) for size in self._scratch]
        # By the numbers that `_prepared` gives the kinds of arguments.
        given = [0 if x is None else require_here(x, where).address for x in ins]
        addresses: tuple[Any, ...] = ([x.address for x in outs], given, [block.address for block in temporary])
        with where.current() as driver:
            if self._flags is not None:
                self._flags.expect(driver)
            for function, grid, block, packed, moving in self._launches:
                for at, kind, k in moving:
                    struct.pack_into("q", packed, at, addresses[kind][k])
                # What PyCUDA's `prepared_async_call` does once it has packed the arguments.
                function._launch_kernel(grid, block, packed, 0, where.stream)
                if where.blocking:
                    where.check_launch()


def _prepared(where: Context, family: Family, launch: Launch, fault: int) -> tuple[Any, ...]:
    letters = signature(launch)
    values: list[Any] = []
    moving = []
    for a in launch.args:
        match a:
            case Out(k) | In(k) | Scratch(k):
                moving.append((len(values), (Out, In, Scratch).index(type(a)), k))
                values.append(0)
            case Fault():
                values.append(fault)
            case Verdict() | Faults():
                values.append(0)
            case tuple():
                values += a
            case _:
                values.append(a)
    packed = bytearray(struct.pack(letters, *values))
    spots = [(struct.calcsize(letters[: n + 1]) - 8, kind, k) for n, kind, k in moving]
    return where.function(family, launch.function, letters), launch.grid, launch.block, packed, spots
