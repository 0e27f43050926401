"""Sums of arrays that are on GPUs, by NCCL through NVIDIA's package nccl4py: one process for each GPU.

Written to the package's documentation and tested with a stand-in for it; it has not been measured on several GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def package() -> Any:
    """The package nccl4py, or None where it is not installed."""
    try:
        import nccl.core as nccl
    except ImportError:
        return None
    return nccl


class DeviceSum:
    """Sums over all ranks of arrays on this rank's device.

    Args:
        nccl: the package.
        world: the ranks.
        where: the device's context.
    """

    def __init__(self, nccl: Any, world: Any, where: Any) -> None:
        self._nccl, self._where = nccl, where
        unique = world.share(bytes(nccl.get_unique_id()) if world.root else None)
        with where.current():
            self._comm = nccl.Communicator.init(world.size, world.rank, nccl.UniqueId.from_bytes(unique))

    @classmethod
    def of(cls, world: Any, where: Any) -> DeviceSum | None:
        """The sums of a job, or None where they go through the host: without the package on a rank, or for a rank alone.

        Args:
            world: the ranks.
            where: this rank's device.
        """
        if world.size == 1:
            return None
        nccl = package()
        # All ranks or none.
        return cls(nccl, world, where) if all(world.gather(nccl is not None)) else None

    def all_reduce(self, arrays: Sequence[Any]) -> None:
        """Replace arrays of the device by their sums over all ranks, on the context's stream.

        Args:
            arrays: the same shapes on every rank, in one order; nothing else holds their memory.
        """
        stream = int(self._where.stream.handle)
        with self._where.current(), self._nccl.group():
            for array in arrays:
                self._comm.allreduce(array, array, self._nccl.SUM, stream=stream)
