"""Sums of arrays that are on GPUs, by NCCL through NVIDIA's package nccl4py: one process for each GPU.

Tested with the package on a stand-in for NCCL's library; it has not been measured on several GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean.errors import DeviceError

from .world import RankError


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

    Raises: DeviceError that names the call of NCCL that failed; RankError on the others where it was one of rank 0 alone.
    """

    def __init__(self, nccl: Any, world: Any, where: Any) -> None:
        self._nccl, self._where, self._rank = nccl, where, world.rank
        unique, failure = None, None
        if world.root:
            try:
                unique = bytes(nccl.get_unique_id())
            except Exception as error:
                failure = error
        unique = world.share(unique)
        if failure is not None:
            raise self._error("ncclGetUniqueId", failure) from failure
        if unique is None:
            raise RankError("distributed: rank 0 could not begin the sums over devices: ncclGetUniqueId failed there")
        try:
            with where.current():
                self._comm = nccl.Communicator.init(world.size, world.rank, nccl.UniqueId.from_bytes(unique))
        except Exception as error:
            raise self._error("ncclCommInitRank", error) from error

    def _error(self, call: str, error: Exception) -> DeviceError:
        return DeviceError(f"distributed: {call} failed on rank {self._rank}: {error}")

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

        Raises: DeviceError that names the call of NCCL that failed.
        """
        stream, call = int(self._where.stream.handle), "ncclGroupStart"
        try:
            with self._where.current(), self._nccl.group():
                for array in arrays:
                    call = "ncclAllReduce"
                    self._comm.allreduce(array, array, self._nccl.SUM, stream=stream)
                call = "ncclGroupEnd"
        except Exception as error:
            raise self._error(call, error) from error
