"""Ranks without MPI, for tests in one process: every other rank does what this one does, with the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean.distributed.world import World


class Done:
    """A request that is complete when it has been asked for so often."""

    def __init__(self, asks: int, then: Any = None) -> None:
        self.asks, self.then = asks, then

    def Test(self) -> bool:
        self.asks -= 1
        if self.asks <= 0 and self.then is not None:
            self.then()
            self.then = None
        return self.asks <= 0


class MirrorComm:
    """A communicator between mirror images; `log` has its calls."""

    def __init__(self, world: MirrorWorld, number: int) -> None:
        self.world, self.number = world, number

    def Get_size(self) -> int:
        return self.world.size

    def Get_rank(self) -> int:
        return self.world.rank

    def Iallreduce(self, _: Any, buffer: np.ndarray) -> Done:
        self.world.log.append(("allreduce", self.number, buffer.ctypes.data, len(buffer)))

        def add() -> None:
            buffer[...] = buffer * self.world.size

        return Done(self.world.asks, add)

    def Ialltoallv(self, sent: Any, received: Any) -> Done:
        buffer, (counts, at) = sent
        own = buffer[at[self.world.rank] : at[self.world.rank] + counts[self.world.rank]]
        received[0][...] = own
        return Done(self.world.asks)

    def Iallgatherv(self, own: np.ndarray, received: Any) -> Done:
        buffer, (counts, at) = received
        self.world.log.append(("allgather", self.number, buffer.ctypes.data, len(buffer)))

        def add() -> None:
            mine = slice(at[self.world.rank], at[self.world.rank] + counts[self.world.rank])
            assert own.tolist() == (buffer[mine] * self.world.size).tolist()
            buffer[...] = buffer * self.world.size

        return Done(self.world.asks, add)


class MirrorWorld(World):
    """A rank among mirror images of itself: a power of two of them, so that sums are exact."""

    def __init__(self, size: int = 2, rank: int = 0, asks: int = 1) -> None:
        super().__init__(None)
        self.size, self.rank, self.asks = size, rank, asks
        self.log: list[Any] = []
        self._mirrors: dict[int, MirrorComm] = {}

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.size

    def channel(self, number: int) -> Any:
        return self._mirrors.setdefault(number, MirrorComm(self, number))
