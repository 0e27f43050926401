"""Locks that a forked child can take.

A fork copies a lock as it is. Where another thread held it, no thread of the child would release it, so the child gets a new one. What a
lock guards is right at any moment, for a child that takes it over: made aside, then put in place by one assignment.
"""

from __future__ import annotations

import os
import weakref
from _thread import RLock
from typing import Any

_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock(RLock):  # type: ignore[misc]
    """A lock for `with`, which the thread that holds it may take again.

    It is taken and given back by C alone: a signal's handler runs before or after, so that an interruption leaves no lock taken.
    """

    def __init__(self) -> None:
        _locks.add(self)

    def after_fork(self) -> None:
        """Be free in a forked child, unless the thread that forked, the only one there, holds it itself."""
        if not self._is_owned():  # type: ignore[attr-defined]
            self._at_fork_reinit()  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        # A copy of an object with a lock has its own lock.
        return Lock, ()


def _after_fork() -> None:
    for lock in list(_locks):
        lock.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
