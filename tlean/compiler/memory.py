"""Where temporaries live: every buffer has a size and the steps between which it is used; those whose spans are apart may share memory."""

from __future__ import annotations

from bisect import bisect_left, insort

#: This many of the largest buffers are packed with each other in mind; the others, which matter less, one after another.
_PACKED = 256
#: Buffers of so many bytes in all fit a second-level cache however they lie: to pack them takes longer than it saves.
_FITS = 128 * 1024


class Buffer:
    """A block of memory in use from step `first` to step `last`; `at` is its place, known after `assign`."""

    __slots__ = ("at", "first", "last", "size")

    at: int
    first: int
    last: int
    size: int

    def __init__(self, size: int, first: int, last: int, at: int = 0) -> None:
        self.size, self.first, self.last, self.at = size, first, last, at


class Buffers:
    """The temporaries of one plan; each begins at a multiple of `alignment` bytes."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.all: list[Buffer] = []
        # Bytes as they are asked for -> those that are given.
        self._rooms: dict[int, int] = {}

    def take(self, size: int, step: int) -> Buffer:
        """A buffer of `size` bytes, in use from this step on; `last` is set when it is known."""
        room = self._rooms.get(size)
        if room is None:
            room = self._rooms[size] = max(-(-size // self.alignment), 1) * self.alignment
        buffer = Buffer(room, step, step)
        self.all.append(buffer)
        return buffer

    def assign(self) -> int:
        """Give every buffer its place; returns the bytes that all of them need together."""
        if len(self.all) > _PACKED and sum(b.size for b in self.all) <= _FITS:
            return _stream(sorted(self.all, key=lambda b: b.first), 0)
        order = sorted(self.all, key=lambda b: (-b.size, b.first))
        top = _pack(order[:_PACKED])
        return _stream(sorted(order[_PACKED:], key=lambda b: b.first), top)


def _pack(buffers: list[Buffer]) -> int:
    # The largest first, each at the lowest place that is free for the whole of its span.
    placed: list[Buffer] = []
    top = 0
    for buffer in buffers:
        at = 0
        for other in placed:
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if at + buffer.size <= other.at:
                break
            at = max(at, other.at + other.size)
        buffer.at = at
        insort(placed, buffer, key=lambda b: b.at)
        top = max(top, at + buffer.size)
    return top


def _stream(buffers: list[Buffer], base: int) -> int:
    # In the order of first use: the best fit among the holes that earlier buffers left.
    holes = _Holes(base)
    in_use: list[tuple[int, int]] = []
    for k, buffer in enumerate(buffers):
        while in_use and in_use[0][0] < buffer.first:
            dead = buffers[in_use.pop(0)[1]]
            holes.give(dead.at, dead.size)
        buffer.at = holes.take(buffer.size)
        insort(in_use, (buffer.last, k))
    return holes.size


class _Holes:
    # Free memory below `size`, three times: by size, by where a hole starts and by where it ends.
    def __init__(self, size: int) -> None:
        self.size = size
        self.by_size: list[tuple[int, int]] = []
        self.starts: dict[int, int] = {}
        self.ends: dict[int, int] = {}

    def take(self, size: int) -> int:
        k = bisect_left(self.by_size, (size, 0))
        if k < len(self.by_size):
            room, at = self.by_size[k]
            self._close(at, room)
            if room > size:
                self._open(at + size, room - size)
            return at
        at = self.size
        self.size += size
        return at

    def give(self, at: int, size: int) -> None:
        after = self.starts.get(at + size)
        if after is not None:
            self._close(at + size, after)
            size += after
        before = self.ends.get(at)
        if before is not None:
            self._close(at - before, before)
            at, size = at - before, size + before
        self._open(at, size)

    def _open(self, at: int, size: int) -> None:
        insort(self.by_size, (size, at))
        self.starts[at] = self.ends[at + size] = size

    def _close(self, at: int, size: int) -> None:
        del self.by_size[bisect_left(self.by_size, (size, at))], self.starts[at], self.ends[at + size]
