"""Sums of a buffer over all ranks, begun and ended apart, so that a program computes meanwhile.

Each has a separate channel (a communicator): several are under way at once, whatever their order on each rank.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .blocks import pairwise
from .world import RankError, World


class Sum:
    """The sum over all ranks, in place, in the order that MPI chooses.

    Args:
        world: the ranks.
        comm: a communicator that nothing else uses meanwhile.
    """

    world: World
    comm: Any

    def __init__(self, world: World, comm: Any) -> None:
        self.world, self.comm = world, comm
        self.buffer: Any = None
        self._request: Any = None

    def begin(self, buffer: np.ndarray) -> None:
        """Start; the buffer is the communicator's until `end`.

        Args:
            buffer: of one axis.
        """
        self.buffer = buffer
        self._request = self.comm.Iallreduce(self.world.in_place, buffer)

    def poll(self) -> None:
        """Let a sum that is under way go on: MPI works while it is called."""
        if self._request is not None:
            self._request.Test()

    def end(self) -> None:
        """Wait until the buffer holds the sum."""
        request, self._request = self._request, None
        if request is not None:
            self.world.wait(request)
        self.buffer = None


class OrderedSum(Sum):
    """The sum by neighbouring pairs in rank order: the same bits in every run.

    Each rank sums a part of the buffer: it gets that part of every rank's, and gives the sum to all. That is as much traffic as the other
    sum.
    """

    def begin(self, buffer: np.ndarray) -> None:
        """Start; the buffer is the communicator's until `end`.

        Args:
            buffer: of one axis.
        """
        size, rank = self.comm.Get_size(), self.comm.Get_rank()
        self.buffer = buffer
        bounds = [k * len(buffer) // size for k in range(size + 1)]
        self._counts = [b - a for a, b in itertools.pairwise(bounds)]
        self._bounds, self._part = bounds[:-1], slice(bounds[rank], bounds[rank + 1])
        own = self._counts[rank]
        self._parts = np.empty((size, own), buffer.dtype)
        self._summed = False
        places = [own] * size, [k * own for k in range(size)]
        self._request = self.comm.Ialltoallv([buffer, (self._counts, self._bounds)], [self._parts, places])

    def poll(self) -> None:
        """Let a sum that is under way go on: once the parts are here, they are summed and given to all."""
        if self._request is not None and self._request.Test() and not self._summed:
            self._give()

    def _give(self) -> None:
        self._summed = True
        # Kept until `end`: it is read until then.
        self._own = np.ascontiguousarray(pairwise(list(self._parts), np.add))
        self._request = self.comm.Iallgatherv(self._own, [self.buffer, (self._counts, self._bounds)])

    def end(self) -> None:
        """Wait until the buffer holds the sum."""
        if self._request is not None and not self._summed:
            self.world.wait(self._request)
            self._give()
        super().end()


class Exchange:
    """The buckets of one step: buffers that are summed over all ranks as each becomes complete.

    Begun and ended by number. The last bucket begins with `HEAD` numbers, of which some are the exchange's own: whether a rank failed
    before it got so far, and which. A rank that fails sends zeros in what it owes, so that no other waits for it for ever, and every other
    raises a RankError instead of going on.

    Args:
        world: the ranks.
        sizes: the elements of each bucket.
        dtype: of all.
        in_order: whether sums are made in rank order.
    """

    world: World
    sizes: list[int]
    dtype: Any

    def __init__(self, world: World, sizes: list[int], dtype: str, in_order: bool) -> None:
        self.world, self.sizes, self.dtype = world, sizes, np.dtype(dtype)
        kind = OrderedSum if in_order else Sum
        # Channel 0 is for what programs say themselves.
        self.sums: list[OrderedSum | Sum] = [kind(world, world.channel(1 + k)) for k in range(len(sizes))]
        self._begun = [False] * len(sizes)
        self._ended = [False] * len(sizes)

    def start(self) -> None:
        """A new step."""
        self._begun = [False] * len(self.sizes)
        self._ended = [False] * len(self.sizes)

    def begin(self, number: int, buffer: np.ndarray) -> None:
        """A bucket is complete.

        Args:
            number: which.
            buffer: its memory, which keeps still until `end`.
        """
        self.poll()
        self._begun[number] = True
        self.sums[number].begin(buffer)

    def poll(self) -> None:
        """Let what is under way go on."""
        for k, other in enumerate(self.sums):
            if self._begun[k] and not self._ended[k]:
                other.poll()

    def end(self, number: int) -> None:
        """Wait for a bucket.

        Args:
            number: which.

        Raises: RankError where another rank failed, once all buckets are ended.
        """
        buffer = self.sums[number].buffer
        self._ended[number] = True
        self.sums[number].end()
        if number == len(self.sums) - 1 and buffer[FAILED] > 0:
            which = f"rank {round(float(buffer[WHO]))}" if buffer[FAILED] == 1 else f"{round(float(buffer[FAILED]))} ranks"
            raise RankError(f"distributed: {which} failed in this step; nothing was updated")

    def fail(self) -> None:
        """This rank left the step: give the others what they wait for."""
        if self.world.left:
            return
        for k, size in enumerate(self.sizes):
            if not self._begun[k]:
                empty = np.zeros(size, self.dtype)
                if k == len(self.sizes) - 1:
                    empty[FAILED], empty[WHO] = 1, self.world.rank
                self.begin(k, empty)
        for k, ended in enumerate(self._ended):
            if not ended:
                self._ended[k] = True
                self.sums[k].end()


def leave(latest: Exchange | None) -> None:
    """This rank failed before it had an exchange: give the others what they wait for, as in the last such step.

    Args:
        latest: that step's exchange; None: there was none.
    """
    if latest is not None:
        latest.start()
        latest.fail()


#: The numbers that the last bucket begins with: the sum of the losses of all rows, the rows, how many ranks ask for an end, how many
#: failed, and which.
LOSS, ROWS, ASKED, FAILED, WHO = range(5)
HEAD = 5


class Begin:
    """The call of a program that starts a bucket, on the bucket's own memory.

    Args:
        exchange: of the program.
        number: of the bucket.
    """

    exchange: Exchange
    number: int

    in_place = True

    def __init__(self, exchange: Exchange, number: int) -> None:
        self.exchange, self.number = exchange, number

    def __call__(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        """Start.

        Args:
            outs, ins: the bucket, usually one memory.
            options: none.
        """
        self.exchange.begin(self.number, _one(outs, ins))


class End(Begin):
    """The call of a program that waits for a bucket."""

    def __call__(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        """Wait.

        Args:
            outs, ins: the bucket, usually one memory.
            options: none.
        """
        self.exchange.end(self.number)
        _one(outs, ins)


class Poll:
    """The call of a program that lets sums go on.

    Args:
        exchange: of the program.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __call__(self, outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        """Let them.

        Args:
            outs: a number that is not read.
            ins: nothing.
            options: none.
        """
        self.exchange.poll()
        if outs[0] is not None:
            outs[0][...] = 0


def _one(outs: list[Any], ins: list[Any]) -> Any:
    # The output, which holds the input's numbers; mostly they are one memory.
    if outs[0].ctypes.data != ins[0].ctypes.data:
        outs[0][...] = ins[0]
    return outs[0]


def grouped(sizes: list[int], most: int) -> list[list[int]]:
    """Parameters in buckets, as the backward pass makes their gradients: from the last one to the first.

    Args:
        sizes: the bytes of each gradient.
        most: bytes in a bucket of several; a larger gradient is one alone, which is summed where it is.
    """
    buckets: list[list[int]] = []
    now: list[int] = []
    filled = 0
    for k in reversed(range(len(sizes))):
        if sizes[k] >= most:
            buckets.append([k])
            continue
        if now and filled + sizes[k] > most:
            buckets.append(now)
            now, filled = [], 0
        now.append(k)
        filled += sizes[k]
    if now:
        buckets.append(now)
    return buckets
