"""The one cache of the library: values that are made once for a key and kept, up to a number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .locks import Lock


class Cache(dict[Any, Any]):
    """Values by key. A full cache drops the value that was kept first; reading takes no lock.

    Args:
        most: how many values are kept.
    """

    __slots__ = ("_lock", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()

    def keep(self, key: Any, value: Any) -> list[Any]:
        """Keep a value as the newest. Returns: the values that were dropped for it."""
        dropped = []
        with self._lock:
            self.pop(key, None)
            self[key] = value
            while len(self) > self.most:
                dropped.append(self.pop(next(iter(self))))
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
