"""Stand-ins for a context's pool that show what the pool hides: accesses past an array's end, and after its memory was given back."""

from __future__ import annotations

import ctypes
from typing import Any

from tlean.cuda.runtime import context


class ExactMemory:
    """Every array an allocation of exactly its bytes: an access past its end is one past an allocation."""

    managed_bytes = active_bytes = 0

    def allocate(self, size: int) -> Any:
        """Device memory of so many bytes."""
        return context.driver().mem_alloc(size)

    def free_held(self) -> None:
        """Nothing is held."""

    def stop_holding(self) -> None:
        """Nothing is held."""


class PoisonedMemory:
    """A pool whose memory is filled with 0xDD, in the order of the stream, when it is given back."""

    def __init__(self, where: context.Context) -> None:
        self.where = where
        self.pool = where.pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)

    def allocate(self, size: int) -> _Poisoned:
        """Device memory of so many bytes."""
        return _Poisoned(self.where, self.pool.allocate(size), size)


class _Poisoned:
    def __init__(self, where: context.Context, allocation: Any, size: int) -> None:
        self.where, self.allocation, self.size = where, allocation, size

    def __int__(self) -> int:
        return int(self.allocation)

    def free(self) -> None:
        if not self.where.recording:
            with self.where.current():
                at, stream = ctypes.c_uint64(int(self.allocation)), ctypes.c_void_p(int(self.where.stream.handle))
                ctypes.CDLL("libcuda.so.1").cuMemsetD8Async(at, ctypes.c_ubyte(0xDD), ctypes.c_size_t(self.size), stream)
        self.allocation.free()
