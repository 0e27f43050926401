"""The way of host arrays to a device. The host never waits for it, and may change its array as soon as the call returns.

A few bytes (a seed, an optimiser's rates) go as a launch's arguments. Everything else is copied to page-locked memory of the context's own
first: the driver reads that late, and no one else writes there before.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calls.packing import Packed
from ..kernels.elementwise import FAMILY, MOST_WORDS, words

if TYPE_CHECKING:
    from .context import Context

_CHUNK = 1 << 22
#: Chunks that may wait for their copies: beyond them the host waits for the oldest.
_MOST_CHUNKS = 16
_ALIGNMENT = 256


class Uploads:
    """Copies from the host to one device, in the order of its stream."""

    def __init__(self, where: Context) -> None:
        self._where = where
        self._chunk: np.ndarray | None = None
        self._used = _CHUNK
        #: Chunks that are full, with an event after their last copy; the oldest first.
        self._full: deque[tuple[np.ndarray, Any]] = deque()
        self._chunks = 0

    def copy(self, address: int, host: np.ndarray, driver: Any) -> None:
        """Queue a copy of a dense array to an address. The context is current."""
        size = host.nbytes
        if 0 < size <= 8 * MOST_WORDS:
            self._as_arguments(address, host, size)
            return
        source, at = host.reshape(-1).view(np.uint8), 0
        while at < size:
            if self._used >= _CHUNK:
                self._next(driver)
            n = min(_CHUNK - self._used, size - at)
            piece = self._chunk[self._used : self._used + n]  # type: ignore[index]
            # Taken before it is read: whatever ends this call, nothing else writes there.
            self._used += -(-n // _ALIGNMENT) * _ALIGNMENT
            piece[:] = source[at : at + n]
            driver.memcpy_htod_async(address + at, piece, self._where.stream)
            at += n

    def _as_arguments(self, address: int, host: np.ndarray, size: int) -> None:
        padded = np.zeros(MOST_WORDS, np.int64)
        padded.view(np.uint8)[:size] = host.reshape(-1).view(np.uint8)
        ((function, arguments),) = Packed(self._where, FAMILY, words(address, padded.tolist(), size)).calls()
        function(*arguments)

    def _next(self, driver: Any) -> None:
        if self._chunk is not None and not (self._full and self._full[-1][0] is self._chunk):
            full = self._chunk, driver.event().record(self._where.stream)
            self._full.append(full)
        self._chunk = None
        free = bool(self._full) and self._full[0][1].query()
        if free or self._chunks >= _MOST_CHUNKS:
            self._chunk, last = self._full.popleft()
            if not free:
                last.synchronize()
        else:
            self._chunk = driver.page_locked(_CHUNK)
            self._chunks += 1
        self._used = 0

    def close(self) -> None:
        """Give the memory back; the stream has been waited for."""
        self._chunk = None
        self._full.clear()
        self._used, self._chunks = _CHUNK, 0

    @property
    def held(self) -> list[Any]:
        """What the driver has to be told of before it goes."""
        return [self._chunk, *(x for pair in self._full for x in pair)]
