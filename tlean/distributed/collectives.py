"""What ranks say to each other inside programs: ops with derivatives of any order.

All ranks run the same program, so each collective meets its own kind on the others. The derivative of a collective is one too: of a loss
that is the sum over all ranks of what each computes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean.arguments import truth, whole
from tlean.compiler.graph import Graph
from tlean.custom.op import CustomOp
from tlean.errors import OptionError
from tlean.programs.running import backend_itself, innermost_among

from .blocks import pairwise
from .sums import OrderedSum
from .world import World
from .world import world as job

_numbers = itertools.count(1)

#: Bytes that all ranks give each other whole, to sum them in order: one message rather than two.
_SMALL = 1 << 14


class Collective(CustomOp):
    """A custom op that runs for more than its value: it is never left out."""

    def __init__(self, forward: Any, backward: Any, jvp: Any, name: str, shape: Any = None, each: bool = False) -> None:
        super().__init__(forward, backward, jvp, name, shape, programs=True)
        # Whether two calls in a program are never one, though they read the same.
        self.each = each

    def __call__(self, *xs: Any, **options: Any) -> Any:
        if self.each and isinstance(backend_itself(innermost_among(xs)), Graph):
            options["call"] = next(_numbers)
        return super().__call__(*xs, **options)

    def _call(self, specs: Any, shapes: Any, options: dict[str, Any]) -> Any:
        call = super()._call(specs, shapes, options)
        if not call.record.effects:
            call.record = dataclasses.replace(call.record, effects=True)
        return call

    def __reduce__(self) -> tuple[Any, ...]:
        raise OptionError(f"{self.name}: it belongs to the ranks of this job, and cannot be pickled")


class Calls:
    """The collectives of some ranks.

    Args:
        world: the ranks.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._comm = world.channel(0)
        self._sent: list[tuple[Any, Any]] = []
        self.reduce: Collective = Collective(self._sum, self._reduce_back, self._reduce_on, "all_reduce", _same)
        self.gather: Collective = Collective(self._gathered, self._gather_back, self._gather_on, "all_gather", self._gathered_shape)
        self.broadcast: Collective = Collective(self._spread, self._broadcast_back, self._broadcast_on, "broadcast", _same)
        self.send: Collective = Collective(self._send, self._send_back, self._send_on, "send", _number, True)
        self.receive: Collective = Collective(self._receive, self._receive_back, self._receive_on, "recv", _same, True)

    # On arrays.

    def _sum(self, x: np.ndarray, deterministic: bool) -> np.ndarray:
        if self.world.size == 1:
            return x
        own = np.array(x, order="C").reshape(-1)
        if not deterministic:
            self.world.wait(self._comm.Iallreduce(self.world.in_place, own))
        elif own.nbytes <= _SMALL:
            parts = np.empty((self.world.size, own.size), own.dtype)
            self.world.wait(self._comm.Iallgather(own, parts))
            own = np.asarray(pairwise(list(parts), np.add))
        else:
            total = OrderedSum(self.world, self._comm)
            total.begin(own)
            total.end()
        return own.reshape(x.shape)

    def _gathered(self, x: np.ndarray) -> np.ndarray:
        whole = np.empty(self._gathered_shape(x.shape), x.dtype)
        if self.world.size == 1:
            return x
        own = np.ascontiguousarray(x)
        self.world.wait(self._comm.Iallgather(own, whole))
        return whole

    def _gathered_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.world.size * shape[0], *shape[1:])

    def _spread(self, x: np.ndarray, root: int) -> np.ndarray:
        value = np.array(x, order="C")
        if self.world.size > 1:
            self.world.wait(self._comm.Ibcast(value, root))
        return value

    def _send(self, x: np.ndarray, to: int, tag: int, call: int = 0) -> np.ndarray:
        # The numbers are copied, so that a rank which sends first and receives then meets one that does the same.
        self._sent = [(request, data) for request, data in self._sent if not request.Test()]
        data = np.array(x, order="C")
        self._sent.append((self._comm.Isend(data, to, tag), data))
        return np.zeros((), x.dtype)

    def _receive(self, like: np.ndarray, source: int, tag: int, call: int = 0) -> np.ndarray:
        value = np.empty(like.shape, like.dtype)
        self.world.wait(self._comm.Irecv(value, source, tag))
        return value

    # Derivatives, as programs: backward, and on with tangents.

    def _reduce_back(self, ops: Any, x: Any, y: Any, g: Any, deterministic: bool) -> Any:
        return self.reduce(g, deterministic=deterministic)

    def _reduce_on(self, ops: Any, x: Any, t: Any, deterministic: bool) -> Any:
        return self.reduce(t, deterministic=deterministic)

    def _gather_on(self, ops: Any, x: Any, t: Any) -> Any:
        return self.gather(t)

    def _broadcast_on(self, ops: Any, x: Any, t: Any, root: int) -> Any:
        return self.broadcast(t, root=root)

    def _send_on(self, ops: Any, x: Any, t: Any, to: int, tag: int, call: int = 0) -> Any:
        return self.send(t, to=to, tag=tag)

    def _receive_on(self, ops: Any, x: Any, t: Any, source: int, tag: int, call: int = 0) -> Any:
        return self.receive(t, source=source, tag=tag)

    def _gather_back(self, ops: Any, x: Any, y: Any, g: Any) -> Any:
        return ops.slice_range0(self.reduce(g, deterministic=True), self.world.rank * x.shape[0], x.shape[0])

    def _broadcast_back(self, ops: Any, x: Any, y: Any, g: Any, root: int) -> Any:
        total = self.reduce(g, deterministic=True)
        return total if self.world.rank == root else ops.scale(total, 0.0)

    def _send_back(self, ops: Any, x: Any, y: Any, g: Any, to: int, tag: int, call: int = 0) -> Any:
        return self.receive(x, source=to, tag=tag)

    def _receive_back(self, ops: Any, x: Any, y: Any, g: Any, source: int, tag: int, call: int = 0) -> Any:
        # The zero that a send gives is added, as what is sent has to go.
        return ops.add(ops.scale(g, 0.0), ops.broadcast_to(self.send(g, to=source, tag=tag), x.shape))


def _same(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
    return shape


def _number(shape: tuple[int, ...], **options: Any) -> tuple[int, ...]:
    return ()


@functools.cache
def calls(world: World) -> Calls:
    """The collectives of some ranks; the first call is made by all of them.

    Args:
        world: the ranks.
    """
    return Calls(world)


def _rank(world: World, name: str, value: Any) -> int:
    whole(f"distributed: {name}", value, 0)
    if value >= world.size:
        raise OptionError(f"distributed: {name} must be a rank from 0 to {world.size - 1}, got {value}")
    return int(value)


def all_reduce(x: Any, world: World | None = None, deterministic: bool = True) -> Any:
    """The sum over all ranks, on each of them.

    Args:
        x: of one shape on all ranks.
        world: the ranks; None: those of the job.
        deterministic: whether it is made in rank order, by neighbouring pairs; else as MPI does it, which may be faster for large arrays.

    Derivative: the sum of all ranks' cotangents.

    Example:
        >>> tl.distributed.all_reduce(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    return calls(world or job()).reduce(x, deterministic=truth("all_reduce: deterministic", deterministic))


def all_gather(x: Any, world: World | None = None) -> Any:
    """The arrays of all ranks along the first axis, in rank order, on each of them.

    Args:
        x: `(n, *k)`, of one shape on all ranks.
        world: the ranks; None: those of the job.

    Returns: `(ranks·n, *k)`.
    Raises: OptionError for an array without axes.
    Derivative: the sum of all ranks' cotangents of this rank's part.

    Example:
        >>> tl.distributed.all_gather(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    if not np.shape(x):
        raise OptionError("all_gather: x must have a first axis, got a number; reshape it to (1,)")
    return calls(world or job()).gather(x)


def broadcast(x: Any, root: int = 0, world: World | None = None) -> Any:
    """The array of one rank, on each of them.

    Args:
        x: of one shape on all ranks; the numbers are those of `root`.
        root: the rank.
        world: the ranks; None: those of the job.

    Raises: OptionError for a rank that there is not.
    Derivative: on `root` the sum of all ranks' cotangents, elsewhere 0.

    Example:
        >>> tl.distributed.broadcast(np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    ranks = world or job()
    return calls(ranks).broadcast(x, root=_rank(ranks, "root", root))


def send(x: Any, to: int, tag: int = 0, world: World | None = None) -> Any:
    """Send an array to another rank, which calls `recv`. It does not wait for it.

    Args:
        x: the array.
        to: the rank.
        tag: a number that tells messages between two ranks apart; those of one tag arrive in order.
        world: the ranks; None: those of the job.

    Returns: 0, of shape `()`. Add it to the loss: through it the cotangent of what was received comes back.
    Raises: OptionError for a rank that there is not, or this one.
    """
    ranks = world or job()
    if _rank(ranks, "to", to) == ranks.rank:
        raise OptionError(f"send: to must be another rank, got {to}, which is this one")
    return calls(ranks).send(x, to=to, tag=whole("send: tag", tag, 0))


def recv(like: Any, source: int, tag: int = 0, world: World | None = None) -> Any:
    """Receive the array that another rank sends.

    Args:
        like: an array of its shape. Where the program is differentiated it depends on what that is done by, as the cotangent is sent back
            only then; its numbers do not matter.
        source: the rank.
        tag: of the message.
        world: the ranks; None: those of the job.

    Raises: OptionError for a rank that there is not, or this one.
    Derivative: to `like` 0; the cotangent goes to `source`.
    """
    ranks = world or job()
    if _rank(ranks, "source", source) == ranks.rank:
        raise OptionError(f"recv: source must be another rank, got {source}, which is this one")
    return calls(ranks).receive(like, source=source, tag=whole("recv: tag", tag, 0))


__all__: Sequence[str] = ("all_gather", "all_reduce", "broadcast", "recv", "send")
