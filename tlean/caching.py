"""The one cache of the library: values that are made once for a key and kept, up to a number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Cache(dict[Any, Any]):
    """Values by key. A full cache drops the value that was kept first.

    There is no lock, which an interruption could leave taken: each step is one operation on a dictionary, right in several threads.

    Args:
        most: how many values are kept.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        self.most: int = most

    def keep(self, key: Any, value: Any) -> list[Any]:
        """Keep a value as the newest. Returns: the values that were dropped for it."""
        dropped: list[Any] = []
        self.pop(key, None)
        self[key] = value
        while len(self) > self.most:
            try:
                oldest = self.pop(next(iter(self)))
            except (KeyError, RuntimeError, StopIteration):
                # Another thread has just dropped it, or is changing the cache: it drops what is too much.
                break
            dropped.append(oldest)
        return dropped

    def make(self, key: Any, build: Callable[[], Any]) -> Any:
        """The value of a key, built where there is none. What has a key that cannot be hashed or compared is built at each call."""
        try:
            value = self.get(key)
        except (TypeError, ValueError):
            return build()
        if value is None:
            value = build()
            self.keep(key, value)
        return value


class once:
    """A method as an attribute that is computed when it is first read.

    `functools.cached_property` has a lock in Python 3.11, which a forked child may find taken.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    def __get__(self, owner: Any, kind: type[Any]) -> Any:
        value = owner.__dict__[self._name] = self._function(owner)
        return value
