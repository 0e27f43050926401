"""Launches as calls of the driver: the one place where arguments are packed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..kernels.plan import Address, Family, Launch

if TYPE_CHECKING:
    from ..runtime.context import Context

#: A call of the driver: a function of C, and its arguments.
DriverCall = tuple[Any, tuple[Any, ...]]
#: An address, or (kind, number) of one that is `addresses[kind][number]` at each call.
Place = int | tuple[int, int]
Addresses = Sequence[Sequence[int]] | Mapping[int, Sequence[int]]

_write = struct.Struct("q").pack_into


def address_at(place: Place, addresses: Addresses) -> int:
    """The address at a place in this call."""
    return place if isinstance(place, int) else addresses[place[0]][place[1]]


class Packed:
    """A launch whose arguments are packed once: integers and addresses in 8 bytes, floats in 4, a tuple as a struct of its integers.

    Args:
        where: the device.
        family: has the function, which is compiled and loaded now.
        launch: the function, its arguments, its blocks.
        place_of: the place of an argument that is not a number.
    """

    __slots__ = ("_arguments", "_function", "_moving", "_packed", "_where")

    def __init__(self, where: Context, family: Family, launch: Launch, place_of: Callable[[Address], Place] | None = None) -> None:
        layout = ""
        values: list[Any] = []
        #: (offset, kind, number) of the addresses that each call writes.
        self._moving: list[tuple[int, int, int]] = []
        for a in launch.args:
            if isinstance(a, tuple):
                layout += "q" * len(a)
                values += a
                continue
            value: Any = place_of(a) if place_of is not None and isinstance(a, Address) else a
            layout += "f" if isinstance(value, float) else "q"
            if isinstance(value, tuple):
                self._moving.append((struct.calcsize(layout) - 8, *value))
                value = 0
            values.append(value)
        self._where = where
        self._packed = bytearray(struct.pack(layout, *values))
        self._function = where.function(family, launch.function)
        self._arguments = launch.grid, launch.block, self._packed, 0

    def calls(self, addresses: Addresses = ()) -> tuple[DriverCall]:
        """What queues it, with these addresses written into the arguments."""
        for offset, kind, number in self._moving:
            _write(self._packed, offset, addresses[kind][number])
        return ((self._function, (*self._arguments, self._where.stream)),)

    def queue(self, addresses: Addresses = ()) -> None:
        """Queue it now. The context is current. Raises: DeviceError where each launch is waited for."""
        where = self._where
        # As `calls` does it, without a call of Python: every eager op comes here.
        for offset, kind, number in self._moving:
            _write(self._packed, offset, addresses[kind][number])
        self._function(*self._arguments, where.stream)
        if where.blocking:
            where.check_launch()


def launch_once(where: Context, family: Family, launch: Launch, place_of: Callable[[Address], Place] | None = None) -> None:
    """Queue a launch; see `Packed` for the arguments. Raises: DeviceError."""
    if not launch.empty:
        packed = Packed(where, family, launch, place_of)
        with where.current():
            packed.queue()
