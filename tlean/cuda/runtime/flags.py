"""Indices out of range: kernels meet them on the device, and the thread that queued them is told when it next waits for the device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from tlean._core.plan.commit import Commit

from .context import Block, Context


class FaultFlags:
    """Ints on a device, one for each launch that looks for indices out of range. Such a launch sets its int to 1.

    Runs of several threads share them: before another thread's run, what the last one's has met goes to separate memory.

    Args:
        where: the device.
        count: how many.
        error: what to raise for int number k.
        memory: where they are, at `offset`; a separate block by default.
    """

    def __init__(self, where: Context, count: int, error: Callable[[int], Exception], memory: Block | None = None, offset: int = 0) -> None:
        self.where = where
        self.count = count
        self.error = error
        self._memory = where.allocate(4 * count) if memory is None else memory
        self.address: int = self._memory.address + offset
        self._pending: _Pending | None = None
        with where.current() as driver:
            self.clear(driver)

    def clear(self, driver: Any) -> None:
        """Set them to 0."""
        driver.memset_d32_async(self.address, 0, self.count, self.where.stream)

    def expect(self, driver: Any) -> None:
        """A run of this thread follows. The context is current."""
        thread, pending = threading.get_ident(), self._pending
        if pending is not None and pending.thread == thread:
            return
        # All of it or nothing, whatever comes between two lines: a report that is only half expected would be lost.
        changes, follower = Commit(), _Pending(self, thread)
        changes.call(self.where.watched.append, (thread, follower))
        if pending is not None:
            pending.part(changes, driver)
        changes.set(self, "_pending", follower)
        changes.now()

    def seen(self, pending: _Pending) -> None:
        """These runs were looked after."""
        if self._pending is pending:
            self._pending = None


class _Pending:
    # Runs of one thread that have not been checked. Called when the device was waited for.

    def __init__(self, flags: FaultFlags, thread: int) -> None:
        self.flags = flags
        self.thread = thread
        self._parted: Block | None = None

    def part(self, changes: Commit, driver: Any) -> None:
        flags = self.flags
        block = flags.where.allocate(4 * flags.count)
        changes.call(driver.memcpy_dtod_async, block.address, flags.address, block.size, flags.where.stream)
        changes.call(driver.memset_d32_async, flags.address, 0, flags.count, flags.where.stream)
        changes.set(self, "_parted", block)

    def __call__(self) -> None:
        flags, found = self.flags, np.empty(self.flags.count, np.int32)
        with flags.where.current() as driver:
            flags.seen(self)
            flags.where.read(found, flags.address if self._parted is None else self._parted.address)
            if not found.any():
                return
            if self._parted is None:
                flags.clear(driver)
        raise flags.error(int(np.flatnonzero(found)[0]))
