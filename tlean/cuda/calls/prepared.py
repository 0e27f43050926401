"""The launches of an op's call, packed for one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..kernels.plan import Address, Family, Fault, In, Out, Plan, Scratch
from ..runtime.array import DeviceArray
from ..runtime.context import Context
from ..runtime.flags import FaultFlags
from ..runtime.values import require_here
from .packing import Packed, Place

_KINDS = (Out, In, Scratch)


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
        self._launches = [Packed(where, family, launch, self._place) for launch in plan.launches if not launch.empty]

    def _place(self, a: Address) -> Place:
        if isinstance(a, _KINDS):
            return _KINDS.index(type(a)), a.number
        return self._flags.address if isinstance(a, Fault) and self._flags is not None else 0

    def run(self, outs: Sequence[DeviceArray], ins: Sequence[DeviceArray | None]) -> None:
        """Queue it. An index out of range is met on the device: the next read raises it. Raises: DeviceError for another device's array."""
        where = self._where
        temporary = [where.allocate(size) for size in self._scratch]
        inputs = [0 if x is None else require_here(x, where).address for x in ins]
        # In the order of `_KINDS`.
        addresses = ([x.address for x in outs], inputs, [block.address for block in temporary])
        with where.current() as driver:
            if self._flags is not None:
                self._flags.expect(driver)
            for launch in self._launches:
                launch.queue(addresses)
