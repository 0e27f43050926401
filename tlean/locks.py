"""Locks that a forked child can take.

A fork copies a lock as it is. Where another thread held it, no thread of the child would release it, so the child gets a new one. What a
lock guards is right at any moment, for a child that takes it over: made aside, then put in place by one assignment.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A lock for `with`, which the thread that holds it may take again."""

    __slots__ = ("__weakref__", "_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._renew()
        _locks.add(self)

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self._owner = self._depth = 0

    def after_fork(self) -> None:
        """Be free in a forked child, unless the thread that forked, the only one there, holds it itself."""
        if self._owner != threading.get_ident():
            self._renew()

    def acquire(self, blocking: bool = True) -> bool:
        """Take it, when it is free; unless `blocking`, only if it is free now. Returns: whether it was taken."""
        if not self._lock.acquire(blocking):
            return False
        self._owner = threading.get_ident()
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back as often as it was taken."""
        self._depth -= 1
        if not self._depth:
            self._owner = 0
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def __reduce__(self) -> Any:
        # A copy of an object with a lock has its own lock.
        return Lock, ()


def plain_lock() -> Any:
    """A lock taken and given back by C alone, with no line of Python where a signal's handler could run; its owner renews it after a fork.

    Returns: a lock that the thread that holds it may take again.
    """
    return threading.RLock()


def _after_fork() -> None:
    for lock in list(_locks):
        lock.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
