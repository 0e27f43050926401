"""Every array an allocation of exactly its bytes, so that an access past its end is one past an allocation: the pool is left out."""

from __future__ import annotations

from typing import Any

from tlean.cuda import context


class ExactMemory:
    """Stands where a context has its pool."""

    managed_bytes = active_bytes = 0

    def allocate(self, size: int) -> Any:
        """Device memory of so many bytes."""
        return context.driver().mem_alloc(size)

    def free_held(self) -> None:
        """Nothing is held."""

    def stop_holding(self) -> None:
        """Nothing is held."""


def use(where: context.Context) -> None:
    """From now on for this device."""
    where.pool = ExactMemory()
